"""Given what a process was told, when it is told something, then it sends, waits or ends: process managers in tests."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from mainstem.codec import Decoder, encode
from mainstem.errors import Refused
from mainstem.messages import Command
from mainstem.process.manager import ProcessManager, Reaction
from mainstem.testing.differences import difference

_NOW_MS = 1_700_000_000_000


class ProcessStory:
    """What one process was told so far: `given(manager, *messages).when(message).then(*commands)`."""

    def __init__(self, manager: ProcessManager[Any], messages: Sequence[Struct]) -> None:
        self._manager = manager
        self._messages = tuple(messages)

    def when(self, message: Struct, *, at_ms: int = _NOW_MS) -> "Reacted":
        """Tell it the message at that time; what came before was told then too."""
        __tracebackhide__ = True
        state = self._manager.initial
        for earlier in self._messages:
            reaction = _react(self._manager, state, earlier, at_ms)
            if isinstance(reaction, Refused):
                raise AssertionError(f"{earlier!r}, which was given, is refused: {reaction}")  # noqa: TRY004
            state = reaction.state
        return Reacted(self._manager, state, message, _react(self._manager, state, message, at_ms))


class Reacted:
    """What the process made of the message."""

    def __init__(
        self, manager: ProcessManager[Any], state: Any, message: Struct, reaction: "Reaction[Any] | Refused"
    ) -> None:
        self._manager = manager
        self._state = state
        self._message = message
        self._reaction = reaction

    def then(self, *commands: Command) -> "Reacted":
        """It sends exactly these commands, none where none are named."""
        __tracebackhide__ = True
        self._hold(list(commands), list(self._well().send), "sends other than expected")
        return self

    def then_state(self, state: Any) -> "Reacted":
        """Its state."""
        __tracebackhide__ = True
        self._hold([state], [self._well().state], "brought another state")
        return self

    def then_timeout(self, timeout_ms: int | None) -> "Reacted":
        """So long from now; None: what runs is left, 0: it is taken away."""
        __tracebackhide__ = True
        self._hold([timeout_ms], [self._well().timeout_ms], "has another timeout")
        return self

    def then_revoked(self) -> "Reacted":
        """What it has sent before is not to be carried out any more."""
        __tracebackhide__ = True
        self._hold([True], [self._well().revoke], "revokes")
        return self

    def then_ended(self) -> "Reacted":
        """Nothing goes on."""
        __tracebackhide__ = True
        self._hold([True], [self._well().ended], "has ended")
        return self

    def then_stuck(self, why: str) -> "Reacted":
        """It waits for an operator."""
        __tracebackhide__ = True
        self._hold([why], [self._well().stuck], "is stuck")
        return self

    def then_refused(self, reason: str) -> "Reacted":
        """It may not begin so."""
        __tracebackhide__ = True
        refused = self._reaction
        if not isinstance(refused, Refused) or refused.reason != reason:
            found = f"{refused.reason}: {refused}" if isinstance(refused, Refused) else repr(refused)
            raise AssertionError(f"{self._message!r} was to be refused as {reason}, found {found}")
        return self

    def _well(self) -> Reaction[Any]:
        __tracebackhide__ = True
        if isinstance(self._reaction, Refused):
            text = f"{self._message!r} is refused: {self._reaction.reason}: {self._reaction}"
            raise AssertionError(text)  # noqa: TRY004 - a test fails by it
        return self._reaction

    def _hold(self, expected: Sequence[Any], found: Sequence[Any], what: str) -> None:
        __tracebackhide__ = True
        if list(expected) != list(found):
            text = f"{self._message!r} {what} (- expected, + found):\n{difference(expected, found)}"
            raise AssertionError(f"{text}\nreacted with {self._state!r}")


def _react(manager: ProcessManager[Any], state: Any, message: Struct, now_ms: int) -> "Reaction[Any] | Refused":
    """Twice, since react must be pure; its state and commands must come back from the store as they are."""
    __tracebackhide__ = True
    first, again = (_once(manager, state, message, now_ms) for _ in range(2))
    if isinstance(first, Refused) or isinstance(again, Refused):
        return first
    if first != again:
        raise AssertionError(f"{message!r} was told twice with two results; react must be pure")
    back = Decoder[Any](type(manager.initial)).one(encode(first.state))
    if back != first.state:
        text = "the state comes back from the store as another (- before, + after):"
        raise AssertionError(f"{text}\n{difference([first.state], [back])}")
    strangers = [type(command).__name__ for command in first.send if type(command) not in manager.commands]
    if strangers:
        raise AssertionError(f"{', '.join(strangers)} is not among the commands of {manager.name}")
    return first


def _once(manager: ProcessManager[Any], state: Any, message: Struct, now_ms: int) -> "Reaction[Any] | Refused":
    try:
        return manager.react(state, message, now_ms)
    except Refused as refused:
        return refused
