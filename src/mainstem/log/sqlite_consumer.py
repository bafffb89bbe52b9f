"""Reading the log in its SQLite file for one consumer group."""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mainstem.errors import OffsetOutOfRange, UnknownTopic
from mainstem.log.port import Assigned, Place
from mainstem.log.tail import TAIL_BYTES, Tail
from mainstem.messages import NewRecord, Record
from mainstem.sqlite import connect, mapped_errors

OFFSET_BITS = 40
"""A record's id is its place's number and, in so many bits, its offset."""

READ = (
    f"SELECT id & {2**OFFSET_BITS - 1}, key, value, timestamp_ms, headers FROM record"
    " WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
)
PLACE = "SELECT begin_offset, end_offset, bytes FROM place WHERE id = ?"

_OTHER_PROCESS_S = 0.2
"""How long a waiting reader trusts this process's bell before it looks whether another process has appended.

Each look of each reader takes the interpreter from those that work, and one process has nearly always the log alone.
"""

_BYTES = 16 * 1_048_576
"""After so many bytes of values a poll brings no further record, so that what is in memory has a bound."""

_AT_ONCE = 32
"""So many rows are taken from SQLite before their bytes are counted."""

_HEADERS = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...])


def ids(place: int, begin: int, end: int = 2**OFFSET_BITS) -> tuple[int, int]:
    """The ids of a place's records from one offset to another, of which the last is left out."""
    first = place << OFFSET_BITS
    return first + begin, first + end


class _Log(Protocol):
    """What a consumer needs of its log."""

    tail: Tail

    @property
    def closed(self) -> bool: ...

    def place_number(self, topic: str, partition: int) -> int: ...

    def listen(self, topics: Iterable[str], bell: threading.Event) -> None: ...

    def forget(self, bell: threading.Event) -> None: ...

    def commit(self, group: str, offsets: Mapping[Place, int]) -> None: ...

    def send(self, group: str, records: Sequence[NewRecord], offsets: Mapping[Place, int]) -> None: ...


