"""A question as one SELECT that every engine takes: names from the declaration, quoted, and a `?` for each value.

What engines say differently, they say themselves: see `Olap.approx_quantile`. The columns are the keys, the measures,
and, of a comparison without periods, the measures of the time before. A comparison by periods has the periods of both
times as rows.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from mainstem.errors import InvalidQuery
from mainstem.olap.grains import Grain, behind, periods_between
from mainstem.olap.port import FACTS, Column, Datasource
from mainstem.olap.question import (
    Equal,
    Filter,
    Measure,
    Not,
    OneOf,
    Prefix,
    Question,
    Range,
    Value,
    epoch_ms,
    stored,
    utc,
)

Sql = tuple[str, list[Any]]
Quantile = Callable[[str, int, str], str]
_TIME = '"__time"'
_ESCAPE = "!"


def select_of(question: Question, quantile: Quantile) -> Sql:
    """The statement and its parameters, for one row more than the question's limit (twice the limit, of two times)."""
    since, until = _times(question)
    before = since_before(question)
    by_period = question.compared and question.grain is not None
    keys = _keys(question)
    if question.compared and not by_period:
        now, past = (f" FILTER (WHERE {_TIME} {sign} ?)" for sign in (">=", "<"))
        shown = [*_measures(question, quantile, (now, since)), *_measures(question, quantile, (past, since))]
    else:
        shown = _measures(question, quantile, None)
    conditions = [
        *_time_bounds(before if question.compared else since, until),
        *(_filter(question.datasource, each) for each in question.filters),
        *_behind(question),
    ]
    where, bound = _all_of(conditions, " AND ")
    text, values = _all_of([*keys, *shown], ", ")
    sql = f'SELECT {text} FROM "{question.datasource.name}"{f" WHERE {where}" if where else ""}'
    if keys:
        numbers = [str(number + 1) for number in range(len(keys))]
        sql += f" GROUP BY {', '.join(numbers)} ORDER BY {', '.join([*_first(question), *numbers])}"
    most = question.top.count if question.top is not None else rows_asked(question)
    return f"{sql} LIMIT ?", [*values, *bound, most]


def measure_sql(datasource: Datasource, measure: Measure, quantile: Quantile) -> str:
    """A measure as an expression, for whoever writes the rest of the statement: what a decimal is told in, in cents."""
    text, _ = _measure(datasource, measure, quantile, ("", []))
    return text


def rows_asked(question: Question) -> int:
    """How many rows tell whether there are more than the question's limit."""
    times = 2 if question.compared and question.grain is not None else 1
    return times * question.limit + 1


def since_before(question: Question) -> datetime | None:
    """Where the time before begins that the question is compared with; None where it is not."""
    since, until = _times(question)
    if not question.compared or since is None or until is None:
        return None
    if question.grain is not None:
        return behind(question.grain, since, -periods_between(question.grain, since, until))
    try:
        return since - (until - since)
    except OverflowError as error:
        raise InvalidQuery("the time before is out of range: times are of the years 1 to 9999") from error


def column_of(datasource: Datasource, name: str) -> Column:
    """The column that shows a dimension."""
    return next(column for column in datasource.columns if column.dimension.name == name and not column.what)


def _times(question: Question) -> tuple[datetime | None, datetime | None]:
    since, until = (None if at is None else utc(at) for at in (question.since, question.until))
    return since, until


def _all_of(parts: Iterable[Sql], between: str) -> Sql:
    found = list(parts)
    return between.join(text for text, _ in found), [value for _, values in found for value in values]


def _keys(question: Question) -> list[Sql]:
    period: list[Sql] = [] if question.grain is None else [(f"date_trunc(?, {_TIME})", [question.grain])]
    return [*period, *((_name(question.datasource, name), []) for name in question.by)]


def _name(datasource: Datasource, dimension: str) -> str:
    return f'"{column_of(datasource, dimension).name}"'


def _measures(question: Question, quantile: Quantile, only: tuple[str, datetime | None] | None) -> list[Sql]:
    text, values = ("", []) if only is None else (only[0], [only[1]])
    return [_measure(question.datasource, each, quantile, (text, values)) for each in question.measures]


