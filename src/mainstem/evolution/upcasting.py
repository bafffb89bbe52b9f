"""Stored events on their way to today's classes: the chain of upcasters of a set of events, checked and applied."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from mainstem.errors import CodecError, ConfigurationError, UnknownEvent
from mainstem.evolution.declaring import EventData, Key, Upcaster, evolution_of, stored_as
from mainstem.messages import Event


class Place(Protocol):
    """Where an event stands in the store."""

    @property
    def stream(self) -> str:
        """The stream's name."""

    @property
    def version(self) -> int:
        """The event's version in it."""


P = TypeVar("P", bound=Place)
S = TypeVar("S", bound=Sequence[EventData] | None)


class Upcasting:
    """The chain of these events.

    Raises ConfigurationError for what cannot work: an upcaster that leads nowhere, in a circle, or away from today's.
    """

    def __init__(self, events: Sequence[type[Event]]) -> None:
        self.keys = {event: stored_as(event) for event in events}
        self.versions = dict(self.keys.values())
        if len(self.versions) != len(self.keys):
            names = sorted(name for name, _ in self.keys.values())
            raise ConfigurationError(f"two events share a name: {names}")
        self._single: dict[Key, Upcaster] = {}
        self._pairs: dict[tuple[Key, Key], Upcaster] = {}
        for upcaster in dict.fromkeys(each for event in events for each in evolution_of(event).upcasters):
            self._add(upcaster)
        self._members = {key for pair in self._pairs for key in pair}
        self._check()

    def _add(self, upcaster: Upcaster) -> None:
        sources = upcaster.sources
        taken = self._single if len(sources) == 1 else self._pairs
        key = sources[0] if len(sources) == 1 else sources
        if key in taken:
            raise ConfigurationError(f"two upcasters lead from {_named(*sources)}")
        if any(self.is_today(source) for source in sources):
            text = f"an upcaster leads from {_named(*sources)}, which is what is stored today; raise the version"
            raise ConfigurationError(text)
        taken[key] = upcaster  # type: ignore[index]

    def _check(self) -> None:
        every = (*self._single.values(), *self._pairs.values())
        sources = {source for upcaster in every for source in upcaster.sources}
        for upcaster in every:
            lost = [key for key in upcaster.into if not self.is_today(key) and key not in sources]
            if lost:
                raise ConfigurationError(
                    f"the upcaster from {_named(*upcaster.sources)} leads nowhere: {_named(*lost)}"
                )
        done: set[Key] = set()
        for key in sorted(sources):
            self._walk(key, (), done)

    def _walk(self, key: Key, behind: tuple[Key, ...], done: set[Key]) -> None:
        if key in behind:
            raise ConfigurationError(f"upcasters lead in a circle: {_named(*behind, key)}")
        if key in done:
            return
        for upcaster in (*self._single.values(), *self._pairs.values()):
            if key in upcaster.sources:
                for target in upcaster.into:
                    self._walk(target, (*behind, key), done)
        done.add(key)

    @property
    def sources(self) -> list[Key]:
        """The older names and versions that are read, sorted."""
        return sorted(self._single.keys() | self._members)

    def upcasters(self) -> list[Upcaster]:
        """All of the chain."""
        return [*self._single.values(), *self._pairs.values()]

    @property
    def merges(self) -> bool:
        """Whether events are merged, so that it matters what stands beside one."""
        return bool(self._pairs)

    def is_today(self, key: Key) -> bool:
        """Whether events are stored under this name and version today."""
        return self.versions.get(key[0]) == key[1]

    def check_alone(self) -> None:
        """Raises ConfigurationError where an event is merged only, for a reader to whom events come one at a time."""
        lost = sorted(self._members - self._single.keys())
        if lost:
            text = "merged only, but this reader gets events one at a time; give each an upcaster of its own"
            raise ConfigurationError(f"{_named(*lost)}: {text}")

    def alone(self, place: Place, event: EventData) -> Iterator[EventData]:
        """That event as today's, whatever stands beside it. Raises UnknownEvent or CodecError."""
        if self.is_today(event.key):
            yield event
            return
        for each in self.further(place, event):
            yield from self.alone(place, each)

    def settled(self, place: Place, event: EventData) -> Iterator[EventData]:
        """The same, up to what may be merged with its neighbour."""
        if self.is_today(event.key) or event.key in self._members:
            yield event
            return
        for each in self.further(place, event):
            yield from self.settled(place, each)

    def further(self, place: Place, event: EventData) -> Sequence[EventData]:
        """One step of an event by itself."""
        upcaster = self._single.get(event.key)
        if upcaster is not None:
            return _applied(upcaster, place, event)
        text = f"event {_named(event.key)} at version {place.version} of {place.stream}"
        if event.key in self._members:
            partners = [_named(*pair) for pair in self._pairs if event.key in pair]
            raise UnknownEvent(f"{text} is merged only, and does not stand beside the other of {' or '.join(partners)}")
        current = self.versions.get(event.name)
        known = f"today's is {current}" if current is not None else "no event of today's has the name"
        raise UnknownEvent(f"{text} has no path to an event of today's ({known})")

    def merged(self, place: Place, first: EventData, second: EventData) -> Sequence[EventData] | None:
        """What the two become, if they are merged."""
        upcaster = self._pairs.get((first.key, second.key))
        return None if upcaster is None else _applied(upcaster, place, first, second)