class SqliteConsumer:
    """Reads places on a connection of its own; each poll begins with another place, so that none starves."""

    def __init__(
        self, log: _Log, path: Path, group: str, offsets: dict[Place, int], assigned: Assigned | None = None
    ) -> None:
        self._log = log
        self._path = path
        self._group = group
        self._offsets = offsets
        self._numbers = {log.place_number(*place): place for place in offsets}
        self._order = list(self._numbers)
        self._ends = f"SELECT id, begin_offset, end_offset FROM place WHERE id IN ({', '.join('?' * len(offsets))})"
        self._connection = connect(path, read_only=True)
        self._polling = threading.Lock()
        self._bell = threading.Event()
        self._closed = False
        self._assigned = assigned
        self._polled = False
        log.listen({topic for topic, _ in offsets}, self._bell)

    def poll(self, limit: int, timeout_s: float) -> Sequence[Record]:
        """Reads at once where there is something; otherwise waits for an append to one of its topics."""
        deadline = time.monotonic() + timeout_s
        with self._polling:
            if not self._polled:
                self._begin()
            while not self._stopped():
                self._bell.clear()
                version = self._version()
                found = self._read(limit)
                if found or not self._wait(version, deadline):
                    return found
        return []

    def _begin(self) -> None:
        if self._assigned is not None:
            self.seek(self._assigned(list(self._offsets)))
        self._polled = True

    def places(self) -> Sequence[Place]:
        """All partitions of its topics: there is no other member."""
        return list(self._offsets) if self._polled else []

    def send(self, records: Sequence[NewRecord], offsets: Mapping[Place, int]) -> None:
        """In the log's file."""
        self._log.send(self._group, records, offsets)

    def _wait(self, version: int, deadline: float) -> bool:
        """Until there may be something new; False where the time was over first."""
        while (left := deadline - time.monotonic()) > 0 and not self._stopped():
            if self._bell.wait(min(left, _OTHER_PROCESS_S)) or self._version() != version:
                return True
        return False

    def _version(self) -> int:
        """A number that another one follows once any connection but this one has committed."""
        with mapped_errors(self._path):
            return int(self._connection.pragma("data_version"))

    def _stopped(self) -> bool:
        return self._closed or self._log.closed

    def _read(self, limit: int) -> list[Record]:
        """A fair share of each place first, then what room is left."""
        self._order.append(self._order.pop(0))
        with mapped_errors(self._path):
            waiting = self._behind()
            found: list[Record] = []
            left_bytes = _BYTES
            for most in (-(-limit // max(len(waiting), 1)), limit):
                hungry = []
                for number in waiting:
                    room = min(most, limit - len(found))
                    place = self._numbers[number]
                    records, size = self._records(number, place, room, left_bytes)
                    left_bytes -= size
                    if records:
                        self._offsets[place] = records[-1].offset + 1
                        found.extend(records)
                    if records and len(records) == room:
                        hungry.append(number)
                waiting = hungry
                if len(found) >= limit or not hungry or left_bytes <= 0:
                    break
        return found

    def _records(self, number: int, place: Place, limit: int, most_bytes: int) -> tuple[list[Record], int]:
        """With the bytes of their values: from memory if they and room for all that may be are there, or the file."""
        offset = self._offsets[place]
        if most_bytes >= TAIL_BYTES and (found := self._log.tail.read(number, offset, limit)):
            return found, sum([len(record.value or b"") for record in found])
        asked = self._connection.execute(READ, (*ids(number, offset), limit))
        rows, size = _bounded(asked, most_bytes)
        return _records_of(self._connection, place, number, offset, rows), size

    def _behind(self) -> list[int]:
        """The places that hold something beyond this consumer, in the order of their turns."""
        rows: Any = self._connection.execute(self._ends, tuple(self._numbers)).fetchall()
        held = {number: (begin, end) for number, begin, end in rows}
        behind = []
        for number in self._order:
            place = self._numbers[number]
            begin, end = held[number]
            if not begin <= self._offsets[place] <= end:
                raise _out_of_range(*place, begin, end, self._offsets[place])
            if self._offsets[place] < end:
                behind.append(number)
        return behind

    def seek(self, offsets: Mapping[Place, int]) -> None:
        """Raises UnknownTopic for a place that this consumer does not read."""
        for place, offset in offsets.items():
            if place not in self._offsets:
                raise UnknownTopic(f"the consumer of {self._group} does not read {place[0]}/{place[1]}")
            self._offsets[place] = offset

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """In the log's file."""
        self._log.commit(self._group, offsets)

    def close(self) -> None:
        """Ends a poll that waits in another thread, then closes the connection."""
        self._closed = True
        self._bell.set()
        self._log.forget(self._bell)
        with self._polling:
            self._connection.close()


def records_of(connection: Any, topic: str, partition: int, place: int, offset: int, limit: int) -> list[Record]:
    """At most `limit` records of a place from `offset` on. Raises OffsetOutOfRange."""
    rows = connection.execute(READ, (*ids(place, offset), limit)).fetchall()
    return _records_of(connection, (topic, partition), place, offset, rows)


def _records_of(connection: Any, place: Place, number: int, offset: int, rows: Sequence[Any]) -> list[Record]:
    topic, partition = place
    if not rows or rows[0][0] != offset:
        begin, end, _ = connection.execute(PLACE, (number,)).fetchall()[0]
        if not begin <= offset <= end:
            raise _out_of_range(topic, partition, begin, end, offset)
    return [
        Record(topic, partition, at, key, value, timestamp_ms, _HEADERS.decode(headers) if headers else ())
        for at, key, value, timestamp_ms, headers in rows
    ]


def _bounded(rows: Any, most_bytes: int) -> tuple[list[Any], int]:
    """Those up to the first that has so many bytes behind it, and their bytes; a few more may have been read."""
    found: list[Any] = []
    left = most_bytes
    while left > 0 and (page := list(islice(rows, _AT_ONCE))):
        sizes = [len(row[2] or b"") for row in page]
        whole = sum(sizes)
        found += page if whole < left else page[: _reaching(left, sizes)]
        left -= whole
    rows.close()  # else the file would be kept as it was when the question was asked
    return found, most_bytes - left


def _reaching(most: int, sizes: Sequence[int]) -> int:
    """How many of them it takes for a sum of so much."""
    return next(count for count, reached in enumerate(accumulate(sizes), 1) if reached >= most)


def _out_of_range(topic: str, partition: int, begin: int, end: int, offset: int) -> OffsetOutOfRange:
    return OffsetOutOfRange(f"{topic}/{partition} holds the offsets from {begin} to {end}, not {offset}")
