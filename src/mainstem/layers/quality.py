"""Rules of data quality: what breaks one is kept with the rule's name and the reason, and counted."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from mainstem.codec import Decoder, Placed
from mainstem.listener.binding import Binding
from mainstem.messages import Record
from mainstem.table import Table
from mainstem.view.projection import Fold

PASSED = "passed"
"""In the place of a rule's name, of what broke none."""


class Broken(Exception):
    """A change breaks the rule of that name; the text says how."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule, self.text = rule, text


class RuleCount(Struct, frozen=True):
    """How many changes of a source broke a rule, or `passed` all, of those that one partition brought."""

    id: str
    source: str
    rule: str
    shard: int
    changes: int


class _Judged(Struct, frozen=True):
    """What is read of a row of the layer that holds changes against rules; no rule where it passed all."""

    source: str
    rule: str | None


_judged: Decoder[_Judged] = Decoder(_Judged)


def quality_step(table: str, group: str, topic: str, *, linger_ms: int = 0) -> Binding[RuleCount]:
    """Counts the messages of a topic, which say their `source` and the `rule` that they broke, or null.

    Each partition has rows of its own, so that those who count never write the same row.
    """
    return Binding(
        group=group,
        topic=topic,
        decoder=Placed(_Judged, _counted),
        projection=Fold(Table(table, RuleCount, key=("id",)), lambda count: (count.id,), _added),
        linger_ms=linger_ms,
    )


def counts(rows: Sequence[RuleCount]) -> dict[tuple[str, str], int]:
    """By source and rule, those of all partitions together."""
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        found[row.source, row.rule] = found.get((row.source, row.rule), 0) + row.changes
    return dict(sorted(found.items()))


def _counted(record: Record) -> Sequence[RuleCount]:
    judged = _judged.one(record.value or b"")
    rule = PASSED if judged.rule is None else judged.rule
    return (RuleCount(f"{judged.source}/{rule}/{record.partition:04d}", judged.source, rule, record.partition, 1),)


def _added(row: RuleCount | None, one: RuleCount) -> RuleCount:
    return one if row is None else replace(row, changes=row.changes + one.changes)
