"""An aggregate as the writer holds it: folded from its events, remembered for the next command, never trusted."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace

from mainstem.codec import Decoder
from mainstem.command.boundary import Tagged, Tags
from mainstem.command.finite import endless_field, numbers_of
from mainstem.command.naming import Naming
from mainstem.command.snapshotting import Due, intact
from mainstem.decider import Decider, Stamp
from mainstem.errors import CodecError, ConfigurationError, StoreCorrupt
from mainstem.eventstore.port import NONE_STANDING, NewEvent, StoredEvent, StoreTransaction, Wanted
from mainstem.eventstore.reader import EventReader
from mainstem.messages import Event, Origin
from mainstem.snapshots import Snapshots
from mainstem.tenancy import key_of

_log = structlog.get_logger(__name__)

_REPLACE_MAX = 1_000


class Folded(Struct, frozen=True):
    """A state with the version it stands at and its state row; and what makes a snapshot due.

    The last snapshot's version and time, the time of the first event where there is none, and how long loading took.
    """

    state: Any
    version: int = 0
    occurred_at_ms: int = 0
    row: Struct | None = None
    snapshot_version: int = 0
    snapshot_at_ms: int = 0
    sourced_ms: float = 0.0


class Aggregates:
    """Loads and appends aggregates of one decider.

    Streams are append-only, so a remembered state is always the fold of a stream's beginning: loading reads what came
    after it, and forgets it where the store's stream is shorter. What is remembered saves time and decides nothing.
    """

    def __init__(
        self, decider: Decider[Any, Any, Any], *, remembered: int, snapshots: Snapshots, naming: Naming
    ) -> None:
        self.decider = decider
        self._naming = naming
        self._remembered_max = remembered
        self._snapshots = snapshots
        self._reader: EventReader[Event] = EventReader(decider.events)
        self._numbers: dict[type[Event], tuple[str, ...]] = {event: numbers_of(event) for event in decider.events}
        self._states: Decoder[Any] = Decoder(type(decider.initial))
        self._fingerprint = "" if snapshots.never else decider.fingerprint()
        self._known: OrderedDict[str, Folded] = OrderedDict()
        self._to_replace: set[str] = set()

    def load(self, transaction: StoreTransaction, stream: str, read_s: float = 0.0) -> Folded:
        """The aggregate as it stands in the store. Raises StoreCorrupt where an event cannot be read.

        `read_s` is what reading its events has taken already.
        """
        began = time.perf_counter()
        known = self._known.get(stream) or self._from_snapshot(transaction, stream)
        stored = transaction.load(stream, known.version)
        if stored is None:
            self._known.pop(stream, None)
            known = Folded(self.decider.initial)
            stored = transaction.load(stream, 0) or ()
        if not stored:
            return known
        folded = self._advance(stream, known, stored)
        return replace(folded, sourced_ms=(time.perf_counter() - began + read_s) * 1000)

    def wanted(self, stream: str) -> Wanted:
        """What loading it will ask the store for."""
        known = self._known.get(stream)
        return Wanted(stream, known.version if known else 0, self._fingerprint)

    def append(
        self,
        transaction: StoreTransaction,
        stream: str,
        before: Folded,
        events: list[Event],
        *,
        now_ms: int,
        origin: Origin,
        standing: Mapping[str, int] = NONE_STANDING,
    ) -> tuple[Folded, list[Tagged]]:
        """Append the events with the state row, on condition of `standing`. The aggregate after them, and they.

        What is folded, and returned with its tags, are the events as they will be read. Raises ConfigurationError for
        one that could not be.
        """
        at_ms = max(now_ms, before.occurred_at_ms)
        state, new, tagged = self._encoded(before.state, events, origin.tenant)
        transaction.append(stream, before.version, new, occurred_at_ms=at_ms, origin=origin, standing=standing)
        version = before.version + len(events)
        row = self._row(stream, state, version, at_ms)
        if self.decider.state_row is not None:
            transaction.put_state(self.decider.state_row.table, before.row, row)
        since_ms = before.snapshot_at_ms or at_ms
        return Folded(state, version, at_ms, row, before.snapshot_version, since_ms, before.sourced_ms), tagged

    def offer_snapshot(self, stream: str, folded: Folded, now_ms: int, offer: Callable[[Due], bool]) -> Folded:
        """Offer what is to be kept if that is due; the aggregate with its new snapshot, if the offer was taken."""
        events, age_ms = folded.version - folded.snapshot_version, now_ms - folded.snapshot_at_ms
        due = self._snapshots.due(events, age_ms, folded.sourced_ms) or stream in self._to_replace
        if not due or not offer(
            Due(stream, self._fingerprint, folded.version, folded.occurred_at_ms, now_ms, folded.state)
        ):
            return folded
        self._to_replace.discard(stream)
        return replace(folded, snapshot_version=folded.version, snapshot_at_ms=now_ms, sourced_ms=0.0)

    def _encoded(self, state: Any, events: list[Event], tenant: str | None) -> tuple[Any, list[NewEvent], list[Tagged]]:
        """The state after the events, they as they are stored, and as they will be read."""
        boundary, new, tagged = self.decider.boundary, [], []
        for event in events:
            name, schema_version = self._reader.stamp(event)
            read, payload = self._reader.kept(event)
            if (endless := endless_field(read, self._numbers.get(type(read), ()))) is not None:
                text = f"{endless} has a number that is none, or has no end"
                raise ConfigurationError(f"an event {type(read).__name__} does not fit its class: {text}")
            state = self.decider.evolve(state, read)
            tags: Tags = ()
            if boundary is not None and (own := boundary.tags_of(state, read)):
                tags = self._naming.given(own, tenant)
            new.append(NewEvent(name, payload, schema_version, tags))
            tagged.append((read, tags))
        return state, new, tagged

    def remember(self, stream: str, folded: Folded) -> None:
        """Keep it for the next command; the one that was used least recently goes."""
        self._known[stream] = folded
        self._known.move_to_end(stream)
        if len(self._known) > self._remembered_max:
            self._known.popitem(last=False)

    def forget(self, stream: str) -> None:
        """The next load begins at the snapshot, or at the first event."""
        self._known.pop(stream, None)

    def _from_snapshot(self, transaction: StoreTransaction, stream: str) -> Folded:
        """Where folding begins. What cannot be read, or was changed, is left and another taken when it can be."""
        snapshot = transaction.snapshot(stream, self._fingerprint) if self._fingerprint else None
        if snapshot is None:
            return Folded(self.decider.initial)
        try:
            if not intact(stream, snapshot):
                raise CodecError("it is not what was written")
            state = self._states.one(snapshot.state)
        except CodecError as error:
            _log.warning("a snapshot is damaged and is not used", stream=stream, cause=str(error))
            if len(self._to_replace) < _REPLACE_MAX:
                self._to_replace.add(stream)
            return Folded(self.decider.initial)
        at_ms = snapshot.occurred_at_ms
        row = self._row(stream, state, snapshot.version, at_ms)
        return Folded(state, snapshot.version, at_ms, row, snapshot.version, snapshot.taken_at_ms)

    def _advance(self, stream: str, known: Folded, stored: Sequence[StoredEvent]) -> Folded:
        try:
            events = self._reader.of_stream(stored)
        except CodecError as error:
            raise StoreCorrupt(f"an event of {stream} after version {known.version} cannot be read: {error}") from error
        last = stored[-1]
        if last.version != known.version + len(stored):
            raise StoreCorrupt(f"events of {stream} are missing behind version {known.version}: see mainstem verify")
        state = self.decider.fold(known.state, events)
        row = self._row(stream, state, last.version, last.occurred_at_ms)
        since_ms = known.snapshot_at_ms or stored[0].occurred_at_ms
        return Folded(state, last.version, last.occurred_at_ms, row, known.snapshot_version, since_ms)

    def _row(self, stream: str, state: Any, version: int, at_ms: int) -> Struct | None:
        declared = self.decider.state_row
        if declared is None:
            return None
        row = declared.row(state, Stamp(key_of(stream), version, at_ms))
        return None if row is None else declared.table.exact(row)
