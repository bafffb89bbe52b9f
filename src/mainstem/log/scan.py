"""Reading all of a topic as it stands."""

from collections.abc import Iterator, Sequence

from mainstem.log.port import Log
from mainstem.messages import Record

_PAGE = 10_000


def scan(log: Log, topic: str) -> Iterator[Sequence[Record]]:
    """What each partition holds at the moment it is come to, in pages, by offsets. Raises what reading raises."""
    for partition, held in sorted(log.ranges(topic).items()):
        offset = held.begin
        while offset < held.end:
            page = log.read(topic, partition, offset, _PAGE)
            if not page:
                break
            yield page
            offset = page[-1].offset + 1
