"""Moving events that stand behind a snapshot from rows to files of the archive.

For each file: 1. the events are chosen in the order of the log, of each stream the next ones that are not archived
yet; 2. each is held against the chain and its seal; 3. the file is written under another name, flushed, renamed and its
folder flushed; 4. it is read back and compared; 5. in one transaction the rows go and the file is listed. Who dies
before the last step leaves rows, and perhaps a file that nobody lists, which the next run writes anew; after it the
file is read. Only what was half written is removed: another store may keep its files in the same folder.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from mainstem.durable import write_durably
from mainstem.errors import StoreBusy, StoreCorrupt, StoreFull, StoreUnavailable, WriteConflict
from mainstem.eventstore.archive import (
    RANGE,
    ArchivedEvent,
    ArchivedRange,
    ArchiveFile,
    read_events,
    written,
)
from mainstem.eventstore.chain import NOTHING, link_of
from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.port import StoredEvent
from mainstem.eventstore.seal import Entry, opened
from mainstem.folder import Folder

EVENTS_MAX = 16_384
"""So many events are in a file, and their rows go in one transaction."""

_EVENT = (
    "position, stream, version, type, payload, occurred_at_ms, recorded_at_ms, actor, correlation_id, schema_version,"
    " causation_id, hash, tags"
)
_AT_ONCE = 500
_TRIES = 5
_BYTES_MAX = 32 * 1024 * 1024
"""A file is ended where its events' payloads come to that."""

_NO_SPACE = (28, 122)


class Asked(Struct, frozen=True, kw_only=True):
    """Which events: those behind a snapshot of one of these fingerprints that have all else that is named.

    `before_ms`: recorded before then. `keep_last`: so many of each stream stay rows. `captured_to`: up to which
    position events are known to be captured, where that has to be known.
    """

    fingerprints: tuple[str, ...]
    stream: str | None = None
    before_ms: int | None = None
    keep_last: int | None = None
    captured_to: int | None = None


class Moved(Struct, frozen=True, rename="camel"):
    """What was moved, or would be."""

    events: int
    streams: int
    files: int
    bytes: int


class EventRows(Protocol):
    """The rows of an event store, for whoever moves them. All methods raise StoreError as the store does."""

    def ask(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Any]:
        """All rows of a question, its values marked by `?`."""

    def move(self, file: ArchiveFile, ranges: Sequence[ArchivedRange], positions: Sequence[int]) -> None:
        """In one durable transaction remove the rows at these positions and list the file.

        Capture tells no listener of it. Raises WriteConflict where one of the rows is gone.
        """

    def close(self) -> None:
        """Give everything back. Closing twice is allowed."""


def move(
    rows: EventRows,
    integrity: Integrity,
    folder: Path,
    asked: Asked,
    *,
    clock_ms: Callable[[], int],
    dry_run: bool = False,
    events_max: int = EVENTS_MAX,
    progress: Callable[[int], None] = lambda _: None,
) -> Moved:
    """Move them, beside writers and readers; `progress` hears of positions that are done with.

    Nothing that no seal holds is moved, and nothing above what is captured. Raises StoreBusy where another
    process does the same, StoreCorrupt where an event is not as it was appended, StoreFull or StoreUnavailable for
    trouble with the folder; what was moved before is moved.
    """
    work = _Work(rows, integrity, folder, clock_ms, events_max, dry_run=dry_run)
    last = integrity.last_seal()
    upto = min(each for each in (asked.captured_to, last.sealed_to if last is not None else 0) if each is not None)
    if dry_run:
        work.run(asked, upto, progress)
        return work.moved
    owner = Folder(folder)
    owner.acquire()
    try:
        _remove_parts(folder)
        work.run(asked, upto, progress)
    finally:
        owner.release()
    return work.moved


