"""A decision over events of several streams: those with certain tags, whichever stream they are in.

The rules of one aggregate are kept by its stream: one command after the other is decided on all that happened to it.
A rule about several needs another boundary, drawn for the decision: the events that bear on it are found by tags, they
are folded to what the rule asks, and what is decided is appended only where no further event with these tags has come.
Elsewhere this is called a dynamic consistency boundary.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from mainstem.errors import ConfigurationError
from mainstem.messages import Command, Event

C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)
S = TypeVar("S", bound=msgspec.Struct)
B = TypeVar("B", bound=msgspec.Struct)

TAGS_MAX = 16
"""How many tags an event may have, and a command be decided over."""

_TAG_MAX = 200


@dataclass(frozen=True)
class Boundary(Generic[C, E, S, B]):
    """What a decider's commands are decided over beside the aggregate's own state.

    `tags(state, command)` names the tags whose events bear on the command; none, and the command is decided by the
    decider's `decide` alone. `initial` and `evolve` fold the events that have any of these tags, each once, in the
    order in which they were appended; they are of the classes `events`, and of no others. `decide(state, command,
    folded)` then stands in the place of the decider's. `tagged(state, event)` gives the tags of an event of the
    aggregate, whose state after it is `state`. All are pure.
    """

    tags: Callable[[S, C], Sequence[str]]
    initial: B
    evolve: Callable[[B, Any], B]
    events: tuple[type[Event], ...]
    decide: Callable[[S, C, B], Sequence[E]]
    tagged: Callable[[S, E], Sequence[str]]

    def __post_init__(self) -> None:
        if not self.events:
            raise ConfigurationError("a boundary names no events")

    def fold(self, state: B, events: Iterable[Event]) -> B:
        """The state after those events. Raises ConfigurationError for one of another class than declared."""
        for event in events:
            if type(event) not in self.events:
                raise ConfigurationError(f"{type(event).__name__} has a tag of a boundary that does not name it")
            state = self.evolve(state, event)
        return state

    def tags_over(self, state: S, command: C) -> tuple[str, ...]:
        """The tags that the command is decided over, each once. Raises ConfigurationError for what are no texts."""
        return _each_once(self.tags(state, command), "tags", command)

    def tags_of(self, state: S, event: E) -> tuple[str, ...]:
        """The event's tags, each once. Raises ConfigurationError for what is none."""
        tags = _each_once(self.tagged(state, event), "tagged", event)
        if tags and not usable(tags):
            raise ConfigurationError(f"tags of {type(event).__name__}: {USABLE}")
        return tags


def _each_once(tags: Sequence[str], function: str, message: Command | Event) -> tuple[str, ...]:
    """One text is a sequence of its characters, which nobody has meant as tags."""
    if isinstance(tags, str):
        name = type(message).__name__
        raise ConfigurationError(f"{function} gives a text for {name}: put it into a tuple, as ({tags[:40]!r},)")
    found = tuple(dict.fromkeys(tags)) if tags else ()
    for tag in found:
        if not isinstance(tag, str):
            raise ConfigurationError(f"{function} gives {tag!r:.40} for {type(message).__name__}: tags are texts")
    return found


USABLE = f"at most {TAGS_MAX} tags of 1 to {_TAG_MAX} printable characters"


def usable(tags: Sequence[str]) -> bool:
    """Whether they can be kept."""
    return len(tags) <= TAGS_MAX and all(0 < len(tag) <= _TAG_MAX and tag.isprintable() for tag in tags)
