"""Events that were moved to Parquet files, read through the same interface as rows.

A file holds a band of the log, sorted by stream and version, so that the statistics of its row groups lead to a
stream. It is listed in the store that its events were moved from, with the SHA-256 of its bytes; every read holds the
bytes against that first, so that nothing of a damaged file is ever served. Of each stream the first versions are
archived, up to one that is listed too, and the last event always stays a row: so where rows of a stream begin later
than they should, the list says where the rest is, and where they do not, nothing has to be asked.
"""

import io
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from hashlib import sha256
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from msgspec import Struct

from mainstem.errors import StoreCorrupt, StoreUnavailable
from mainstem.eventstore.port import StoredEvent

Ask = Callable[[str, Sequence[Any]], Iterable[Any]]
"""Rows of a question of SQL, its values marked by `?`."""

Place = tuple[str, int]
"""A stream and a version."""

FORMAT = 1
_ROW_GROUP = 2_048
_KEPT = 2
_COLUMNS = ("position", *StoredEvent.__struct_fields__)
_LATER = ("tags",)
"""Columns that files of an older release lack."""

FILE = "name, digest, size, events, first_position, last_position, made_at_ms"
RANGE = "stream, first_version, last_version, name, hash"


class ArchiveFile(Struct, frozen=True):
    """A file of the archive as the store lists it. `size` in bytes, `digest` the SHA-256 of them."""

    name: str
    digest: bytes
    size: int
    events: int
    first_position: int
    last_position: int
    made_at_ms: int


class ArchivedRange(Struct, frozen=True):
    """Versions of a stream that are in one file, and the hash of the last of them."""

    stream: str
    first_version: int
    last_version: int
    name: str
    hash: bytes | None


class ArchivedEvent(Struct, frozen=True):
    """An event of the archive, and where it stood in the log."""

    position: int
    event: StoredEvent


class Archive:
    """What a store has moved to files. `ask` asks the store; `folder` holds the files.

    Raises StoreUnavailable where a file is missing, StoreCorrupt where it is not what was archived.
    """

    def __init__(self, ask: Ask, folder: Path | None) -> None:
        self._ask = ask
        self._folder = folder
        self._guard = threading.Lock()
        self._kept: dict[str, Sequence[ArchivedEvent]] = {}

    def files(self, after: int, upto: int) -> list[ArchiveFile]:
        """Those that may hold a position above `after` and at most `upto`, by their first."""
        where = "last_position > ? AND first_position <= ?"
        sql = f"SELECT {FILE} FROM event_archive WHERE {where} ORDER BY first_position, name"
        return [ArchiveFile(*row) for row in self._ask(sql, (after, upto))]

    def ranges(self, name: str) -> list[ArchivedRange]:
        """What is in one file."""
        sql = f"SELECT {RANGE} FROM archived_stream WHERE name = ? ORDER BY stream, first_version"
        return [ArchivedRange(*row) for row in self._ask(sql, (name,))]

    def ranges_of(self, stream: str, first: int, last: int) -> list[ArchivedRange]:
        """Where those versions of a stream are, in their order."""
        where = "stream = ? AND last_version >= ? AND first_version <= ?"
        sql = f"SELECT {RANGE} FROM archived_stream WHERE {where} ORDER BY last_version"
        return [ArchivedRange(*row) for row in self._ask(sql, (stream, first, last))]

    def of_stream(self, stream: str, first: int, last: int, limit: int | None = None) -> list[ArchivedEvent]:
        """The events of those versions that are archived, in order; the first `limit` of them."""
        found: list[ArchivedEvent] = []
        for each in self.ranges_of(stream, first, last):
            (file,) = self._listed(each.name)
            found += read_stream(self.content(file), file, stream, first, last)
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found

    def before(self, stream: str, after: int, rows: Sequence[StoredEvent], limit: int | None) -> list[StoredEvent]:
        """What belongs before those rows of a stream, which were asked for behind that version: most often nothing."""
        if not rows or rows[0].version == after + 1:
            return []
        return [each.event for each in self.of_stream(stream, after + 1, rows[0].version - 1, limit)]

    def at(self, places: Collection[Place]) -> dict[Place, ArchivedEvent]:
        """Those of these events that are archived. Each file that has any is read once."""
        wanted: dict[str, set[Place]] = {}
        for stream, version in places:
            for each in self.ranges_of(stream, version, version):
                wanted.setdefault(each.name, set()).add((stream, version))
        found: dict[Place, ArchivedEvent] = {}
        for name, own in wanted.items():
            (file,) = self._listed(name)
            events = {(each.event.stream, each.event.version): each for each in self.whole(file)}
            found.update({place: events[place] for place in own if place in events})
        return found

    def between(self, after: int, upto: int) -> Iterator[ArchivedEvent]:
        """Those at these positions, in order. A file is read when its first position comes."""
        waiting: list[tuple[int, int, int, Sequence[ArchivedEvent]]] = []
        files = self.files(after, upto)
        for number, file in enumerate(files):
            yield from _taken(waiting, file.first_position - 1)
            events = [each for each in self.whole(file) if after < each.position <= upto]
            if events:
                heappush(waiting, (events[0].position, number, 0, events))
        yield from _taken(waiting, upto)

    def whole(self, file: ArchiveFile) -> Sequence[ArchivedEvent]:
        """All events of a file, by position. The last files that were read are kept for the next question."""
        with self._guard:
            kept = self._kept.get(file.name)
        if kept is None:
            kept = sorted(read_events(self.content(file), file), key=lambda each: each.position)
            with self._guard:
                self._kept[file.name] = kept
                while len(self._kept) > _KEPT:
                    del self._kept[next(iter(self._kept))]
        return kept

    def content(self, file: ArchiveFile) -> bytes:
        """The bytes of a file, which are what was archived."""
        if self._folder is None:
            raise StoreUnavailable(f"events are archived in {file.name}, and no folder of the archive is named")
        try:
            content = (self._folder / file.name).read_bytes()
        except FileNotFoundError:
            raise StoreUnavailable(f"the archive {self._folder} has no {file.name}") from None
        except OSError as error:
            raise StoreUnavailable(f"{file.name} of the archive cannot be read: {error.strerror}") from error
        if sha256(content).digest() != file.digest:
            raise StoreCorrupt(f"{file.name} of the archive is damaged: its bytes are not those that were archived")
        return content

    def left_over(self) -> list[str]:
        """Whole files in the folder that the store does not list: of a run that died, or of another store."""
        if self._folder is None or not self._folder.is_dir():
            return []
        there = sorted(path.name for path in self._folder.glob("events-*.parquet"))
        return [
            name for name in there if not list(self._ask(f"SELECT {FILE} FROM event_archive WHERE name = ?", (name,)))
        ]

    def _listed(self, name: str) -> list[ArchiveFile]:
        rows = [ArchiveFile(*row) for row in self._ask(f"SELECT {FILE} FROM event_archive WHERE name = ?", (name,))]
        if not rows:
            raise StoreCorrupt(f"the store does not list {name} of the archive, which holds its events")
        return rows


