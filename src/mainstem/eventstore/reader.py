"""Stored events as today's, wherever a store is read: one stream at a time, or all of them mixed."""

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from mainstem.codec import EventCodec
from mainstem.errors import ConfigurationError
from mainstem.eventstore.port import StoredEvent
from mainstem.messages import Event
from mainstem.upcasting import StreamUpcasting

E = TypeVar("E", bound=Event)


class Streams(Protocol):
    """What has streams to read; an event store."""

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
        """At most `limit` events of one stream with a version above `after`, in order."""


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

    def of_stream(self, stored: Sequence[StoredEvent]) -> list[E]:
        """Consecutive events of one stream. Their number may be another than that of the stored ones."""
        if self._all_today(stored):
            return self._codec.payloads.many([each.payload for each in stored])
        upcasting: StreamUpcasting[StoredEvent] = StreamUpcasting(self._upcasting)
        for each in stored:
            upcasting.push(each, self._codec.data(each, each.type, each.schema_version, each.payload))
        return [self._codec.event(place, event) for place, event in upcasting.finish()]

    def each(self, stored: Sequence[StoredEvent]) -> list[tuple[StoredEvent, E]]:
        """Events of any streams, one at a time: none is merged with another, see `check_alone`."""
        if self._all_today(stored):
            events = self._codec.payloads.many([each.payload for each in stored])
            return list(zip(stored, events, strict=True))
        return [(place, event) for place in stored for event in self.one(place)]

    def one(self, stored: StoredEvent) -> list[E]:
        """What one stored event is today, whatever stands beside it: one event, several or none."""
        data = self._codec.data(stored, stored.type, stored.schema_version, stored.payload)
        return [self._codec.event(stored, each) for each in self._upcasting.alone(stored, data)]

    def check_alone(self) -> None:
        """Raises ConfigurationError where an event is merged only, for whoever is to call `each`."""
        self._upcasting.check_alone()

    def history(
        self,
        store: Streams,
        stream: str,
        *,
        until_version: int | None = None,
        until_ms: int | None = None,
        page: int = 1000,
    ) -> Iterator[tuple[StoredEvent, E]]:
        """A whole stream in pages, up to a version or to an event time, both included.

        Where that is between two events that are merged, the first stands alone.
        """
        upcasting: StreamUpcasting[StoredEvent] = StreamUpcasting(self._upcasting)
        after = 0
        while stored := store.read(stream, after, page):
            wanted = [each for each in stored if _within(each, until_version, until_ms)]
            for each in wanted:
                upcasting.push(each, self._codec.data(each, each.type, each.schema_version, each.payload))
            yield from ((place, self._codec.event(place, event)) for place, event in upcasting.take())
            after = stored[-1].version
            if len(wanted) < len(stored):
                break
        yield from ((place, self._codec.event(place, event)) for place, event in upcasting.finish())

    def _all_today(self, stored: Sequence[StoredEvent]) -> bool:
        versions = self._upcasting.versions
        return all(versions.get(each.type) == each.schema_version for each in stored)


def _within(stored: StoredEvent, version: int | None, at_ms: int | None) -> bool:
    return (version is None or stored.version <= version) and (at_ms is None or stored.occurred_at_ms <= at_ms)