class StreamUpcasting(Generic[P]):
    """Events of one stream, pushed in their order, each with its place; taken as today's.

    With `lost`, an event that cannot be brought to today's is left out and told (version and why), not raised.
    """

    def __init__(self, upcasting: Upcasting, lost: Callable[[int, str], None] | None = None) -> None:
        self._upcasting = upcasting
        self._lost = lost
        self._done: list[tuple[P, EventData]] = []
        """Today's events; the last may be one that waits for its neighbour."""

    def push(self, place: P, event: EventData) -> None:
        """The next one. Raises UnknownEvent or CodecError, also for one that was pushed before."""
        for each in self._steps(place, lambda: list(self._upcasting.settled(place, event))):
            self._add(place, each)

    def _add(self, place: P, event: EventData) -> None:
        while self._waits():
            at, waiting = self._done.pop()
            merged = self._steps(place, partial(self._upcasting.merged, place, waiting, event))
            if merged is not None:
                for each in merged:
                    self.push(place, each)
                return
            self._alone(at, waiting)
        self._done.append((place, event))

    def _alone(self, place: P, event: EventData) -> None:
        for each in self._steps(place, lambda: self._upcasting.further(place, event)):
            self.push(place, each)

    def _waits(self) -> bool:
        return bool(self._done) and not self._upcasting.is_today(self._done[-1][1].key)

    @property
    def empty(self) -> bool:
        """Whether nothing is left to be taken, or waits for its neighbour."""
        return not self._done

    def take(self) -> list[tuple[P, EventData]]:
        """What is today's by now; one that waits for its neighbour stays."""
        waiting = [self._done.pop()] if self._waits() else []
        done, self._done = self._done, waiting
        return done

    def close(self) -> None:
        """Nothing comes any more: what waits goes its own way."""
        while self._waits():
            self._alone(*self._done.pop())

    def finish(self) -> list[tuple[P, EventData]]:
        """The rest, closed."""
        self.close()
        return self.take()

    def _steps(self, place: P, step: Callable[[], S]) -> S | Sequence[EventData]:
        if self._lost is None:
            return step()
        try:
            return step()
        except CodecError as error:
            self._lost(place.version, str(error))
            return ()


def _applied(upcaster: Upcaster, place: Place, *events: EventData) -> Sequence[EventData]:
    text = f"the upcaster from {_named(*upcaster.sources)}, at version {place.version} of {place.stream},"
    try:
        found = upcaster.function(*(event.data for event in events))
    except Exception as error:
        raise CodecError(f"{text} failed: {type(error).__name__}: {error}") from error
    for each in found:
        if each.key not in upcaster.into:
            raise CodecError(f"{text} led to {_named(each.key)}, which it does not name")
    return found


def _named(*keys: Key) -> str:
    return ", ".join(f"{name} {version}" for name, version in keys)
