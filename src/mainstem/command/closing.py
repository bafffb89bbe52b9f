"""Personal data of commands and events are closed before anything is decided, folded or kept.

So whatever is made of them, state, refusals, kept answers, digests, texts of errors, holds tokens and no plain text.
"""

from collections.abc import Sequence
from typing import Any

from mainstem.decider import Decider
from mainstem.errors import CommandError
from mainstem.messages import Command, Event
from mainstem.privacy.marks import marks_of
from mainstem.privacy.vault import Vault


class Closing:
    """Closes the commands and events of these deciders with the keys of the vault."""

    def __init__(self, deciders: Sequence[Decider[Any, Any, Any]], vault: Vault) -> None:
        self._vault = vault
        self._commands: dict[type[Command], Decider[Any, Any, Any]] = {
            command: decider for decider in deciders for command in decider.commands if marks_of(command)
        }
        self._events = {event for decider in deciders for event in decider.events if marks_of(event)}

    def concerns(self, commands: Sequence[Command]) -> bool:
        """Whether there is one among them that may have something to close."""
        return not self._commands.keys().isdisjoint(map(type, commands))

    def commands(self, commands: Sequence[tuple[Command, str | None]]) -> list[Command | CommandError]:
        """Each, given with its tenant, as it is to be decided, or why it cannot be."""
        closed: list[Command | CommandError] = [command for command, _ in commands]
        numbers = [number for number, (command, _) in enumerate(commands) if type(command) in self._commands]
        if numbers:
            placed = [(commands[number][0], self._stream(*commands[number])) for number in numbers]
            for number, found in zip(numbers, self._vault.close(placed), strict=True):
                closed[number] = found
        return closed

    def events(self, stream: str, events: list[Event]) -> list[Event] | CommandError:
        """What a decision has left open, or has made of something that is not marked."""
        if self._events.isdisjoint(map(type, events)):
            return events
        closed: list[Event] = []
        for found in self._vault.close([(event, stream) for event in events]):
            if isinstance(found, CommandError):
                return found
            closed.append(found)
        return closed

    def _stream(self, command: Command, tenant: str | None) -> str:
        decider = self._commands[type(command)]
        return decider.stream(decider.target(command), tenant)
