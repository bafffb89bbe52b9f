"""Reading all of a topic as it stands."""

from collections.abc import Iterator, Mapping, Sequence

from mainstem.log.port import Log
from mainstem.messages import Record

_PAGE = 10_000


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
