"""History: an aggregate as it stood at any moment, what happened to it, and what lies between two moments.

Both times of an event are kept, as in a bitemporal table: when it occurred, and when it was recorded. A moment takes
the events of a stream up to the first that is later, so that what stood then is the fold of the stream's beginning.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from mainstem.decider import Decider, Stamp
from mainstem.errors import CodecError, InvalidQuery, StoreCorrupt
from mainstem.eventstore.port import StoredEvent
from mainstem.eventstore.reader import EventReader, Streams, Tags
from mainstem.messages import NOW, AsOf, Event
from mainstem.tenancy import key_of, qualified, read_stream


class Happened(Struct, frozen=True):
    """An event of the past, when it occurred and was recorded (milliseconds since the epoch), and who caused it."""

    version: int
    event: Event
    occurred_at_ms: int
    recorded_at_ms: int
    actor: str
    correlation_id: str | None
    causation_id: str | None


class HappenedTagged(Struct, frozen=True):
    """An event of a stream, found by a tag, with its number among those that have the tag."""

    number: int
    stream: str
    happened: Happened


class Past(Struct, frozen=True):
    """An aggregate as it stood: version 0, and the decider's initial state, where nothing had happened yet.

    Of a tenant's aggregate the id is ``/tenant/id``.
    """

    aggregate_id: str
    version: int
    state: Any
    row: Struct | None = None
    occurred_at_ms: int = 0
    recorded_at_ms: int = 0


class Change(Struct, frozen=True):
    """A field of the state that has another value at the later of two moments."""

    field: str
    before: Any
    after: Any


class Between(Struct, frozen=True):
    """Two moments of one aggregate, and the fields of its state that differ."""

    before: Past
    after: Past
    changes: tuple[Change, ...]


class History:
    """The history of one decider's aggregates, from any thread.

    All questions raise StoreCorrupt where an event cannot be read, and StoreError as the store does. They read a stream
    from its first event on: their cost grows with the version that they ask for. They are about one tenant's aggregate.
    """

    def __init__(self, store: Streams, decider: Decider[Any, Any, Any]) -> None:
        self._store = store
        self._decider = decider
        self._reader: EventReader[Event] = EventReader(decider.events)

    def events(
        self, aggregate_id: str, after: int = 0, limit: int = 100, *, tenant: str | None = None
    ) -> Sequence[Happened]:
        """At most so many of its events with a version above `after`, in their order."""
        stream = self._decider.stream(aggregate_id, tenant)
        try:
            found = self._reader.each(self._store.read(stream, after, limit))
        except CodecError as error:
            raise StoreCorrupt(str(error)) from error
        return [_happened(stored, event) for stored, event in found]

    def at(self, aggregate_id: str, moment: AsOf = NOW, *, tenant: str | None = None) -> Past:
        """The aggregate at that moment. Raises InvalidQuery for a version that it has not come to."""
        past = self._advance(self._decider.stream(aggregate_id, tenant), moment)
        if moment.version is not None and past.version < moment.version:
            raise InvalidQuery(f"{aggregate_id} has no version {moment.version}: it stands at {past.version}")
        return past

    def between(self, aggregate_id: str, earlier: AsOf, later: AsOf = NOW, *, tenant: str | None = None) -> Between:
        """What has changed from one moment to the other. Raises InvalidQuery where they come in the other order."""
        before, after = (self.at(aggregate_id, moment, tenant=tenant) for moment in (earlier, later))
        if after.version < before.version:
            raise InvalidQuery(f"the first moment (version {before.version}) is after the second ({after.version})")
        changes = (
            Change(name, old, new)
            for name in before.state.__struct_fields__
            if (old := getattr(before.state, name)) != (new := getattr(after.state, name))
        )
        return Between(before, after, tuple(changes))

    def _advance(self, stream: str, moment: AsOf) -> Past:
        state, last, key = self._decider.initial, None, key_of(stream)
        try:
            for stored, event in self._reader.history(self._store, stream, moment):
                state, last = self._decider.evolve(state, event), stored
        except CodecError as error:
            raise StoreCorrupt(str(error)) from error
        if last is None:
            return Past(key, 0, state)
        declared = self._decider.state_row
        stamp = Stamp(key, last.version, last.occurred_at_ms)
        row = None if declared is None else declared.row(state, stamp)
        return Past(key, last.version, state, row, last.occurred_at_ms, last.recorded_at_ms)


class TagHistory:
    """What happened to aggregates of several deciders, found by tags, from any thread.

    Questions raise StoreCorrupt where an event cannot be read, and StoreError as the store does.
    """

    def __init__(self, store: Tags, deciders: Sequence[Decider[Any, Any, Any]]) -> None:
        self._store = store
        self._readers: dict[str, EventReader[Event]] = {each.category: EventReader(each.events) for each in deciders}

    def events(
        self, tag: str, after: int = 0, limit: int = 100, *, tenant: str | None = None
    ) -> Sequence[HappenedTagged]:
        """At most so many of the tenant's events with that tag, of a number above `after`, in their order."""
        found = list[HappenedTagged]()
        for each in self._store.read_tagged(qualified(tenant, tag), after, limit):
            stream = each.event.stream
            reader = self._readers.get(read_stream(stream).category)
            if reader is None:
                raise StoreCorrupt(f"an event of {stream} has the tag {tag}, and no decider has its category")
            try:
                found += [HappenedTagged(each.number, stream, _happened(*one)) for one in reader.each([each.event])]
            except CodecError as error:
                raise StoreCorrupt(str(error)) from error
        return found


def _happened(s: StoredEvent, event: Event) -> Happened:
    return Happened(s.version, event, s.occurred_at_ms, s.recorded_at_ms, s.actor, s.correlation_id, s.causation_id)