def _measure(datasource: Datasource, measure: Measure, quantile: Quantile, only: Sql) -> Sql:
    """Its values are bound as often as its filter stands in it."""
    text, values = only
    count = _count(datasource, text)
    match measure.what:
        case "count":
            sql = count
        case "sum":
            sql = f"sum({_summed(datasource, measure.of)}){text}"
        case "avg":  # the average of integers is one to some engines
            sql = f"CAST(sum({_summed(datasource, measure.of)}){text} AS DOUBLE) / {count}"
        case "distinct":
            sql = f"approx_count_distinct({_name(datasource, measure.of)}){text}"
        case "quantile":
            sql = quantile(_name(datasource, measure.of), measure.percent, text)
        case _:
            kept = _kept(datasource, measure.what, measure.of)
            sql = f"{measure.what}({kept or _name(datasource, measure.of)}){text}"
    return sql, values * sql.count("?")


def _count(datasource: Datasource, only: str) -> str:
    """How many facts there are."""
    return f"count(*){only}" if datasource.rollup is None else f'coalesce(sum("{FACTS.name}"){only}, 0)'


def _summed(datasource: Datasource, dimension: str) -> str:
    """What is added up for a dimension's sum: of a rollup the sums, or the value as often as there are facts."""
    name = _kept(datasource, "sum", dimension) or _name(datasource, dimension)
    by_fact = datasource.rollup is not None and dimension not in datasource.measured
    return f'{name} * "{FACTS.name}"' if by_fact else name


def _kept(datasource: Datasource, what: str, dimension: str) -> str | None:
    """The column of a rollup's measure, if there is one."""
    found = (c.name for c in datasource.columns if c.what == what and c.dimension.name == dimension)
    return next((f'"{name}"' for name in found), None)


def _first(question: Question) -> list[str]:
    """What the rows are ordered by before their keys."""
    if question.top is None:
        return []
    names = [measure.name for measure in question.measures]
    return [f"{len(question.keys) + names.index(question.top.by) + 1} DESC"]


def _time_bounds(since: datetime | None, until: datetime | None) -> list[Sql]:
    named = ((">=", since), ("<", until))
    return [(f"{_TIME} {sign} ?", [at]) for sign, at in named if at is not None]


def _filter(datasource: Datasource, found: Filter) -> Sql:
    if isinstance(found, Not):
        text, values = _filter(datasource, found.filter)
        return f"NOT ({text})", values
    column = column_of(datasource, found.dimension)
    name, dimension = f'"{column.name}"', column.dimension
    match found:
        case Equal(value=value):
            return f"{name} = ?", [_bound(column, value)]
        case OneOf(values=several):
            marks = ", ".join(["?"] * len(several))
            return f"{name} IN ({marks})", [_bound(column, value) for value in several]
        case Prefix(text=text):
            return f"{name} LIKE ? ESCAPE '{_ESCAPE}'", [_pattern(text)]
        case Range(bounds=bounds):
            return _all_of(((f"{name} {sign} ?", [_bound(column, value)]) for sign, value in bounds), " AND ")
    raise InvalidQuery(f"{dimension.name} is asked for by something that is no filter")


def _bound(column: Column, value: Value) -> Any:
    found = stored(column.dimension, value)
    if isinstance(found, datetime) and column.kind == "integer":
        return epoch_ms(found)
    return found


def _pattern(text: str) -> str:
    for sign in (_ESCAPE, "%", "_"):
        text = text.replace(sign, _ESCAPE + sign)
    return f"{text}%"


def _behind(question: Question) -> list[Sql]:
    """Rows whose keys come later: the first key is greater, or it is the same and the second is greater, and so on."""
    if question.behind is None:
        return []
    ways: list[Sql] = []
    same: list[Sql] = []
    for greater, equal in _steps(question, question.behind):
        ways.append(_all_of([*same, greater], " AND "))
        same.append(equal)
    text, values = _all_of([(f"({way})", bound) for way, bound in ways], " OR ")
    return [(f"({text})", values)]


def _steps(question: Question, values: Sequence[Value]) -> Iterable[tuple[Sql, Sql]]:
    """For each key the condition that it is greater, and that it is the same."""
    grain: Grain | None = question.grain
    if grain is not None and isinstance(values[0], datetime):
        begin = utc(values[0])
        following = behind(grain, begin, 1)
        same = f"{_TIME} >= ? AND {_TIME} < ?", [begin, following]
        yield (f"{_TIME} >= ?", [following]), same
        values = values[1:]
    for name, value in zip(question.by, values, strict=True):
        column = column_of(question.datasource, name)
        bound = [_bound(column, value)]
        yield (f'"{column.name}" > ?', bound), (f'"{column.name}" = ?', bound)
