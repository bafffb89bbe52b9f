"""Stored events as today's, wherever a store is read: one stream at a time, or all of them mixed."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import Generic, Protocol, TypeVar

from mainstem.codec import EventCodec
from mainstem.errors import ConfigurationError
from mainstem.eventstore.port import StoredEvent, TaggedEvent
from mainstem.evolution import EventData
from mainstem.evolution.upcasting import StreamUpcasting
from mainstem.messages import NOW, AsOf, Event

E = TypeVar("E", bound=Event)


class Streams(Protocol):
    """What has streams to read; an event store."""

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
        """At most `limit` events of one stream with a version above `after`, in order."""


class Tags(Protocol):
    """What has tags to read by; an event store."""

    def read_tagged(self, tag: str, after: int = 0, limit: int = 1000) -> Sequence[TaggedEvent]:
        """At most `limit` events with that tag and a number above `after`, in order."""


class EventReader(Generic[E]):
    """Reads stored events as these classes. An event's place (stream, version, times) is always the stored one's.

    Raises ConfigurationError where two events share a name, or an upcaster cannot work. All methods raise
    UnknownEvent for an event that has no path to today's class, and CodecError for one that does not fit it.
    """

    def __init__(self, events: Sequence[type[E]]) -> None:
        self._codec = EventCodec(events)
        self._upcasting = self._codec.upcasting

    def stamp(self, event: E) -> tuple[str, int]:
        """The name and schema version under which the event is stored. Raises ConfigurationError for an unknown one."""
        try:
            return self._upcasting.keys[type(event)]
        except KeyError:
            raise ConfigurationError(f"{type(event).__name__} is not declared as an event") from None

    def kept(self, event: E) -> tuple[E, bytes]:
        """The event as it will be read, and its payload to store. Raises ConfigurationError where it does not fit."""
        return self._codec.kept(event)

    def of_stream(self, stored: Sequence[StoredEvent]) -> list[E]:
        """Consecutive events of one stream. Their number may be another than that of the stored ones."""
        events = self._at_once(stored)
        if events is not None:
            return events
        upcasting: StreamUpcasting[StoredEvent] = StreamUpcasting(self._upcasting)
        for each in stored:
            upcasting.push(each, self._data(each))
        return [self._codec.event(place, event) for place, event in upcasting.finish()]

    def each(self, stored: Sequence[StoredEvent]) -> list[tuple[StoredEvent, E]]:
        """Events of any streams, one at a time: none is merged with another, see `check_alone`."""
        events = self._at_once(stored)
        if events is not None:
            return list(zip(stored, events, strict=True))
        return [(place, event) for place in stored for event in self.one(place)]

    def one(self, stored: StoredEvent) -> list[E]:
        """What one stored event is today, whatever stands beside it: one event, several or none."""
        return [self._codec.event(stored, each) for each in self._upcasting.alone(stored, self._data(stored))]

    def check_alone(self) -> None:
        """Raises ConfigurationError where an event is merged only, for whoever is to call `each`."""
        self._upcasting.check_alone()

    def history(
        self, store: Streams, stream: str, moment: AsOf = NOW, page: int = 1000
    ) -> Iterator[tuple[StoredEvent, E]]:
        """A whole stream in pages, up to a moment: the events before the first that is later.

        Where that is between two events that are merged, the first stands alone.
        """
        upcasting: StreamUpcasting[StoredEvent] = StreamUpcasting(self._upcasting)
        after = 0
        while stored := store.read(stream, after, _upto(moment, after, page)):
            wanted = stored if _is_behind(moment, stored[-1]) else list(takewhile(partial(_reaches, moment), stored))
            events = self._at_once(wanted) if upcasting.empty else None
            if events is not None:
                yield from zip(wanted, events, strict=True)
            else:
                for each in wanted:
                    upcasting.push(each, self._data(each))
                yield from ((place, self._codec.event(place, event)) for place, event in upcasting.take())
            after = stored[-1].version
            if len(wanted) < len(stored) or after == moment.version:
                break
        yield from ((place, self._codec.event(place, event)) for place, event in upcasting.finish())

    def _at_once(self, stored: Sequence[StoredEvent]) -> list[E] | None:
        """All of them in one pass of the decoder; None where one is not of today."""
        versions = self._upcasting.versions
        if any(versions.get(each.type) != each.schema_version for each in stored):
            return None
        return self._codec.payloads.many([each.payload for each in stored])

    def _data(self, stored: StoredEvent) -> EventData:
        return self._codec.data(stored, stored.type, stored.schema_version, stored.payload)


def _upto(moment: AsOf, after: int, page: int) -> int:
    """How many events behind `after` may be wanted, a page at most."""
    return page if moment.version is None else max(1, min(page, moment.version - after))


def _is_behind(moment: AsOf, last: StoredEvent) -> bool:
    """Whether the moment is behind all of a page, as the last of it tells; times need not rise."""
    return moment.at_ms is None and _reaches(moment, last)


def _reaches(moment: AsOf, stored: StoredEvent) -> bool:
    if moment.version is not None and stored.version > moment.version:
        return False
    at_ms = stored.recorded_at_ms if moment.recorded else stored.occurred_at_ms
    return moment.at_ms is None or at_ms <= moment.at_ms
