"""A question asked of an engine, and its answer with the values as the dimensions are declared."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from mainstem.errors import InvalidQuery
from mainstem.olap.grains import behind, periods_between
from mainstem.olap.port import Olap
from mainstem.olap.question import BEFORE, Measure, Question, Value, dimension_of, utc
from mainstem.olap.question_sql import rows_asked, select_of, since_before

_BIGINT = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_COUNTS = ("count", "distinct")
_NUMBERS = ("avg", "quantile")


@dataclass(frozen=True)
class FoundColumn:
    """A column of an answer. Kinds: those of dimensions, and number (a float)."""

    name: str
    kind: str


@dataclass(frozen=True)
class Found:
    """An answer: text, integers, exact decimals, naive times in UTC, floats.

    A measure is None where there is nothing to measure. `more` has the keys of the last row where rows come behind it.
    """

    columns: tuple[FoundColumn, ...]
    rows: Sequence[tuple[Any, ...]]
    more: tuple[Value, ...] | None = None


def answered(olap: Olap, question: Question) -> Found:
    """The answer. Raises what `ask` raises: InvalidQuery where the time is over, or a sum has more than 64 bits."""
    sql, parameters = select_of(question, olap.approx_quantile)
    answer = olap.ask(sql, parameters, row_limit=rows_asked(question), timeout_s=question.timeout_s)
    columns = columns_of(question)
    whole = question.compared and question.grain is not None
    rows = _beside(question, answer.rows) if whole else answer.rows
    further = len(rows) > question.limit
    if further and whole:
        raise InvalidQuery(f"the answer has more than {question.limit} rows")
    read = _readers(question)
    shown = [tuple(of(value) for of, value in zip(read, row, strict=True)) for row in rows[: question.limit]]
    return Found(columns, shown, shown[-1][: len(question.keys)] if further else None)


def columns_of(question: Question) -> tuple[FoundColumn, ...]:
    """The columns of the answer, in order: the keys, the measures, those of the time before."""
    kinds = {name: dimension_of(question.datasource, name).kind for name in question.by}
    keys = [FoundColumn(name, kinds.get(name, "timestamp")) for name in question.keys]
    measures = [FoundColumn(each.name, _kind(question, each)) for each in question.measures]
    before = [FoundColumn(each.name + BEFORE, each.kind) for each in measures] if question.compared else []
    return (*keys, *measures, *before)


def _kind(question: Question, measure: Measure) -> str:
    if measure.what in _COUNTS:
        return "integer"
    return "number" if measure.what in _NUMBERS else dimension_of(question.datasource, measure.of).kind


def _beside(question: Question, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The periods of the time before, put beside those that are as far behind its begin; in the order of the keys."""
    grain, since, past = question.grain, question.since, since_before(question)
    if grain is None or since is None or past is None:
        raise InvalidQuery("a comparison by periods needs a grain and a time")
    keys, begin = len(question.keys), utc(since)
    apart = periods_between(grain, past, begin)
    nothing = tuple(0 if each.what in _COUNTS else None for each in question.measures)
    sides: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in rows:
        now = row[0] >= begin
        period = row[0] if now else behind(grain, row[0], apart)
        sides.setdefault((period, *row[1:keys]), [nothing, nothing])[0 if now else 1] = row[keys:]
    return [(*key, *found[0], *found[1]) for key, found in sorted(sides.items(), key=lambda each: each[0])]


def _readers(question: Question) -> list[Callable[[Any], Any]]:
    """What makes of each column's values those of its kind."""
    kinds = {dimension.name: dimension.kind for dimension in question.datasource.dimensions}
    measured = [
        _READ_NUMBERS[kinds[e.of]] if e.what in _NUMBERS else _READ[_kind(question, e)] for e in question.measures
    ]
    keys = [_READ[kinds.get(name, "timestamp")] for name in question.keys]
    return [*keys, *measured, *(measured if question.compared else ())]


def _integer(value: int | None) -> int | None:
    if value is not None and not -_BIGINT <= value < _BIGINT:
        raise InvalidQuery("a sum has more than 64 bits: ask for less at once")
    return value


def _decimal(cents: int | None) -> Decimal | None:
    return None if _integer(cents) is None else Decimal(cents or 0).scaleb(-2)


def _time(value: datetime | int | None) -> datetime | None:
    return _EPOCH + timedelta(milliseconds=value) if isinstance(value, int) else value


def _number(value: Any) -> float | None:
    """What a sketch of nothing tells is no number."""
    return None if value is None or math.isnan(float(value)) else float(value)


def _hundredth(value: Any) -> float | None:
    cents = _number(value)
    return None if cents is None else cents / 100


_READ: dict[str, Callable[[Any], Any]] = {
    "text": lambda value: value,
    "integer": _integer,
    "decimal": _decimal,
    "timestamp": _time,
}
_READ_NUMBERS = {"integer": _number, "decimal": _hundredth}
