"""The newest records of a log, in memory: listeners that keep up are given them without asking the file."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from mainstem.messages import Record

TAIL_BYTES = 4 * 1_048_576
"""About so much is kept of all partitions together."""

_RECORD_BYTES = 256
"""What a record takes beside its key and value."""

_NOTHING: tuple[int, list[Record]] = (0, [])


class Page(NamedTuple):
    """Consecutive records of a partition, which has that number in the log; the bytes of their keys and values."""

    place: int
    records: list[Record]
    size: int


class Tail:
    """One thread at a time adds what was committed, any may read."""

    def __init__(self, most_bytes: int = TAIL_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._ends: deque[tuple[int, int, int]] = deque()
        self._places: dict[int, tuple[int, list[Record]]] = {}

    def add(self, pages: Sequence[Page]) -> None:
        """Records as they stand in the log. Behind a gap, as another process makes, a place begins anew."""
        for place, records, size in pages:
            first, kept = self._places.get(place, _NOTHING)
            if first + len(kept) == records[0].offset and kept:
                kept.extend(records)
            else:
                self._places[place] = (records[0].offset, list(records))
            taken = size + _RECORD_BYTES * len(records)
            self._ends.append((place, records[-1].offset + 1, taken))
            self._bytes += taken
        if self._bytes > self._most_bytes:
            self._drop(self._most_bytes * 3 // 4)

    def _drop(self, most_bytes: int) -> None:
        """The oldest, until so much is left: many at a time, since each place that loses some is copied."""
        begins: dict[int, int] = {}
        while self._bytes > most_bytes:
            place, begins[place], taken = self._ends.popleft()
            self._bytes -= taken
        for place, begin in begins.items():
            first, kept = self._places[place]
            if begin > first:  # whoever reads has the list of before
                self._places[place] = (begin, kept[begin - first :])

    def read(self, place: int, offset: int, limit: int) -> list[Record]:
        """At most so many records from that offset on; none where it is not kept."""
        first, kept = self._places.get(place, _NOTHING)
        return kept[offset - first : offset - first + limit] if offset >= first else []
