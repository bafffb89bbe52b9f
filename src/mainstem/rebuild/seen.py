"""Whether a version answers with what is on the topic, which its offsets tell only some seconds later.

A store shows the rows of one partition and one day in the order in which it reads them. So where the last of these is
shown, all before it are.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from mainstem.errors import InvalidQuery, StoreError
from mainstem.log.port import Log, Place
from mainstem.messages import Record
from mainstem.olap.grains import begin_of
from mainstem.olap.port import Datasource, Dimension, Olap

_PAGE = 10_000
_AT_ONCE = 40
_CENTS_MAX = 10**18

Row = tuple[Any, ...]
"""The time of a row and its texts and integers, by which it is known."""


def last_rows(datasource: Datasource, log: Log, since: Mapping[Place, int]) -> Sequence[Row]:
    """Of each partition and day, the last of the records that stand from these offsets on and are kept."""
    kept_from = datasource.kept_from_now()
    found: dict[tuple[int, date], Row] = {}
    for partition, held in log.ranges(datasource.topic).items():
        begin = max(held.begin, since.get((datasource.topic, partition), held.begin))
        for record in _records(log, datasource.topic, partition, begin, held.end):
            row = _row(datasource, record)
            if row is not None and (kept_from is None or row[0] >= kept_from):
                found[partition, row[0].date()] = row
    return tuple(dict.fromkeys(found.values()))


def shows(datasource: Datasource, olap: Olap, rows: Sequence[Row], timeout_s: float) -> bool:
    """Whether all of them are answered with, within that time."""
    names = ["__time", *(name for name, _ in _known_by(datasource))]
    alike = " AND ".join(f'"{name}" = ?' for name in names)
    listed = ", ".join(f'"{name}"' for name in names)
    for number in range(0, len(rows), _AT_ONCE):
        some = rows[number : number + _AT_ONCE]
        any_of = " OR ".join([f"({alike})"] * len(some))
        sql = f'SELECT DISTINCT {listed} FROM "{datasource.name}" WHERE {any_of}'
        try:
            shown = olap.ask(sql, [value for row in some for value in row], timeout_s=timeout_s).rows
        except (InvalidQuery, StoreError):  # too slow, or nobody serves a part of it now
            return False
        if len(shown) < len(some):
            return False
    return True


def _records(log: Log, topic: str, partition: int, begin: int, end: int) -> Iterator[Record]:
    while begin < end:
        page = log.read(topic, partition, begin, _PAGE)
        if not page:
            return
        yield from (record for record in page if record.offset < end)
        begin = page[-1].offset + 1


def _known_by(datasource: Datasource) -> list[tuple[str, Dimension]]:
    """Columns that have a field's value as it is, with their dimensions."""
    return [
        (column.name, column.dimension)
        for column in datasource.columns
        if column.name == column.dimension.name and column.kind in ("text", "integer")
    ]


def _row(datasource: Datasource, record: Record) -> Row | None:
    """None for a record of which no row is made. What only the store's own parser would refuse is not seen here."""
    time = next(each for each in datasource.dimensions if each.name == datasource.time)
    try:
        message = msgspec.json.decode(record.value or b"", type=dict[str, Any])
        if not all(_fits(each.kind, _value(message, each)) for each in datasource.dimensions):
            return None
        at = datetime.fromisoformat(message[time.source])
        values = [_value(message, dimension) for _, dimension in _known_by(datasource)]
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, ArithmeticError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if _is_late(datasource, at, record):
        return None
    at = at.replace(tzinfo=None, microsecond=at.microsecond // 1000 * 1000)
    return (at if datasource.rollup is None else begin_of(datasource.rollup.grain, at), *values)


def _value(message: Mapping[str, Any], dimension: Dimension) -> Any:
    if dimension.default is None:
        return message[dimension.source]
    value = message.get(dimension.source)
    return dimension.default if value is None else value


def _is_late(datasource: Datasource, at: datetime, record: Record) -> bool:
    late_after_s = datasource.late_after_s
    return late_after_s is not None and at.timestamp() < record.timestamp_ms / 1000 - late_after_s


def _fits(kind: str, value: Any) -> bool:
    if kind == "integer":
        return type(value) is int and -(2**63) <= value < 2**63
    if kind == "decimal":
        cents = Decimal(str(value)) * 100
        return type(value) is not bool and cents == int(cents) and abs(cents) < _CENTS_MAX
    return isinstance(value, str)
