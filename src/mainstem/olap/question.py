"""Questions about a datasource as values: typed, checked when they are made, and free of any engine's SQL.

A question names dimensions as they are declared, and nothing else is ever put into SQL; values are of the dimension's
kind and are always bound. Raises InvalidQuery for whatever cannot be asked, before an engine hears of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, get_args

from mainstem.errors import InvalidQuery
from mainstem.olap.grains import GRAINS, Grain, begin_of
from mainstem.olap.options import Rollup
from mainstem.olap.port import Datasource, Dimension

Value = str | int | Decimal | datetime
What = Literal["count", "sum", "min", "max", "avg", "distinct", "quantile"]
WHATS: tuple[What, ...] = get_args(What)

PERIOD = "period"
"""What the column of the periods is called."""

BEFORE = "_before"
"""What is put behind the name of a measure of the period before."""

LIMIT_MAX = 10_000
TIMEOUT_MAX_S = 10.0
MEASURES_MAX = 16
BY_MAX = 8
FILTERS_MAX = 32
VALUES_MAX = 100
TEXT_MAX = 1_000

_NUMBERS = ("integer", "decimal")
_COUNTED: dict[str, tuple[str, ...]] = {
    "sum": _NUMBERS,
    "avg": _NUMBERS,
    "quantile": _NUMBERS,
    "min": (*_NUMBERS, "timestamp"),
    "max": (*_NUMBERS, "timestamp"),
    "distinct": (*_NUMBERS, "timestamp", "text"),
}
_PYTHON: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "decimal": (Decimal, int),
    "timestamp": (datetime,),
}
_BIGINT = 2**63
_CENT = Decimal("0.01")
_AMOUNT_BELOW = Decimal(10**16)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Measure:
    """What is counted in each group: the rows, or something `of` a dimension.

    `distinct` is about how many values there are, `quantile` about the value that `percent` of 100 do not exceed.
    """

    what: What = "count"
    of: str = ""
    percent: int = 0

    @property
    def name(self) -> str:
        """What its column is called: count, sum_price, p95_price."""
        return self.what if not self.of else f"{f'p{self.percent}' if self.percent else self.what}_{self.of}"


@dataclass(frozen=True)
class Equal:
    """The dimension has the value."""

    dimension: str
    value: Value


@dataclass(frozen=True)
class OneOf:
    """It has one of at most 100 values."""

    dimension: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """It is within one or two bounds; texts in the order of their characters' code points."""

    dimension: str
    at_least: Value | None = None
    above: Value | None = None
    at_most: Value | None = None
    below: Value | None = None

    @property
    def bounds(self) -> tuple[tuple[str, Value], ...]:
        """Those that there are, each with its comparison."""
        named = ((">=", self.at_least), (">", self.above), ("<=", self.at_most), ("<", self.below))
        return tuple((sign, value) for sign, value in named if value is not None)


@dataclass(frozen=True)
class Prefix:
    """It is a text that begins so."""

    dimension: str
    text: str


Plain = Equal | OneOf | Range | Prefix


@dataclass(frozen=True)
class Not:
    """The other does not hold."""

    filter: Plain


Filter = Plain | Not


@dataclass(frozen=True)
class Top:
    """The `count` rows in which the measure of that name is highest, the highest first; equal ones by their keys."""

    count: int
    by: str


