"""Reading all of a topic as it stands."""

from collections.abc import Iterator, Mapping, Sequence

from mainstem.log.port import Log, Range
from mainstem.messages import Record

_PAGE = 10_000
LAST_FIRST = 2
"""How far before a partition's end its last record is looked for first: a transaction's end takes an offset too."""


def scan(log: Log, topic: str, ends: Mapping[int, int] | None = None) -> Iterator[Sequence[Record]]:
    """What each partition holds at the moment it is come to, in pages, by offsets. Raises what reading raises.

    With `ends` what stands before these offsets, and nothing of a partition that they do not name.
    """
    for partition, held in sorted(log.ranges(topic).items()):
        offset, end = held.begin, held.end if ends is None else ends.get(partition, 0)
        while offset < end:
            page = log.read(topic, partition, offset, _PAGE)
            if not page:
                break
            offset = page[-1].offset + 1
            if ends is not None:
                page = [record for record in page if record.offset < end]
            if page:
                yield page


def last_records(log: Log, topic: str, partition: int, held: Range, of_last: int = LAST_FIRST) -> Sequence[Record]:
    """Those at the last so many offsets of what a partition holds, or the last before them; empty where it holds none.

    Ends of transactions take offsets too.
    """
    back = of_last
    while held.begin < held.end:
        begin = max(held.begin, held.end - back)
        records = log.read(topic, partition, begin, held.end - begin)
        if records:
            return records
        if begin == held.begin:
            break
        back *= 4
    return []
