"""Questions answered in plain Python, and whether an engine's answer is the same: the measure that engines are held to.

It shares no code with what makes SQL of questions. What an engine may only estimate it must come near to: the number of
different values within a third of them and two more, a quantile within the values a tenth of all away in their order.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from mainstem.messages import Record
from mainstem.olap.asking import Found
from mainstem.olap.port import Datasource, Dimension
from mainstem.olap.question import Equal, Filter, Measure, Not, OneOf, Prefix, Question, Range

Row = Mapping[str, Any]

_DISTINCT_SHARE, _DISTINCT_MORE = 0.34, 2
_RANK_SHARE, _RANK_MORE = 0.1, 1
_CENT = Decimal("0.01")
_MISFIT = (msgspec.MsgspecError, ValueError, TypeError, KeyError, ArithmeticError)


def facts_of(datasource: Datasource, records: Iterable[Record]) -> list[Row]:
    """The rows that records are, by their dimensions; those that do not fit and those that are late left out."""
    found = ((_row(datasource, each.value), each.timestamp_ms) for each in records)
    return [row for row, logged_ms in found if row is not None and not _late(datasource, row, logged_ms)]


def _late(datasource: Datasource, row: Row, logged_ms: int) -> bool:
    if datasource.late_after_s is None:
        return False
    logged = datetime(1970, 1, 1) + timedelta(milliseconds=logged_ms)  # noqa: DTZ001 - in UTC, as all of them
    return bool(logged - row[datasource.time] > timedelta(seconds=datasource.late_after_s))


def _row(datasource: Datasource, value: bytes | None) -> Row | None:
    try:
        content = msgspec.json.decode(value or b"", type=dict[str, msgspec.Raw])
        return {each.name: _READ[each.kind](_raw(content, each)) for each in datasource.dimensions}
    except _MISFIT:
        return None


def _raw(content: Mapping[str, msgspec.Raw], dimension: Dimension) -> str:
    raw = bytes(content.get(dimension.source, b"null") if dimension.default is not None else content[dimension.source])
    if raw == b"null" and dimension.default is not None:
        raw = msgspec.json.encode(dimension.default)
    return raw.decode()


def _time(raw: str) -> datetime:
    at = datetime.fromisoformat(msgspec.json.decode(raw.encode(), type=str))
    at = at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    return at.replace(microsecond=at.microsecond // 1_000 * 1_000)


_READ: dict[str, Callable[[str], Any]] = {
    "text": lambda raw: msgspec.json.decode(raw.encode(), type=str),
    "integer": int,
    "decimal": lambda raw: Decimal(raw.strip('"')).quantize(_CENT, rounding=ROUND_HALF_UP),
    "timestamp": _time,
}


def told(question: Question, facts: Sequence[Row]) -> tuple[list[str], list[tuple[Any, ...]], bool]:
    """The names of the columns, the rows, and whether there are more behind them.

    Each measure that may be estimated is told as the sorted values that it is made of.
    """
    time = question.datasource.time
    begin, end = _naive(question.since), _naive(question.until)
    chosen = [row for row in facts if all(_holds(each, row) for each in question.filters)]
    now = [row for row in chosen if (begin is None or row[time] >= begin) and (end is None or row[time] < end)]
    sides = [_groups(question, now, 0)]
    if question.compared and begin is not None and end is not None:
        first, shift = _before(question, begin, end)
        sides.append(_groups(question, [row for row in chosen if first <= row[time] < begin], shift))
    keys: set[tuple[Any, ...]] = set().union(*sides) if question.keys else {()}
    rows = [
        (*key, *(_measured(measure, side.get(key, [])) for side in sides for measure in question.measures))
        for key in sorted(keys)
        if question.behind is None or key > question.behind
    ]
    if question.top is not None:
        rows = _highest(question, rows)
    more = len(rows) > question.limit
    names = [measure.name for measure in question.measures]
    before = [f"{name}_before" for name in names] if question.compared else []
    return [*question.keys, *names, *before], rows[: question.limit], more


def check(found: Found, question: Question, facts: Sequence[Row]) -> None:
    """Fails where the answer is another than the plain one."""
    names, rows, more = told(question, facts)
    assert [column.name for column in found.columns] == names
    assert len(found.rows) == len(rows), (found.rows, rows)
    times = 2 if question.compared else 1
    measures = [None] * len(question.keys) + list(question.measures) * times
    for have, want in zip(found.rows, rows, strict=True):
        for measure, value, expected in zip(measures, have, want, strict=True):
            assert _agree(measure, value, expected), (question, measure, value, expected)
    assert found.more == (tuple(rows[-1][: len(question.keys)]) if more else None)


def _naive(value: Any) -> Any:
    """A time as a naive one in UTC; anything else as it is."""
    zoned = isinstance(value, datetime) and value.tzinfo is not None
    return value.astimezone(UTC).replace(tzinfo=None) if zoned else value


def _before(question: Question, begin: datetime, end: datetime) -> tuple[datetime, int]:
    """Where the time before begins, and by how many months its periods are moved; 0 where by the time's length."""
    if question.grain != "month":
        return begin - (end - begin), 0
    months = (end.year * 12 + end.month) - (begin.year * 12 + begin.month)
    return _moved(begin, -months), months


