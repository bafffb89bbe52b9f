"""How far behind somebody is in a topic: in records, and in the time that the oldest of them has waited."""

from collections.abc import Mapping
from dataclasses import dataclass

from mainstem.log.port import Log, Place


@dataclass(frozen=True)
class Lag:
    """Records that wait, and for how many seconds the oldest of them has; 0.0 where none waits."""

    records: int
    seconds: float


def lag_of(log: Log, topic: str, done: Mapping[Place, int], now_ms: int) -> Lag:
    """From the offsets in `done` on, or of all that is held of the topic's partitions that it does not name.

    A record's age is counted from its timestamp. Raises LogError and StoreError as the log does.
    """
    offsets = {partition: offset for (name, partition), offset in done.items() if name == topic}
    waiting = {partition: count for partition, count in log.lag(topic, offsets).items() if count}
    if not waiting:
        return Lag(0, 0.0)
    ranges = log.ranges(topic)
    oldest_ms = now_ms
    for partition in waiting:
        held = ranges[partition]
        first = log.read(topic, partition, min(held.end, max(held.begin, offsets.get(partition, 0))), 1)
        oldest_ms = min([oldest_ms, *(record.timestamp_ms for record in first)])
    return Lag(sum(waiting.values()), (now_ms - oldest_ms) / 1000)
