"""RAW's archive: the records of topics as Parquet files by topic and day (UTC), which never change.

A file holds records of one partition that follow each other and are of one day, and its name says which: so what is
archived is told by the names alone. A file is whole before it has its name, and no offset is kept anywhere else: a
crash at any moment neither loses a record nor brings one twice. What the log's retention removes before it was
archived is gone; an empty file beside the days has its offsets as its name, so that it is not forgotten.
"""

import fcntl
import io
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from msgspec import Struct

from mainstem.durable import flush, write_durably
from mainstem.errors import MainstemError, StoreBusy, StoreCorrupt, StoreUnavailable
from mainstem.log.port import Log, Place, Range
from mainstem.messages import Record

_log = structlog.get_logger(__name__)

_LOCK = "raw.lock"
_PAGE = 10_000
_DAY = re.compile(r"day=(\d{4}-\d{2}-\d{2})")
_NAME = re.compile(r"(\d{4})-(\d{16})-(\d{16})\.parquet")
_GONE = re.compile(r"(\d{4})-(\d{16})-(\d{16})\.gone")


class RawFile(NamedTuple):
    """A file of the archive: records of a partition, from the offset `first` to `last`, of one day."""

    topic: str
    day: str
    partition: int
    first: int
    last: int

    @property
    def path(self) -> Path:
        """Within the archive's folder."""
        name = f"{self.partition:04d}-{self.first:016d}-{self.last:016d}.parquet"
        return Path(self.topic) / f"day={self.day}" / name


class Gone(Struct, frozen=True):
    """Offsets of a partition, `first` to `last`, that the log no longer had when the archive came to them.

    In a log in which not every offset has a record, they are as many records at most.
    """

    topic: str
    partition: int
    first: int
    last: int

    @property
    def path(self) -> Path:
        """Within the archive's folder."""
        return Path(self.topic) / f"{self.partition:04d}-{self.first:016d}-{self.last:016d}.gone"

    @property
    def count(self) -> int:
        """How many they are."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        text = f"{self.topic}/{self.partition}: the offsets {self.first} to {self.last} are not archived"
        return f"{text}: the log's retention had removed them before"


class Archived(Struct, frozen=True):
    """What was archived at once, and what was found to be gone."""

    records: int = 0
    files: int = 0
    gone: tuple[Gone, ...] = ()


def raw_files(folder: Path, topic: str) -> list[RawFile]:
    """Those of a topic, by partition and offset; what has another name is none of them."""
    found = []
    for day in _entries(folder / topic):
        dated = _DAY.fullmatch(day.name)
        for path in _entries(day) if dated else ():
            named = _NAME.fullmatch(path.name)
            if dated and named:
                found.append(RawFile(topic, dated[1], *map(int, named.groups())))
    return sorted(found, key=lambda each: (each.partition, each.first))


def gone_of(folder: Path, topics: Sequence[str]) -> list[Gone]:
    """What was removed from these topics before it was archived, by topic, partition and offset.

    Raises StoreUnavailable.
    """
    found = [
        Gone(topic, *map(int, named.groups()))
        for topic in topics
        for path in _entries(folder / topic)
        if (named := _GONE.fullmatch(path.name))
    ]
    return sorted(found, key=lambda each: (each.topic, each.partition, each.first))


def read_raw(folder: Path, topic: str) -> Iterator[Record]:
    """All archived records of a topic, by partition and offset, each once.

    Raises StoreCorrupt for a file that is damaged, or is not what its name says.
    """
    done: dict[int, int] = {}
    for file in raw_files(folder, topic):
        for record in _read(folder, file):
            if record.offset > done.get(file.partition, -1):
                done[file.partition] = record.offset
                yield record


class RawArchive:
    """Copies what stands in the log to the folder; of several processes one at a time."""

    def __init__(self, log: Log, folder: Path, topics: Sequence[str]) -> None:
        self._log = log
        self._folder = folder
        self._topics = topics
        self._known: set[Place] = set()
        """The places whose last archived record is the log's."""

    def run(self, every_s: float, stop: threading.Event) -> None:
        """Again and again, until `stop`; what cannot be done now is put off."""
        while not stop.wait(every_s):
            try:
                self.step(stop)
            except MainstemError as error:
                _log.warning("archiving raw changes is put off", cause=str(error))

    def step(self, stop: threading.Event | None = None) -> Archived:
        """Archive all that is not yet. Raises StoreBusy where another process does, StoreUnavailable.

        What the log no longer has is noted as gone. Raises StoreCorrupt where the log ends before what is archived, or
        has another record where the archive ends: it is older, or another.
        """
        records = files = 0
        gone: list[Gone] = []
        with _alone(self._folder):
            for topic in self._topics:
                last = {file.partition: file for file in raw_files(self._folder, topic)}
                for partition, held in sorted(self._log.ranges(topic).items()):
                    due = last[partition].last + 1 if partition in last else 0
                    begin = max(held.begin, due)
                    if begin > held.end:
                        text = f"the archive {self._folder} has {topic}/{partition} up to offset {begin - 1}"
                        raise StoreCorrupt(f"{text}, and the log ends at {held.end}: they are not of one history")
                    if partition in last:
                        self._check_continues(last[partition], held)
                    gone += self._missed(topic, partition, due, begin)
                    for run in self._runs(topic, partition, Range(begin, held.end)):
                        if stop is not None and stop.is_set():
                            return Archived(records, files, tuple(gone))
                        _write(self._folder, run)
                        records, files = records + len(run), files + 1
        return Archived(records, files, tuple(gone))

    def _check_continues(self, file: RawFile, held: Range) -> None:
        """Once in a process: a log that was put back says something else behind the place to which it was."""
        place = (file.topic, file.partition)
        if place in self._known or file.last < held.begin:
            return
        if [*self._log.read(*place, file.last, 1)][:1] != _read(self._folder, file)[-1:]:
            text = f"the archive {self._folder} has another record of {file.topic}/{file.partition} than the log"
            raise StoreCorrupt(f"{text} at offset {file.last}: they are not of one history")
        self._known.add(place)

    def gone(self) -> Sequence[Gone]:
        """What was removed from the log before it was archived. Raises StoreUnavailable."""
        return gone_of(self._folder, self._topics)

    def _missed(self, topic: str, partition: int, due: int, begin: int) -> Sequence[Gone]:
        """The offsets before `begin` that nobody has any more, noted once."""
        if due >= begin:
            return ()
        noted = [each.last for each in gone_of(self._folder, (topic,)) if each.partition == partition]
        first = max(due, *(last + 1 for last in noted), 0)
        if first >= begin:
            return ()
        found = Gone(topic, partition, first, begin - 1)
        _put(self._folder, found.path, b"")
        _log.error("raw changes were removed before they were archived", cause=str(found))
        return (found,)

    def differing(self) -> Iterator[str]:
        """What is archived otherwise than the log has it, as far as the log still does. Raises StoreCorrupt."""
        for topic in self._topics:
            ranges = self._log.ranges(topic)
            files = raw_files(self._folder, topic)
            yield from self._without_file(files, ranges)
            for file in files:
                held = ranges.get(file.partition, Range(0, 0))
                kept = [each for each in _read(self._folder, file) if each.offset >= held.begin]
                there = {each.offset: each for each in self._between(file, held)}
                wrong = [each.offset for each in kept if there.get(each.offset) != each]
                if wrong or len(kept) != len(there):
                    yield f"{file.path} differs from the log{f' at offset {wrong[0]}' if wrong else ''}"

    def _without_file(self, files: Sequence[RawFile], ranges: Mapping[int, Range]) -> Iterator[str]:
        """What stands in the log between files, or before the first, and in none: files were taken away."""
        done: dict[int, int] = {}
        for file in files:
            held, due = ranges.get(file.partition, Range(0, 0)), done.get(file.partition, 0)
            between = RawFile(file.topic, file.day, file.partition, due, file.first - 1)
            done[file.partition] = max(due, file.last + 1)
            there = next(self._between(between, held), None)
            if there is not None:
                yield f"{file.topic}/{file.partition} has records at offset {there.offset} that are in no file"

    def _between(self, file: RawFile, held: Range) -> Iterator[Record]:
        """What the log has of the file's offsets."""
        offset = max(file.first, held.begin)
        while offset <= min(file.last, held.end - 1):
            page = self._log.read(file.topic, file.partition, offset, _PAGE)
            if not page:
                return
            yield from (each for each in page if each.offset <= file.last)
            offset = page[-1].offset + 1

    def _runs(self, topic: str, partition: int, left: Range) -> Iterator[Sequence[Record]]:
        """Records that follow each other and are of one day, as many as a page has."""
        offset = left.begin
        while offset < left.end:
            page = self._log.read(topic, partition, offset, _PAGE)
            if not page:
                return
            yield from (list(run) for _, run in groupby(page, key=_day_of))
            offset = page[-1].offset + 1


