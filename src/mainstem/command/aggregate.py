"""An aggregate as the writer holds it: folded from its events, remembered for the next command, never trusted."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mainstem.codec import Decoder, encode, event_payloads
from mainstem.decider import Decider, Stamp
from mainstem.errors import CodecError, StoreCorrupt
from mainstem.eventstore.port import NewEvent, Snapshot, StoredEvent, StoreTransaction, Wanted
from mainstem.messages import Event, Origin


class Folded(Struct, frozen=True):
    """A state with the version it stands at, its state row, and the version of the stream's last snapshot."""

    state: Any
    version: int = 0
    occurred_at_ms: int = 0
    row: Struct | None = None
    snapshot_version: int = 0


class Aggregates:
    """Loads and appends aggregates of one decider.

    Streams are append-only, so a remembered state is always the fold of a stream's beginning: loading reads what came
    after it, and forgets it where the store's stream is shorter. What is remembered saves time and decides nothing.
    """

    def __init__(self, decider: Decider[Any, Any, Any], *, remembered: int, snapshot_every: int) -> None:
        self.decider = decider
        self._remembered_max = remembered
        self._snapshot_every = snapshot_every
        self._decoder: Decoder[Event] = event_payloads(decider.events)
        self._fingerprint = decider.fingerprint()
        self._known: OrderedDict[str, Folded] = OrderedDict()

    def load(self, transaction: StoreTransaction, stream: str) -> Folded:
        """The aggregate as it stands in the store. Raises StoreCorrupt where an event cannot be read."""
        known = self._known.get(stream) or self._from_snapshot(transaction, stream)
        stored = transaction.load(stream, known.version)
        if stored is None:
            self._known.pop(stream, None)
            known = Folded(self.decider.initial)
            stored = transaction.load(stream, 0) or ()
        return self._advance(stream, known, stored) if stored else known

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
    ) -> Folded:
        """Append the events with the state row, and a snapshot when one is due. The aggregate after them."""
        at_ms = max(now_ms, before.occurred_at_ms)
        new = [NewEvent(str(type(event).__struct_config__.tag), encode(event)) for event in events]
        transaction.append(stream, before.version, new, occurred_at_ms=at_ms, origin=origin)
        state = self.decider.fold(before.state, events)
        version = before.version + len(events)
        row = self._row(stream, state, version, at_ms)
        if self.decider.state_row is not None:
            transaction.put_state(self.decider.state_row.table, before.row, row)
        after = Folded(state, version, at_ms, row, before.snapshot_version)
        if version - before.snapshot_version < self._snapshot_every:
            return after
        transaction.keep_snapshot(stream, Snapshot(version, at_ms, self._fingerprint, encode(state)))
        return msgspec.structs.replace(after, snapshot_version=version)

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
        snapshot = transaction.snapshot(stream, self._fingerprint)
        if snapshot is None:
            return Folded(self.decider.initial)
        state = Decoder[Any](type(self.decider.initial)).one(snapshot.state)
        row = self._row(stream, state, snapshot.version, snapshot.occurred_at_ms)
        return Folded(state, snapshot.version, snapshot.occurred_at_ms, row, snapshot.version)

    def _advance(self, stream: str, known: Folded, stored: Sequence[StoredEvent]) -> Folded:
        try:
            events = self._decoder.many([event.payload for event in stored])
        except CodecError as error:
            raise StoreCorrupt(f"an event of {stream} after version {known.version} cannot be read: {error}") from error
        state = self.decider.fold(known.state, events)
        last = stored[-1]
        row = self._row(stream, state, last.version, last.occurred_at_ms)
        return Folded(state, last.version, last.occurred_at_ms, row, known.snapshot_version)

    def _row(self, stream: str, state: Any, version: int, at_ms: int) -> Struct | None:
        declared = self.decider.state_row
        if declared is None:
            return None
        return declared.row(state, Stamp(stream.partition("-")[2], version, at_ms))