def _moved(at: datetime, months: int) -> datetime:
    number = at.year * 12 + at.month - 1 + months
    return datetime(number // 12, number % 12 + 1, 1)  # noqa: DTZ001 - in UTC, as all of them


def _groups(question: Question, rows: Sequence[Row], months: int) -> dict[tuple[Any, ...], list[Row]]:
    begin, end = _naive(question.since), _naive(question.until)
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in question.by)
        if question.grain is not None:
            period = _floor(question.grain, row[question.datasource.time])
            if question.compared and begin is not None and end is not None and period < begin:
                period = _moved(period, months) if months else period + (end - begin)
            key = (period, *key)
        groups.setdefault(key, []).append(row)
    return groups


def _floor(grain: str, at: datetime) -> datetime:
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "minute": at.replace(second=0, microsecond=0),
        "hour": at.replace(minute=0, second=0, microsecond=0),
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
    }[grain]


def _holds(found: Filter, row: Row) -> bool:
    if isinstance(found, Not):
        return not _holds(found.filter, row)
    value: Any = row[found.dimension]
    match found:
        case Equal(value=wanted):
            return bool(value == _naive(wanted))
        case OneOf(values=several):
            return value in map(_naive, several)
        case Prefix(text=text):
            return bool(value.startswith(text))
        case Range(at_least=at_least, above=above, at_most=at_most, below=below):
            low = (at_least is None or value >= _naive(at_least)) and (above is None or value > _naive(above))
            return low and (at_most is None or value <= _naive(at_most)) and (below is None or value < _naive(below))


def _measured(measure: Measure, rows: Sequence[Row]) -> Any:
    if measure.what == "count":
        return len(rows)
    values = sorted(row[measure.of] for row in rows)
    if measure.what in ("distinct", "quantile"):
        return values
    if not values:
        return None
    match measure.what:
        case "sum":
            return sum(values)
        case "min":
            return values[0]
        case "max":
            return values[-1]
    return float(sum(values)) / len(values)


def _highest(question: Question, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    assert question.top is not None
    names = [measure.name for measure in question.measures]
    at = len(question.keys) + names.index(question.top.by)
    ordered = sorted(rows, key=lambda row: (row[at] is not None, row[at] or 0), reverse=True)
    # Python's sort keeps the order of equal rows, also when it is reversed: that of their keys.
    return ordered[: question.top.count]


def _agree(measure: Measure | None, value: Any, expected: Any) -> bool:
    if measure is None or measure.what not in ("avg", "distinct", "quantile"):
        return type(value) is type(expected) and bool(value == expected)
    if measure.what == "distinct":
        true = len(set(expected))
        return isinstance(value, int) and abs(value - true) <= _DISTINCT_SHARE * true + _DISTINCT_MORE
    if not isinstance(value, float):
        return value is None and not expected
    if measure.what == "avg":
        return math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)
    return _near(value, list(map(float, expected)), measure.percent / 100)


def _near(value: float, ordered: Sequence[float], share: float) -> bool:
    """Whether it is among the values whose place in their order is about that share of all."""
    count, slack = len(ordered), _RANK_SHARE * len(ordered) + _RANK_MORE
    low = ordered[max(0, math.floor(share * count - slack))]
    high = ordered[min(count - 1, math.ceil(share * count + slack))]
    return low - abs(low) * 1e-6 - 1e-6 <= value <= high + abs(high) * 1e-6 + 1e-6
