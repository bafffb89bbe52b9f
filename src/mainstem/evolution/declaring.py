"""How events evolve: the name and schema version under which each is stored, and upcasters from older ones to today's.

A stored event is never rewritten. Wherever it is read, what was stored under an older name or version is brought to
today's by upcasters: pure functions on plain JSON data (dict, list, str, int, bool, None; a number with a fraction is a
Decimal, so that no digit is lost).

    @evolved(2, rename_field("CardBlocked", 1, "reason", "note"))
    class CardBlocked(Event, frozen=True):
        note: str

An event's stored name is its tag: the class's own name unless one is given (``tag="card-blocked"``).
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import Struct

from mainstem.errors import ConfigurationError
from mainstem.messages import Event

E = TypeVar("E", bound=type[Event])

Data = dict[str, Any]
"""The fields of an event as plain JSON data, without its name."""

Key = tuple[str, int]
"""The name and the schema version of an event."""

_EVOLVED = "__mainstem_evolved__"


class EventData(Struct, frozen=True):
    """An event between its stored form and today's class."""

    name: str
    version: int
    data: Data

    @property
    def key(self) -> Key:
        """Its name and schema version."""
        return self.name, self.version


@dataclass(frozen=True)
class Upcaster:
    """Leads from one key, or from two of events that follow each other in a stream, to events of the keys `into`."""

    sources: tuple[Key, ...]
    into: tuple[Key, ...]
    function: Callable[..., Sequence[EventData]]


@dataclass(frozen=True)
class Evolved:
    """What `evolved` says of a class."""

    version: int = 1
    upcasters: tuple[Upcaster, ...] = ()


def evolved(version: int, *upcasters: Upcaster) -> Callable[[E], E]:
    """Declare an event's schema version, and the upcasters that lead to it; without it the version is 1.

    An upcaster that leads to several classes stands at any one of them.
    """
    if version < 1:
        raise ConfigurationError(f"schema version {version}: they count from 1")

    def declare(event: E) -> E:
        setattr(event, _EVOLVED, Evolved(version, upcasters))
        return event

    return declare


def evolution_of(event: type[Event]) -> Evolved:
    """What was declared of this class itself; a class that it inherits from has names and versions of its own."""
    found: Evolved = vars(event).get(_EVOLVED, Evolved())
    return found


def stored_as(event: type[Event]) -> Key:
    """The name and schema version under which events of the class are stored today."""
    return str(event.__struct_config__.tag), evolution_of(event).version


def upcast(name: str, version: int, function: Callable[[Data], Data], *, into: Key | None = None) -> Upcaster:
    """One event becomes one: of the next version, unless `into` says what else."""
    target = into or (name, version + 1)
    return Upcaster(((name, version),), (target,), lambda data: (EventData(*target, function(data)),))


def rename_event(name: str, version: int, new: str, new_version: int = 1) -> Upcaster:
    """The same data under another name."""
    return upcast(name, version, lambda data: data, into=(new, new_version))


def rename_field(name: str, version: int, old: str, new: str) -> Upcaster:
    """The next version calls a field otherwise. Where it is not there, nothing changes; what had the new name goes."""

    def renamed(data: Data) -> Data:
        if old not in data:
            return data
        return {**{field: value for field, value in data.items() if field != old}, new: data[old]}

    return upcast(name, version, renamed)


def default_field(name: str, version: int, field: str, value: Any) -> Upcaster:
    """The next version has a field that was not there: it gets this JSON value, where none stands."""

    def filled(data: Data) -> Data:
        return data if field in data else {**data, field: deepcopy(value)}

    return upcast(name, version, filled)


def split(name: str, version: int, function: Callable[[Data], Sequence[EventData]], *, into: Sequence[Key]) -> Upcaster:
    """One event becomes several, or none, of those keys. All keep the stored one's place: stream, version, times."""
    return Upcaster(((name, version),), tuple(into), function)


def drop_event(name: str, version: int) -> Upcaster:
    """The event says nothing any more: readers pass over it. Its version in the stream stays taken."""
    return split(name, version, lambda _: (), into=())


def merge(first: Key, second: Key, function: Callable[[Data, Data], Data], *, into: Key) -> Upcaster:
    """Two events, of which the second follows the first in the stream, become one in the second's place.

    Only who reads a stream sees them beside each other: the fold, and history. A listener, or whoever reads all
    streams, gets events one at a time, so each of the two needs an upcaster of its own too, which is also
    what becomes of it where the other is missing. Without one, declaring such a reader is a ConfigurationError.
    """
    return Upcaster((first, second), (into,), lambda one, two: (EventData(*into, function(one, two)),))