def _day_of(record: Record) -> str:
    return datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).strftime("%Y-%m-%d")


def _write(folder: Path, run: Sequence[Record]) -> None:
    first = run[0]
    file = RawFile(first.topic, _day_of(first), first.partition, first.offset, run[-1].offset)
    _put(folder, file.path, _content(run))


def _put(folder: Path, name: Path, content: bytes) -> None:
    """The steps: all bytes to a file of another name, to the disk, then the name, then the name to the disk."""
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content, read_only=True)
        for parent in (path.parent.parent, folder):
            flush(parent)
    except OSError as error:
        raise StoreUnavailable(f"the archive {folder} cannot be written: {error.strerror}") from error


def _schema() -> Any:
    import pyarrow as pa

    header = pa.struct([("name", pa.string()), ("value", pa.binary())])
    return pa.schema(
        [
            ("topic", pa.string()),
            ("partition", pa.int32()),
            ("offset", pa.int64()),
            ("key", pa.string()),
            ("value", pa.binary()),
            ("timestamp_ms", pa.int64()),
            ("headers", pa.list_(header)),
        ]
    )


def _content(run: Sequence[Record]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema()
    columns = {name: [getattr(each, name) for each in run] for name in schema.names if name != "headers"}
    columns["headers"] = [[{"name": name, "value": value} for name, value in each.headers] for each in run]
    sink = io.BytesIO()
    table = pa.table(columns, schema=schema)
    parquet.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def _read(folder: Path, file: RawFile) -> list[Record]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(
            io.BytesIO((folder / file.path).read_bytes()), schema=_schema(), page_checksum_verification=True
        )
    except (pa.ArrowException, OSError) as error:
        raise StoreCorrupt(f"{file.path} of the archive {folder} cannot be read: {error}") from error
    found = [
        Record(**{**row, "headers": tuple((each["name"], each["value"]) for each in row["headers"])})
        for row in table.to_pylist()
    ]
    place = (file.topic, file.partition)
    if (
        not found
        or (found[0].offset, found[-1].offset) != (file.first, file.last)
        or any((each.topic, each.partition) != place for each in found)
    ):
        raise StoreCorrupt(f"{file.path} of the archive {folder} does not hold what its name says")
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(f"the archive {folder} cannot be read: {error.strerror}") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The system gives the folder back when the process dies, however it dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"the archive {folder} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreBusy(f"another process writes to the archive {folder}") from error
        yield
    finally:
        os.close(descriptor)