class _Work:
    """One run."""

    def __init__(
        self,
        rows: EventRows,
        integrity: Integrity,
        folder: Path,
        clock_ms: Callable[[], int],
        events_max: int,
        *,
        dry_run: bool,
    ) -> None:
        self._rows = rows
        self._integrity = integrity
        self._folder = folder
        self._clock_ms = clock_ms
        self._events_max = events_max
        self._dry_run = dry_run
        self._ends: dict[str, tuple[int, bytes | None]] = {}
        self._streams: set[str] = set()
        self._events = self._files = self._bytes = 0

    @property
    def moved(self) -> Moved:
        return Moved(self._events, len(self._streams), self._files, self._bytes)

    def run(self, asked: Asked, upto: int, progress: Callable[[int], None]) -> None:
        after, band, size = 0, list[ArchivedEvent](), 0
        while found := self._candidates(asked, after, upto):
            for each in self._next_of_streams(self._read(found)):
                band.append(each)
                size += len(each.event.payload)
                if len(band) == self._events_max or size >= _BYTES_MAX:
                    self._put(band)
                    band, size = [], 0
            progress(found[-1] - after)
            after = found[-1]
        self._put(band)

    def _candidates(self, asked: Asked, after: int, upto: int) -> list[int]:
        """Positions of rows that stand behind a snapshot; the row that a snapshot is of stays."""
        if not asked.fingerprints:
            return []
        marks = ", ".join("?" * len(asked.fingerprints))
        sql = (
            "SELECT /*+ NO_SEMIJOIN() */ e.position FROM event e WHERE e.position > ? AND e.position <= ? AND EXISTS"
            f" (SELECT 1 FROM snapshot s WHERE s.stream = e.stream AND s.fingerprint IN ({marks})"
            " AND s.version > e.version)"
        )
        values: list[Any] = [after, upto, *asked.fingerprints]
        if asked.stream is not None:
            sql, values = f"{sql} AND e.stream = ?", [*values, asked.stream]
        if asked.before_ms is not None:
            sql, values = f"{sql} AND e.recorded_at_ms < ?", [*values, asked.before_ms]
        head = "(SELECT max(h.version) FROM event h WHERE h.stream = e.stream)"
        sql, values = f"{sql} AND e.version <= {head} - ?", [*values, max(1, asked.keep_last or 1)]
        rows = self._rows.ask(f"{sql} ORDER BY e.position LIMIT ?", (*values, self._events_max))
        return list(dict.fromkeys(position for (position,) in rows))

    def _read(self, positions: Sequence[int]) -> list[ArchivedEvent]:
        found: list[ArchivedEvent] = []
        for start in range(0, len(positions), _AT_ONCE):
            part = positions[start : start + _AT_ONCE]
            sql = f"SELECT {_EVENT} FROM event WHERE position IN ({', '.join('?' * len(part))}) ORDER BY position"
            for position, stream, version, type_, payload, *rest in self._rows.ask(sql, part):
                found.append(ArchivedEvent(position, StoredEvent(stream, version, type_, payload.encode(), *rest)))
        return found

    def _next_of_streams(self, found: Sequence[ArchivedEvent]) -> Iterable[ArchivedEvent]:
        """Those that no gap is before and that a seal holds; each is what was appended."""
        sealed = self._sealed(found)
        for each in found:
            event, entry = each.event, sealed.get(each.position)
            version, previous = self._end_of(event.stream)
            if entry is None or event.version != version + 1:
                continue
            link = link_of(NOTHING if event.hash is None else previous or NOTHING, event)
            fits = link == entry.hash and (event.stream, event.version) == (entry.stream, entry.version)
            if not fits or event.hash != (link if entry.chained else None):
                raise StoreCorrupt(f"{event.stream} {event.version} is not as it was appended: see mainstem verify")
            self._ends[event.stream] = (event.version, event.hash)
            yield each

    def _sealed(self, found: Sequence[ArchivedEvent]) -> dict[int, Entry]:
        wanted = {each.position for each in found}
        seals = self._integrity.seals_over(min(wanted) - 1, max(wanted)) if wanted else ()
        return {entry.position: entry for seal in seals for entry in opened(seal).entries if entry.position in wanted}

    def _end_of(self, stream: str) -> tuple[int, bytes | None]:
        """The last version that is archived, and its hash."""
        if stream not in self._ends:
            sql = f"SELECT {RANGE} FROM archived_stream WHERE stream = ? ORDER BY last_version DESC LIMIT 1"
            rows = [ArchivedRange(*row) for row in self._rows.ask(sql, (stream,))]
            self._ends[stream] = (rows[0].last_version, rows[0].hash) if rows else (0, None)
        return self._ends[stream]

    def _put(self, band: Sequence[ArchivedEvent]) -> None:
        """One file."""
        if not band:
            return
        content = written(band)
        if not self._dry_run:
            file = _file_of(band, content, self._clock_ms())
            _write(self._folder, file, content)
            _compare(self._folder, file, band)
            self._commit(file, _ranges_of(band, file.name), [each.position for each in band])
            self._ends.clear()
        self._events += len(band)
        self._files += 1
        self._bytes += len(content)
        self._streams.update(each.event.stream for each in band)

    def _commit(self, file: ArchiveFile, ranges: Sequence[ArchivedRange], positions: Sequence[int]) -> None:
        for left in reversed(range(_TRIES)):
            try:
                self._rows.move(file, ranges, positions)
            except (StoreBusy, WriteConflict):
                if not left:
                    raise
            else:
                return


def _file_of(band: Sequence[ArchivedEvent], content: bytes, now_ms: int) -> ArchiveFile:
    digest, first, last = sha256(content).digest(), band[0].position, band[-1].position
    name = f"events-{first}-{last}-{digest.hex()[:16]}.parquet"
    return ArchiveFile(name, digest, len(content), len(band), first, last, now_ms)


def _ranges_of(band: Sequence[ArchivedEvent], name: str) -> list[ArchivedRange]:
    found: dict[str, ArchivedRange] = {}
    for each in band:
        event = each.event
        first = found[event.stream].first_version if event.stream in found else event.version
        found[event.stream] = ArchivedRange(event.stream, first, event.version, name, event.hash)
    return list(found.values())


def _write(folder: Path, file: ArchiveFile, content: bytes) -> None:
    """Durable under its name, or not there under it."""
    try:
        write_durably(folder / file.name, content)
    except OSError as error:
        kind = StoreFull if error.errno in _NO_SPACE else StoreUnavailable
        raise kind(f"the archive {folder} cannot be written: {error.strerror}") from error


def _compare(folder: Path, file: ArchiveFile, band: Sequence[ArchivedEvent]) -> None:
    """What stands in the file is what is to go."""
    try:
        content = (folder / file.name).read_bytes()
    except OSError as error:
        raise StoreUnavailable(f"{file.name} of the archive cannot be read: {error.strerror}") from error
    found = {each.position: each for each in read_events(content, file)}
    if sha256(content).digest() != file.digest or found != {each.position: each for each in band}:
        raise StoreCorrupt(f"{file.name} does not read as it was written: nothing of it was moved")


def _remove_parts(folder: Path) -> None:
    """What a run that died has half written."""
    for path in folder.glob("events-*.parquet.part"):
        with suppress(FileNotFoundError):
            path.unlink()
