"""Given events, when a command, then events or a refusal: how deciders are tested, in their own words.

Beside what a test asks for, each story holds what every decider must keep to: its events are declared and come back
from the store as they went in, its decisions are the same when they are made again, and they leave the state as it was.
"""

from collections.abc import Sequence
from typing import Any, overload

import msgspec

from mainstem.codec import EventCodec, encode
from mainstem.decider import Decider
from mainstem.errors import CodecError, Refused
from mainstem.messages import Command, Event
from mainstem.process.manager import ProcessManager
from mainstem.testing.differences import difference
from mainstem.testing.process_story import ProcessStory


class Story:
    """What has happened to one aggregate so far: `given(decider, *events).when(command).then(*events)`."""

    def __init__(self, decider: Decider[Any, Any, Any], events: Sequence[Event], others: Sequence[Event] = ()) -> None:
        self._decider = decider
        self._events = tuple(events)
        self._others = tuple(others)

    def elsewhere(self, *events: Event) -> "Story":
        """What has happened to other aggregates, before: events with a tag that the command is decided over."""
        return Story(self._decider, self._events, (*self._others, *events))

    def when(self, command: Command) -> "Decision":
        """Decide the command on the state that the events lead to."""
        __tracebackhide__ = True
        decider = self._decider
        _check_events(decider, self._events)
        if type(command) not in decider.commands:
            raise AssertionError(f"{type(command).__name__} is not among the commands of {decider.category}")
        state = decider.fold(decider.initial, self._events)
        over = self._over(state, command)
        before = _picture(state), _picture(over)
        first, again = _decide(decider, state, command, over), _decide(decider, state, command, over)
        if (_picture(state), _picture(over)) != before:
            raise AssertionError(f"deciding {command!r} has changed the state; decide must leave it as it is")
        if _told(first) != _told(again):
            text = f"{command!r} was decided twice on the same state, with two results; decide must be pure"
            raise AssertionError(f"{text} (- at first, + again):\n{difference(_told(first), _told(again))}")
        if not isinstance(first, Refused):
            _check_events(decider, first)
        return Decision(decider, state, command, first)

    def _over(self, state: Any, command: Command) -> Any:
        """The fold of the events with the command's tags, of this aggregate too; None where it has none."""
        __tracebackhide__ = True
        boundary = self._decider.boundary
        tags = set() if boundary is None else set(boundary.tags_over(state, command))
        if boundary is None or not tags:
            if self._others:
                raise AssertionError(f"{command!r} is not decided over what happened elsewhere: it has no tags")
            return None
        own, stood = [], self._decider.initial
        for event in self._events:
            stood = self._decider.evolve(stood, event)
            if tags & set(boundary.tags_of(stood, event)):
                own.append(event)
        return boundary.fold(boundary.initial, (*self._others, *own))


class Decision:
    """What became of the command."""

    def __init__(
        self, decider: Decider[Any, Any, Any], state: Any, command: Command, outcome: "tuple[Event, ...] | Refused"
    ) -> None:
        self._decider = decider
        self._state = state
        self._command = command
        self._outcome = outcome

    def then(self, *expected: "Event | Refused") -> "Decision":
        """It led to exactly these events, none where none are named; or it was refused so.

        A refusal is held by its reason, and by its text where that is not empty.
        """
        __tracebackhide__ = True
        if any(isinstance(each, Refused) for each in expected):
            if len(expected) != 1 or not isinstance(expected[0], Refused):
                raise TypeError("a command leads to events, or to one refusal")
            return self.then_refused(expected[0].reason, str(expected[0]) or None)
        if isinstance(self._outcome, Refused) or self._outcome != expected:
            self._fail("led to other than expected", expected)
        return self

    def then_refused(self, reason: str, text: str | None = None) -> "Decision":
        """It was refused for that reason, with that text if one is named."""
        __tracebackhide__ = True
        refused = self._outcome
        if not isinstance(refused, Refused) or refused.reason != reason or (text is not None and str(refused) != text):
            told = text if text is not None else str(refused) if isinstance(refused, Refused) else ""
            self._fail("was to be refused", [Refused(reason, told)])
        return self

    def then_state(self, expected: Any) -> "Decision":
        """The state after the events that it led to, or as it was where it was refused."""
        __tracebackhide__ = True
        state = self._state if isinstance(self._outcome, Refused) else self._decider.fold(self._state, self._outcome)
        if state != expected:
            text = f"{self._command!r} brought another state (- expected, + found):"
            raise AssertionError(f"{text}\n{difference([expected], [state])}")
        return self

    def _fail(self, what: str, expected: "Sequence[Event | Refused]") -> None:
        __tracebackhide__ = True
        found = difference(_told(expected), _told(self._outcome))
        text = f"{self._command!r} {what} (- expected, + found):\n{found}"
        raise AssertionError(f"{text}\ndecided on {self._state!r}")


@overload
def given(subject: Decider[Any, Any, Any], *past: Event) -> Story: ...
@overload
def given(subject: ProcessManager[Any], *past: msgspec.Struct) -> ProcessStory: ...
def given(subject: Decider[Any, Any, Any] | ProcessManager[Any], *past: Any) -> Story | ProcessStory:
    """The events that have happened to an aggregate, or what a process was told so far."""
    return ProcessStory(subject, past) if isinstance(subject, ProcessManager) else Story(subject, past)


def _decide(decider: Decider[Any, Any, Any], state: Any, command: Command, over: Any) -> tuple[Event, ...] | Refused:
    try:
        if over is not None and decider.boundary is not None:
            return tuple(decider.boundary.decide(state, command, over))
        return tuple(decider.decide(state, command))
    except Refused as refused:
        return refused


class _Refusal(msgspec.Struct, frozen=True):
    reason: str
    text: str


def _told(outcome: "Sequence[Event | Refused] | Refused") -> list[object]:
    """Refusals as values, which are equal where they say the same."""
    found = [outcome] if isinstance(outcome, Refused) else outcome
    return [_Refusal(each.reason, str(each)) if isinstance(each, Refused) else each for each in found]


def _picture(state: Any) -> bytes:
    """Whatever its fields hold, since a state need not be frozen deep down."""
    try:
        return encode(state)
    except (TypeError, ValueError, OverflowError):
        return repr(state).encode()


def _check_events(decider: Decider[Any, Any, Any], events: Sequence[Event]) -> None:
    __tracebackhide__ = True
    payloads = EventCodec(decider.events).payloads
    for event in events:
        if type(event) not in decider.events:
            raise AssertionError(f"{type(event).__name__} is not among the events of {decider.category}")
        try:
            back = payloads.one(encode(event))
        except (CodecError, TypeError, ValueError, OverflowError) as error:
            raise AssertionError(f"{event!r} does not come back from the store: {error}") from error
        if back != event:
            text = f"{type(event).__name__} comes back from the store as another (- before, + after):"
            raise AssertionError(f"{text}\n{difference([event], [back])}")
