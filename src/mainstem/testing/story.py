"""Given events, when a command, then events or a refusal: how deciders are tested, in their own words."""

from collections.abc import Sequence
from typing import Any

from mainstem.decider import Decider
from mainstem.errors import Refused
from mainstem.messages import Command, Event


class Story:
    """What has happened to one aggregate so far: `given(decider, *events).when(command).then(*events)`."""

    def __init__(self, decider: Decider[Any, Any, Any], events: Sequence[Event]) -> None:
        self._decider = decider
        self._events = tuple(events)

    def when(self, command: Command) -> "Decision":
        """Decide the command on the state that the events lead to."""
        state = self._decider.fold(self._decider.initial, self._events)
        try:
            return Decision(tuple(self._decider.decide(state, command)), None)
        except Refused as refused:
            return Decision((), refused)


class Decision:
    """What became of the command."""

    def __init__(self, events: tuple[Event, ...], refused: Refused | None) -> None:
        self._events = events
        self._refused = refused

    def then(self, *events: Event) -> None:
        """It led to exactly these events."""
        if self._refused is not None:
            raise AssertionError(f"refused: {self._refused.reason}: {self._refused}")
        assert self._events == events, f"led to {self._events}, not to {events}"

    def then_refused(self, reason: str, text: str | None = None) -> None:
        """It was refused for that reason, with that text if one is named."""
        assert self._refused is not None, f"was not refused; it led to {self._events}"
        assert self._refused.reason == reason, f"was refused for {self._refused.reason!r}, not {reason!r}"
        if text is not None:
            assert str(self._refused) == text, f"was refused with {str(self._refused)!r}"


def given(decider: Decider[Any, Any, Any], *events: Event) -> Story:
    """The events that have happened."""
    return Story(decider, events)
