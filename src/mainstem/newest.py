"""What the newest records of a topic decode to, for the listeners of a process that share a decoder."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from operator import attrgetter
from threading import Lock
from typing import Generic, TypeVar

from mainstem.messages import Record

M = TypeVar("M")

Decoded = tuple[list[M], Sequence[int]]
"""Messages, and of each the number of its record: a range where each record is one."""

_RECORDS = 4_096
"""So many are kept of a partition: what comes within the longest linger, under load."""

_BYTES = 2 * 1_048_576
"""So many bytes of values are kept of a partition."""

_place_of = attrgetter("topic", "partition")
_offset_of = attrgetter("offset")


@dataclass
class _Kept(Generic[M]):
    """Records in the order of their offsets, what they are decoded to, and of each message the number of its record."""

    records: list[Record] = field(default_factory=list)
    messages: list[M] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    plain: bool = True
    size: int = 0

    def add(self, records: list[Record], decoded: Decoded[M]) -> None:
        """Behind those that stand."""
        messages, numbers = decoded
        begin = len(self.records)
        self.records += records
        self.messages += messages
        self.numbers += [begin + number for number in numbers]
        self.plain = self.plain and isinstance(numbers, range)
        self.size += sum(len(record.value or b"") for record in records)

    def part(self, begin: int, end: int) -> Decoded[M]:
        """What the records from the one to the other are."""
        if self.plain:
            return self.messages[begin:end], range(end - begin)
        first, last = bisect_left(self.numbers, begin), bisect_left(self.numbers, end)
        return self.messages[first:last], [number - begin for number in self.numbers[first:last]]

    def bounded(self) -> "_Kept[M]":
        """Itself, or its newer half where it has become too large, or what of that is not."""
        if len(self.records) <= _RECORDS and self.size <= _BYTES:
            return self
        begin, end = (len(self.records) + 1) // 2, len(self.records)
        half: _Kept[M] = _Kept()
        half.add(self.records[begin:], self.part(begin, end))
        return half.bounded()


class Newest(Generic[M]):
    """Decodes by `decode`, each of the newest records once, whoever asks, from any thread.

    A record is found by all that it holds: one of another log that stands in the same place is another one.
    """

    def __init__(self, decode: Callable[[Sequence[Record]], Decoded[M]]) -> None:
        self._decode = decode
        self._kept: dict[tuple[str, int], _Kept[M]] = {}
        self._lock = Lock()

    def of(self, records: Sequence[Record]) -> Decoded[M]:
        """What `decode` makes of them. Raises what it raises; nothing of such records is kept."""
        if not 0 < len(records) <= _RECORDS // 2:
            return self._decode(records)
        places = [(place, list(each)) for place, each in groupby(records, _place_of)]
        parts = [self._of_place(place, each) for place, each in places]
        if len(parts) == 1:
            return parts[0]
        messages = [message for found, _ in parts for message in found]
        if all(isinstance(numbers, range) for _, numbers in parts):
            return messages, range(len(messages))
        begins = accumulate((len(each) for _, each in places), initial=0)
        return messages, [
            begin + number for begin, (_, numbers) in zip(begins, parts, strict=False) for number in numbers
        ]

    def _of_place(self, place: tuple[str, int], records: list[Record]) -> Decoded[M]:
        with self._lock:
            found = self._shared(place, records)
        return self._decode(records) if found is None else found

    def _shared(self, place: tuple[str, int], records: list[Record]) -> Decoded[M] | None:
        """Of records that are found, or come next, or are newer than all that are kept; nothing of others."""
        kept = self._kept.get(place) or _Kept()
        begin = bisect_left(kept.records, records[0].offset, key=_offset_of)
        stand = kept.records[begin : begin + len(records)]
        if stand != records[: len(stand)]:
            if records[-1].offset <= kept.records[-1].offset:
                return None
            kept, begin, stand = _Kept(), 0, []
        if rest := records[len(stand) :]:
            kept.add(rest, self._decode(rest))
            self._kept[place] = kept.bounded()
        return kept.part(begin, begin + len(records))