def _taken(waiting: list[tuple[int, int, int, Sequence[ArchivedEvent]]], upto: int) -> Iterator[ArchivedEvent]:
    while waiting and waiting[0][0] <= upto:
        _, number, at, events = heappop(waiting)
        yield events[at]
        if at + 1 < len(events):
            heappush(waiting, (events[at + 1].position, number, at + 1, events))


def written(events: Sequence[ArchivedEvent]) -> bytes:
    """The file of these events."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = sorted(events, key=lambda each: (each.event.stream.encode(), each.event.version))
    columns = [
        pa.array([each.position for each in rows], pa.int64()),
        *(pa.array([getattr(each.event, name) for each in rows], _type_of(name)) for name in _COLUMNS[1:]),
    ]
    sink = io.BytesIO()
    table = pa.Table.from_arrays(columns, names=list(_COLUMNS)).replace_schema_metadata({"mainstem": str(FORMAT)})
    parquet.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP, use_dictionary=True)
    return sink.getvalue()


def _type_of(name: str) -> Any:
    import pyarrow as pa

    if name in ("version", "occurred_at_ms", "recorded_at_ms", "schema_version"):
        return pa.int64()
    return pa.binary() if name in ("payload", "hash") else pa.string()


def read_events(content: bytes, file: ArchiveFile) -> list[ArchivedEvent]:
    """All events of a file, by stream and version. Raises StoreCorrupt for what is none."""
    return _rows(content, file, None)


def read_stream(content: bytes, file: ArchiveFile, stream: str, first: int, last: int) -> list[ArchivedEvent]:
    """The events of one stream from version `first` to `last`, read from the row groups that may have them."""
    return [
        each
        for each in _rows(content, file, stream)
        if each.event.stream == stream and first <= each.event.version <= last
    ]


def _rows(content: bytes, file: ArchiveFile, stream: str | None) -> list[ArchivedEvent]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(pa.BufferReader(content))
        groups = [n for n in range(opened.num_row_groups) if stream is None or _may_have(opened, n, stream)]
        table = opened.read_row_groups(groups, list(_COLUMNS), use_threads=False)
        for name in set(_LATER) - set(table.column_names):
            table = table.append_column(name, pa.nulls(len(table)))
        columns = table.to_pydict()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StoreCorrupt(f"{file.name} of the archive cannot be read: {error}") from error
    return [
        ArchivedEvent(position, StoredEvent(*rest))
        for position, *rest in zip(*(columns[name] for name in _COLUMNS), strict=True)
    ]


def _may_have(opened: Any, group: int, stream: str) -> bool:
    """By the least and the greatest stream of the group, which compare as their bytes do."""
    statistics = opened.metadata.row_group(group).column(_COLUMNS.index("stream")).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min.encode() <= stream.encode() <= statistics.max.encode())
