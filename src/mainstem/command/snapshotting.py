"""Snapshots are taken and written off the command's path, by a thread of its own: they are speed, and nothing else."""

import hashlib
import threading
from itertools import islice
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import replace

from mainstem.codec import Decoder, encode
from mainstem.errors import CodecError, MainstemError
from mainstem.eventstore.port import EventStore, Snapshot

_log = structlog.get_logger(__name__)

_BATCH = 32


class Due(Struct, frozen=True):
    """A state that is to be kept: that of a stream as of a version, folded by the code of that fingerprint."""

    stream: str
    fingerprint: str
    version: int
    occurred_at_ms: int
    taken_at_ms: int
    state: Any


class SnapshotCounts(Struct, frozen=True):
    """How many were kept since the start, were turned away since too many waited, and could not be kept."""

    kept: int = 0
    dropped: int = 0
    failed: int = 0


def sealed(due: Due) -> Snapshot:
    """The state encoded, with its digest. Raises CodecError where it would not come back as the state that it is."""
    try:
        state = encode(due.state)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CodecError(f"the state cannot be encoded: {error}") from error
    if Decoder[Any](type(due.state)).one(state) != due.state:
        raise CodecError("the state is another after encoding and decoding")
    unsealed = Snapshot(due.version, due.occurred_at_ms, due.fingerprint, due.taken_at_ms, state, b"")
    return replace(unsealed, digest=_digest(due.stream, unsealed))


def intact(stream: str, snapshot: Snapshot) -> bool:
    """Whether it is what was written for that stream."""
    return snapshot.digest == _digest(stream, snapshot)


def _digest(stream: str, snapshot: Snapshot) -> bytes:
    words = (stream, snapshot.version, snapshot.occurred_at_ms, snapshot.fingerprint, snapshot.taken_at_ms)
    return hashlib.blake2b(encode(words) + snapshot.state, digest_size=16).digest()


class SnapshotWriter:
    """Keeps what it is offered, the newest of each stream. One thread, between `start` and `stop`."""

    def __init__(self, store: EventStore, *, waiting_max: int) -> None:
        self._store = store
        self._waiting_max = waiting_max
        self._waiting: dict[tuple[str, str], Due] = {}
        self._changed = threading.Condition()
        self._open = False
        self._thread: threading.Thread | None = None
        self._counts = SnapshotCounts()
        self._unfit: set[str] = set()

    def open(self) -> None:
        """Take what is offered without a thread: `step` keeps it."""
        self._open = True

    def start(self) -> None:
        """Start the thread."""
        self.open()
        self._thread = threading.Thread(target=self._run, name="snapshot-writer", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Take no more, write those that wait, end the thread; what is not written in time is not kept."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None

    def offer(self, due: Due) -> bool:
        """Put it down to be kept; False, and nothing more, where too many wait. Never waits itself."""
        place = (due.stream, due.fingerprint)
        with self._changed:
            if not self._open or (place not in self._waiting and len(self._waiting) >= self._waiting_max):
                self._counts = replace(self._counts, dropped=self._counts.dropped + 1)
                return False
            self._waiting[place] = due
            self._changed.notify()
            return True

    def counts(self) -> SnapshotCounts:
        """A picture of the moment."""
        return self._counts

    def step(self) -> int:
        """Keep what waits, at most a batch, where no thread does; how many were seen to."""
        with self._changed:
            batch = list(islice(self._waiting.values(), _BATCH))
        if batch:
            self._keep(batch)
        return len(batch)

    def _run(self) -> None:
        while batch := self._next_batch():
            self._keep(batch)

    def _next_batch(self) -> list[Due]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._open)
            return list(islice(self._waiting.values(), _BATCH))

    def _keep(self, batch: list[Due]) -> None:
        kept = 0
        try:
            sealed_ones = [(due.stream, snapshot) for due in batch if (snapshot := self._sealed(due)) is not None]
            self._store.keep_snapshots(sealed_ones)
            kept = len(sealed_ones)
        except MainstemError as error:
            _log.warning("snapshots are not kept", snapshots=len(batch), cause=str(error))
        except Exception as error:
            _log.error("taking a snapshot met a fault in the program", exc_info=error)
        self._done(batch, kept)

    def _done(self, batch: list[Due], kept: int) -> None:
        """What was replaced by a newer one meanwhile waits on."""
        with self._changed:
            for due in batch:
                place = (due.stream, due.fingerprint)
                if self._waiting.get(place) is due:
                    del self._waiting[place]
            counts = self._counts
            self._counts = replace(counts, kept=counts.kept + kept, failed=counts.failed + len(batch) - kept)
            self._changed.notify_all()

    def _sealed(self, due: Due) -> Snapshot | None:
        try:
            return sealed(due)
        except CodecError as error:
            if due.fingerprint not in self._unfit:
                self._unfit.add(due.fingerprint)
                _log.warning("a state is of a kind that no snapshot can hold", stream=due.stream, cause=str(error))
            return None
