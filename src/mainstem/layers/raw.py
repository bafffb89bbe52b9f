"""RAW: every change as it came, with the place that the log gave it."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from mainstem.codec import Placed, encode
from mainstem.listener.binding import Binding
from mainstem.log.port import Topic
from mainstem.messages import NewRecord, Record
from mainstem.table import Table
from mainstem.view.projection import Rows


class RawChange(Struct, frozen=True):
    """A record as it came; its id is its place in the log, and sorts by it within a partition."""

    id: str
    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    at_ms: int


def raw_id(topic: str, partition: int, offset: int) -> str:
    """The name of a record by its place."""
    return f"{topic}/{partition:04d}/{offset:016d}"


def raw_change(record: Record) -> RawChange:
    """Of any record, whatever its value is."""
    place = record.topic, record.partition, record.offset
    return RawChange(raw_id(*place), *place, record.key, record.value, record.timestamp_ms)


def raw_steps(
    topics: Sequence[str], out: Topic, *, kept: Sequence[str] = (), linger_ms: int = 0
) -> tuple[Binding[RawChange], ...]:
    """A step for each topic, with a table of its own, `raw_` and the topic's name; all speak on `out`.

    Those of `kept` are kept alone: no layer is made of them, so nothing is said of them.
    """
    return (*(_step(topic, out, linger_ms) for topic in topics), *(_step(topic, None, linger_ms) for topic in kept))


def raw_table(topic: str) -> Table[RawChange]:
    """The table of a topic's changes."""
    return Table(f"raw_{topic.replace('-', '_').replace('.', '_')}", RawChange, key=("id",))


def _step(topic: str, out: Topic | None, linger_ms: int) -> Binding[RawChange]:
    table = raw_table(topic)
    return Binding(
        group=f"layer-{table.name.replace('_', '-')}",
        topic=topic,
        decoder=Placed[RawChange](Any, lambda record: (raw_change(record),)),
        projection=Rows(table, lambda raw: (raw,)),
        emit=None if out is None else _speaker(out),
        out=() if out is None else (out,),
        linger_ms=linger_ms,
    )


def _speaker(out: Topic) -> Callable[[RawChange], Sequence[NewRecord]]:
    def emit(raw: RawChange) -> Sequence[NewRecord]:
        return (NewRecord(topic=out.name, key=raw.key, value=encode(raw), timestamp_ms=raw.at_ms, identity=raw.id),)

    return emit