@dataclass(frozen=True)
class Question:
    """What is asked of a datasource.

    For each group there is a row: the period, where there is a `grain`, the dimensions in `by`, and the `measures`.
    Rows come in the order of these keys, or as `top` says. All of `where` holds, and `within` beside whatever is asked;
    the time is from `since` on, before `until`. With `compared` each measure comes a second time, of the time of the
    same length before `since`. The rows begin `behind` a row's keys, and are `limit` at most. A rollup answers as its
    facts would, and what cannot be known from it is refused.
    """

    datasource: Datasource
    measures: tuple[Measure, ...] = (Measure(),)
    by: tuple[str, ...] = ()
    grain: Grain | None = None
    where: tuple[Filter, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    top: Top | None = None
    compared: bool = False
    behind: tuple[Value, ...] | None = None
    limit: int = 100
    timeout_s: float = TIMEOUT_MAX_S
    within: Filter | None = None

    def __post_init__(self) -> None:
        _check_sizes(self)
        for measure in self.measures:
            _check_measure(self.datasource, measure)
        for name in self.by:
            if dimension_of(self.datasource, name).name == self.datasource.time:
                raise InvalidQuery(f"{name} is the time: its groups are made by a grain")
        for each in self.filters:
            _check_filter(self.datasource, each)
        names = [*self.keys, *(measure.name for measure in self.measures)]
        if self.compared:
            names += [measure.name + BEFORE for measure in self.measures]
        if len(set(names)) != len(names):
            raise InvalidQuery(f"two columns would have one name: {', '.join(names)}")
        _check_time(self)
        _check_order(self)
        if self.datasource.rollup is not None:
            _check_rollup(self, self.datasource.rollup)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the columns that tell one row from another."""
        return (PERIOD, *self.by) if self.grain is not None else self.by

    @property
    def filters(self) -> tuple[Filter, ...]:
        """All that hold."""
        return self.where if self.within is None else (self.within, *self.where)


def dimension_of(datasource: Datasource, name: str) -> Dimension:
    """The dimension of that name. Raises InvalidQuery where there is none."""
    for dimension in datasource.dimensions:
        if dimension.name == name:
            return dimension
    known = ", ".join(dimension.name for dimension in datasource.dimensions)
    raise InvalidQuery(f"{datasource.name} has no dimension {name[:40]!r}; known are {known}")


def stored(dimension: Dimension, value: Value) -> str | int | datetime:
    """The value as the dimension's column has it: cents of a decimal, a naive UTC time. Raises InvalidQuery."""
    kinds = _PYTHON[dimension.kind]
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InvalidQuery(f"{dimension.name} is of kind {dimension.kind}; a {type(value).__name__} is none")
    if isinstance(value, datetime):
        return utc(value)
    if dimension.kind == "decimal" and not isinstance(value, str):
        return _cents(dimension.name, Decimal(value))
    if isinstance(value, str) and len(value) > TEXT_MAX:
        raise InvalidQuery(f"a text is longer than {TEXT_MAX} characters")
    if isinstance(value, int) and not -_BIGINT <= value < _BIGINT:
        raise InvalidQuery(f"an integer of {dimension.name} has more than 64 bits")
    return value  # type: ignore[return-value] # decimals have gone


def utc(at: datetime) -> datetime:
    """The time as a naive one in UTC; one without a zone is in UTC. Raises InvalidQuery for one finer than stored."""
    if at.microsecond % 1_000:
        raise InvalidQuery(f"{at.isoformat()} is finer than a millisecond")
    try:
        return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise InvalidQuery(f"{at.isoformat()} is out of range") from error


def epoch_ms(at: datetime) -> int:
    """Milliseconds since the epoch of a naive time in UTC."""
    return round((at.replace(tzinfo=UTC) - _EPOCH).total_seconds() * 1_000)


def _cents(name: str, value: Decimal) -> int:
    if not value.is_finite() or abs(value) >= _AMOUNT_BELOW:
        raise InvalidQuery(f"an amount of {name} is out of range: 16 digits before the point are possible")
    cents = value.quantize(_CENT)
    if cents != value:
        raise InvalidQuery(f"an amount of {name} has more than two digits after the point")
    return int(cents.scaleb(2))


def _check_sizes(question: Question) -> None:
    if question.grain is not None and question.grain not in GRAINS:
        raise InvalidQuery(f"there is no grain {str(question.grain)[:40]!r}; known are {', '.join(GRAINS)}")
    if not 1 <= question.limit <= LIMIT_MAX:
        raise InvalidQuery(f"the limit of rows is from 1 to {LIMIT_MAX}, not {question.limit}")
    if not 0 < question.timeout_s <= TIMEOUT_MAX_S:
        raise InvalidQuery(f"the limit of time is above 0 and at most {TIMEOUT_MAX_S} s, not {question.timeout_s}")
    if not 1 <= len(question.measures) <= MEASURES_MAX:
        raise InvalidQuery(f"a question has from 1 to {MEASURES_MAX} measures, not {len(question.measures)}")
    if len(question.by) > BY_MAX:
        raise InvalidQuery(f"a question has at most {BY_MAX} dimensions to group by, not {len(question.by)}")
    if len(question.where) > FILTERS_MAX:
        raise InvalidQuery(f"a question has at most {FILTERS_MAX} filters, not {len(question.where)}")


def _check_measure(datasource: Datasource, measure: Measure) -> None:
    if measure.what not in WHATS:
        raise InvalidQuery(f"there is no measure {str(measure.what)[:40]!r}; known are {', '.join(WHATS)}")
    if measure.what == "count":
        if measure.of or measure.percent:
            raise InvalidQuery("count counts rows, not what is of a dimension; distinct counts its values")
        return
    if not measure.of:
        raise InvalidQuery(f"{measure.what} is of a dimension, and none is named")
    kind = dimension_of(datasource, measure.of).kind
    if kind not in _COUNTED[measure.what]:
        raise InvalidQuery(
            f"{measure.of} is of kind {kind}: {measure.what} is of {' or '.join(_COUNTED[measure.what])}"
        )
    if measure.what != "quantile" and measure.percent:
        raise InvalidQuery(f"{measure.what} has no percentage")
    if measure.what == "quantile" and not 1 <= measure.percent <= 99:
        raise InvalidQuery(f"the percentage of a quantile is from 1 to 99, not {measure.percent}")


def _check_filter(datasource: Datasource, found: Filter) -> None:
    each = found.filter if isinstance(found, Not) else found
    dimension = dimension_of(datasource, each.dimension)
    if isinstance(each, Prefix) and dimension.kind != "text":
        raise InvalidQuery(f"{dimension.name} is of kind {dimension.kind}: only a text begins with something")
    values = _values(each)
    if not 1 <= len(values) <= VALUES_MAX:
        raise InvalidQuery(f"a filter of {dimension.name} has from 1 to {VALUES_MAX} values, not {len(values)}")
    for value in values:
        stored(dimension, value)


def _values(found: Plain) -> Sequence[Value]:
    match found:
        case Equal():
            return (found.value,)
        case OneOf():
            return found.values
        case Prefix():
            return (found.text,)
        case Range():
            return [value for _, value in found.bounds]


def _check_time(question: Question) -> None:
    since, until = (None if at is None else utc(at) for at in (question.since, question.until))
    if since is not None and until is not None and since >= until:
        raise InvalidQuery("the time ends before it begins")
    if question.compared:
        if since is None or until is None:
            raise InvalidQuery("a comparison with the time before needs both of its ends")
        if question.grain is not None and any(begin_of(question.grain, at) != at for at in (since, until)):
            raise InvalidQuery(f"a comparison by {question.grain} begins and ends where a {question.grain} does (UTC)")


def _check_order(question: Question) -> None:
    top, behind = question.top, question.behind
    by_period = question.compared and question.grain is not None
    if top is not None:
        if not 1 <= top.count <= question.limit:
            raise InvalidQuery(f"the top are from 1 to the limit of {question.limit} rows, not {top.count}")
        if top.by not in {measure.name for measure in question.measures}:
            raise InvalidQuery(f"the top are by a measure that is asked for, not by {top.by[:40]!r}")
        if not question.keys:
            raise InvalidQuery("the top are of groups: name a dimension to group by, or a grain")
    if by_period and (top is not None or behind is not None):
        raise InvalidQuery("a comparison by periods comes whole: without a top and without pages")
    if behind is not None:
        if top is not None:
            raise InvalidQuery("the top come whole: without pages")
        if not question.keys or len(behind) != len(question.keys):
            raise InvalidQuery("a page begins behind a row's keys, one value for each")
        _check_behind(question, behind)


def _check_behind(question: Question, behind: tuple[Value, ...]) -> None:
    for name, value in zip(question.keys, behind, strict=True):
        if name == PERIOD and question.grain is not None:
            if not isinstance(value, datetime) or begin_of(question.grain, utc(value)) != utc(value):
                raise InvalidQuery(f"a page begins behind a {question.grain}'s begin")
        else:
            stored(dimension_of(question.datasource, name), value)


def _check_rollup(question: Question, rollup: Rollup) -> None:
    """Only what the facts themselves would be told as."""
    datasource = question.datasource
    if question.grain is not None and GRAINS.index(question.grain) < GRAINS.index(rollup.grain):
        raise InvalidQuery(f"{datasource.name} is rolled up by {rollup.grain}: {question.grain} is finer")
    for at in (question.since, question.until):
        if at is not None and begin_of(rollup.grain, utc(at)) != utc(at):
            raise InvalidQuery(f"{datasource.name} is rolled up by {rollup.grain}: a time is one's begin (UTC)")
    for name in (*question.by, *(_dimension(each) for each in question.filters)):
        if name in datasource.measured:
            raise InvalidQuery(f"of {name} only measures are kept: nothing is grouped by it or filtered")
        if name == datasource.time:
            raise InvalidQuery(f"{datasource.name} is rolled up: its time is asked for by a begin and an end")
    for measure in question.measures:
        _check_rolled_up(datasource, rollup, measure)


def _check_rolled_up(datasource: Datasource, rollup: Rollup, measure: Measure) -> None:
    if measure.what == "quantile" or measure.of == datasource.time:
        raise InvalidQuery(f"{datasource.name} is rolled up: {measure.name} cannot be known from that")
    if measure.of in datasource.measured:
        kept = {each.what for each in rollup.measures if each.of == measure.of}
        if ("sum" if measure.what == "avg" else measure.what) not in kept:
            known = ", ".join(sorted(kept))
            raise InvalidQuery(f"of {measure.of} only {known} is kept: {measure.name} cannot be known from that")


def _dimension(found: Filter) -> str:
    return found.filter.dimension if isinstance(found, Not) else found.dimension
