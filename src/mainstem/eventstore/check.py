"""Whether every stored event can be read by today's classes: found ahead of time, over a whole store."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from msgspec import Struct

from mainstem.codec import EventCodec
from mainstem.decider import Decider
from mainstem.errors import CodecError
from mainstem.eventstore.port import RefusalReader, StoredEvent, TenantReader
from mainstem.eventstore.reader import EventReader, Streams, Tags
from mainstem.evolution.upcasting import StreamUpcasting
from mainstem.tenancy import read_stream

_PAGE = 1000
_STREAMS_KEPT = 100


class Unreadable(Struct, frozen=True, rename="camel"):
    """A stored event that today's classes cannot read, its place, and why."""

    stream: str
    version: int
    name: str
    schema_version: int
    why: str


class StoredEvents(Streams, Tags, Protocol):
    """All events of a store, and the refused commands beside them, to be read only."""

    @property
    def refusals(self) -> RefusalReader:
        """The refused commands."""

    @property
    def tenants(self) -> TenantReader:
        """Whose the events are."""

    def count(self) -> int:
        """About how many there are."""

    def read_all(self, batch: int = 1000) -> Iterator[Sequence[StoredEvent]]:
        """All of them, in batches."""

    def close(self) -> None:
        """Give everything back."""


def unreadable(
    store: StoredEvents, deciders: Sequence[Decider[Any, Any, Any]], progress: Callable[[int], None] = lambda _: None
) -> Iterator[Unreadable]:
    """Each event that a fold cannot read, as it is found; `progress` hears of the number of events looked at.

    Holds a batch of events in memory, and of the last streams in which events are merged what was found in them.
    """
    checks = {decider.category: _Check(decider, store) for decider in deciders}
    for batch in store.read_all(_PAGE):
        by_category: dict[str, list[StoredEvent]] = {}
        for stored in batch:
            by_category.setdefault(read_stream(stored.stream).category, []).append(stored)
        for category, events in by_category.items():
            check = checks.get(category)
            if check is None:
                yield from (_unreadable(each, f"no decider has the category {category}") for each in events)
            else:
                yield from check.of(events)
        progress(len(batch))


class _Check:
    """The check of one decider's events."""

    def __init__(self, decider: Decider[Any, Any, Any], store: StoredEvents) -> None:
        self._reader: EventReader[Any] = EventReader(decider.events)
        self._codec: EventCodec[Any] = EventCodec(decider.events)
        self._store = store
        self._streams: OrderedDict[str, dict[int, str]] = OrderedDict()

    def of(self, events: Sequence[StoredEvent]) -> Iterator[Unreadable]:
        """Those of any streams; at once where all are well."""
        with suppress(CodecError):
            self._reader.each(events)
            return
        for stored in events:
            try:
                self._reader.one(stored)
            except CodecError as error:
                why = self._beside(stored).get(stored.version) if self._codec.upcasting.merges else str(error)
                if why is not None:
                    yield _unreadable(stored, why)

    def _beside(self, stored: StoredEvent) -> dict[int, str]:
        """What cannot be read of an event's whole stream, where its neighbours count."""
        found = self._streams.pop(stored.stream, None)
        if found is None:
            found = self._of_stream(stored.stream)
        self._streams[stored.stream] = found
        if len(self._streams) > _STREAMS_KEPT:
            self._streams.popitem(last=False)
        return found

    def _of_stream(self, stream: str) -> dict[int, str]:
        found: dict[int, str] = {}
        upcasting: StreamUpcasting[StoredEvent] = StreamUpcasting(self._codec.upcasting, found.__setitem__)
        after = 0
        while page := self._store.read(stream, after, _PAGE):
            for stored in page:
                try:
                    data = self._codec.data(stored, stored.type, stored.schema_version, stored.payload)
                except CodecError as error:
                    found[stored.version] = str(error)
                else:
                    upcasting.push(stored, data)
            self._fit(upcasting, found)
            after = page[-1].version
        upcasting.close()
        self._fit(upcasting, found)
        return found

    def _fit(self, upcasting: StreamUpcasting[StoredEvent], found: dict[int, str]) -> None:
        for place, event in upcasting.take():
            try:
                self._codec.event(place, event)
            except CodecError as error:
                found[place.version] = str(error)


def _unreadable(stored: StoredEvent, why: str) -> Unreadable:
    return Unreadable(stored.stream, stored.version, stored.type, stored.schema_version, why)
