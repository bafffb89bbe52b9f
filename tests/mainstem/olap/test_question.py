"""Questions: random ones over random facts against plain Python, and whatever cannot be asked."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem.errors import ConfigurationError, InvalidQuery
from mainstem.messages import Record
from mainstem.olap.asking import answered
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid import _bound as druid_bound
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.olap.grains import GRAINS, begin_of, behind, periods_between
from mainstem.olap.ownership import Owner, answered_for
from mainstem.olap.port import Answer, Datasource, Dimension
from mainstem.olap.question import (
    Equal,
    Filter,
    Measure,
    Not,
    OneOf,
    Plain,
    Prefix,
    Question,
    Range,
    Top,
)
from mainstem.olap.question_sql import select_of
from mainstem.testing.contracts.question_model import check, facts_of, told

_EXAMPLES = 150
_numbers = count(1)


def datasource(name: str = "visits") -> Datasource:
    dimensions = (
        Dimension("key"),
        Dimension("word"),
        Dimension("size", "integer"),
        Dimension("paid", "decimal"),
        Dimension("at", "timestamp"),
        Dimension("left", "timestamp"),
    )
    return Datasource(name, topic=name, time="at", dimensions=dimensions)


VISITS = datasource()

_BEGIN = datetime(2026, 1, 26, tzinfo=UTC)
_words = st.one_of(
    st.sampled_from(["", "a", "ab", "A", "%", "_", "!", "a%b", "'", '"', "\\", "?", "é", "漢\n", "\U0001f600"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)
_keys = st.sampled_from(["/acme/1", "/acme/2", "/north/1", "/acme", "/acme0", "1", "2", "/"])
_sizes = st.one_of(st.integers(-3, 3), st.integers(-(2**40), 2**40))
_amounts = st.integers(-(10**13), 10**13).map(lambda cents: Decimal(cents).scaleb(-2)) | st.integers(-5, 5).map(Decimal)
_times = st.one_of(
    st.sampled_from([_BEGIN + timedelta(days=day, hours=hour) for day in range(3) for hour in range(3)]),
    st.integers(0, 60 * 24).map(lambda hours: _BEGIN + timedelta(hours=hours)),
    st.integers(0, 60 * 24 * 3_600_000).map(lambda ms: _BEGIN + timedelta(milliseconds=ms)),
)
_fact = st.fixed_dictionaries(
    {"key": _keys, "word": _words, "size": _sizes, "paid": _amounts, "at": _times, "left": _times}
)
_facts = st.lists(_fact, max_size=30)
_values: dict[str, st.SearchStrategy[Any]] = {
    "key": _keys,
    "word": _words,
    "size": _sizes,
    "paid": _amounts,
    "at": _times,
    "left": _times,
}

_measures = st.lists(
    st.one_of(
        st.just(Measure()),
        st.builds(Measure, st.sampled_from(["sum", "avg"]), st.sampled_from(["size", "paid"])),
        st.builds(Measure, st.sampled_from(["min", "max"]), st.sampled_from(["size", "paid", "at", "left"])),
        st.builds(Measure, st.just("distinct"), st.sampled_from(sorted(_values))),
        st.builds(Measure, st.just("quantile"), st.sampled_from(["size", "paid"]), st.integers(1, 99)),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda measure: measure.name,
)


@st.composite
def _plain(draw: st.DrawFn) -> Plain:
    name = draw(st.sampled_from(sorted(_values)))
    values = _values[name]
    kind = draw(st.sampled_from(["equal", "one of", "range", "prefix"]))
    if kind == "prefix":
        return Prefix(draw(st.sampled_from(["key", "word"])), draw(_words))
    if kind == "equal":
        return Equal(name, draw(values))
    if kind == "one of":
        return OneOf(name, tuple(draw(st.lists(values, min_size=1, max_size=4))))
    bounds = draw(st.sampled_from([("at_least",), ("above",), ("at_most",), ("below",), ("above", "at_most")]))
    return Range(name, **{bound: draw(values) for bound in bounds})


_filters: st.SearchStrategy[tuple[Filter, ...]] = st.lists(_plain() | _plain().map(Not), max_size=3).map(tuple)


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """What a question is made of beside its datasource."""
    measures = tuple(draw(_measures))
    by = tuple(draw(st.lists(st.sampled_from(["key", "word", "size", "paid", "left"]), max_size=3, unique=True)))
    grain = draw(st.none() | st.sampled_from(GRAINS))
    asked: dict[str, Any] = {"measures": measures, "by": by, "grain": grain, "where": draw(_filters), "limit": 1_000}
    begin, end = sorted(draw(st.tuples(_times, _times)))
    if draw(st.booleans()):
        asked["compared"] = True
        asked |= _within_periods(grain, begin, end)
    else:
        asked |= {"since": draw(st.none() | st.just(begin)), "until": draw(st.none() | st.just(end))}
        if begin == end:
            asked["until"] = None
    if (by or grain) and not (grain and asked.get("compared")) and draw(st.booleans()):
        exact = [each.name for each in measures if each.what in ("count", "sum")]
        if exact:
            asked["top"] = Top(draw(st.integers(1, 5)), draw(st.sampled_from(exact)))
    return asked


def _within_periods(grain: Any, begin: datetime, end: datetime) -> dict[str, datetime]:
    if grain is None:
        return {"since": begin, "until": end if end > begin else begin + timedelta(hours=1)}
    first = begin_of(grain, begin.replace(tzinfo=None))
    last = begin_of(grain, end.replace(tzinfo=None))
    return {"since": first, "until": last if last > first else behind(grain, first, 1)}


def records(topic: str, facts: list[dict[str, Any]]) -> list[Record]:
    found = []
    for offset, fact in enumerate(facts):
        texts = {name: each.isoformat() if isinstance(each, datetime) else each for name, each in fact.items()}
        found.append(Record(topic, 0, offset, "k", msgspec.json.encode(texts), 0))
    return found


@pytest.fixture(scope="module")
def olap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckdbOlap]:
    store = DuckdbOlap(tmp_path_factory.mktemp("questions") / "olap.duckdb")
    yield store
    store.close()


def filled(olap: DuckdbOlap, facts: list[dict[str, Any]]) -> Datasource:
    """A datasource of its own with those facts."""
    made = datasource(f"visits_{next(_numbers)}")
    olap.create(made)
    olap.ingest(made, records(made.topic, facts))
    return made


@settings(max_examples=_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(facts=_facts, several=st.lists(questions(), min_size=1, max_size=4), page=st.integers(1, 4))
def test_any_question_is_answered_as_plainly(
    olap: DuckdbOlap, facts: list[dict[str, Any]], several: list[dict[str, Any]], page: int
) -> None:
    """At once and by pages."""
    made = filled(olap, facts)
    rows = facts_of(made, records(made.topic, facts))
    assert len(rows) == len(facts)
    for asked in several:
        question = Question(made, **asked)
        check(answered(olap, question), question, rows)
        if question.keys and question.top is None and not (question.compared and question.grain):
            _by_pages(olap, Question(made, **{**asked, "limit": page}), rows)
    olap.drop(made.name)


@given(asked=questions())
def test_druid_takes_the_parameters_of_any_question(asked: dict[str, Any]) -> None:
    """As many as there are marks, each of a type that it has; what it answers, its binding to the contract shows."""
    question = Question(VISITS, **asked)
    with closing(DruidOlap("http://127.0.0.1:9", [VISITS])) as druid:
        sql, parameters = select_of(question, druid.approx_quantile)
    assert [each["type"] for each in druid_bound(sql, parameters)].count("VARCHAR") >= (question.grain is not None)


def _by_pages(olap: DuckdbOlap, question: Question, rows: Any) -> None:
    seen = 0
    _, whole, _ = told(replace(question, limit=1_000), rows)
    while True:
        found = answered(olap, question)
        check(found, question, rows)
        seen += len(found.rows)
        if found.more is None:
            break
        question = replace(question, behind=found.more)
    assert seen == len(whole)


@settings(max_examples=_EXAMPLES // 3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    facts=_facts,
    asked=questions(),
    tenant=st.sampled_from([None, "acme", "north", "nobody"]),
    page=st.integers(1, 3),
)
def test_a_tenant_is_told_what_it_would_be_alone(
    olap: DuckdbOlap, facts: list[dict[str, Any]], asked: dict[str, Any], tenant: str | None, page: int
) -> None:
    """Whatever it asks: the same as of a store that has its own facts only, by the names that it knows."""
    made = filled(olap, facts)
    mark = "/" if tenant is None else f"/{tenant}/"
    own = [
        {**fact, "key": fact["key"] if tenant is None else fact["key"].removeprefix(mark)}
        for fact in facts
        if fact["key"].startswith(mark) != (tenant is None)
    ]
    rows = facts_of(made, records(made.topic, own))
    question = Question(made, **asked)
    owner = Owner("key", tenant, apart=True)
    check(answered_for(olap, question, owner), question, rows)
    if question.keys and question.top is None and not (question.compared and question.grain):
        question = replace(question, limit=page)
        found = answered_for(olap, question, owner)
        check(found, question, rows)
        if found.more is not None:
            question = replace(question, behind=found.more)
            check(answered_for(olap, question, owner), question, rows)
    olap.drop(made.name)


def test_where_tenants_are_not_kept_apart_all_is_told(olap: DuckdbOlap) -> None:
    fact = {"word": "", "size": 1, "paid": "1.00", "at": _BEGIN, "left": _BEGIN}
    made = filled(olap, [{**fact, "key": "/acme/1"}, {**fact, "key": "1"}])
    found = answered_for(olap, Question(made, by=("key",)), Owner("key"))
    assert list(found.rows) == [("/acme/1", 1), ("1", 1)]


@pytest.mark.parametrize("name", ["nothing", "size"])
def test_an_owner_is_told_by_a_text_dimension(olap: DuckdbOlap, name: str) -> None:
    with pytest.raises(ConfigurationError, match="none of its text dimensions"):
        answered_for(olap, Question(VISITS), Owner(name, "acme", apart=True))


_DAY: dict[str, Any] = {"since": datetime(2026, 1, 1, tzinfo=UTC), "until": datetime(2026, 1, 2, tzinfo=UTC)}
_LATE = datetime(9999, 12, 31, tzinfo=UTC)
_EARLY = datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"measures": ()}, "from 1 to 16 measures, not 0"),
        ({"measures": tuple(Measure("quantile", "size", n) for n in range(1, 18))}, "from 1 to 16 measures, not 17"),
        ({"measures": (Measure("median", "size"),)}, "no measure 'median'"),  # type: ignore[arg-type]
        ({"measures": (Measure("sum"),)}, "sum is of a dimension, and none is named"),
        ({"measures": (Measure("count", "size"),)}, "distinct counts its values"),
        ({"measures": (Measure("sum", "nothing"),)}, "visits has no dimension 'nothing'; known are key, word, size"),
        ({"measures": (Measure("sum", "paid_cents"),)}, "no dimension 'paid_cents'"),
        ({"measures": (Measure("sum", "word"),)}, "word is of kind text: sum is of integer or decimal"),
        ({"measures": (Measure("avg", "at"),)}, "at is of kind timestamp"),
        ({"measures": (Measure("min", "word"),)}, "word is of kind text"),
        ({"measures": (Measure("sum", "size", 5),)}, "sum has no percentage"),
        ({"measures": (Measure("quantile", "size"),)}, "from 1 to 99, not 0"),
        ({"measures": (Measure("quantile", "size", 100),)}, "from 1 to 99, not 100"),
        ({"measures": (Measure(), Measure())}, "two columns would have one name"),
        ({"by": ("word", "word")}, "two columns would have one name"),
        ({"by": ("nothing",)}, "no dimension 'nothing'"),
        ({"by": ("at",)}, "at is the time: its groups are made by a grain"),
        ({"by": ("key",) * 9}, "at most 8 dimensions"),
        ({"where": (Equal("nothing", 1),)}, "no dimension 'nothing'"),
        ({"where": (Equal("size", "1"),)}, "size is of kind integer; a str is none"),
        ({"where": (Equal("size", True),)}, "a bool is none"),
        ({"where": (Equal("word", None),)}, "a NoneType is none"),  # type: ignore[arg-type]
        ({"where": (Equal("size", 2**63),)}, "more than 64 bits"),
        ({"where": (Equal("paid", Decimal("1.005")),)}, "more than two digits"),
        ({"where": (Equal("paid", Decimal("1E+16")),)}, "out of range"),
        ({"where": (Equal("paid", Decimal("NaN")),)}, "out of range"),
        ({"where": (Equal("paid", Decimal("sNaN")),)}, "out of range"),
        ({"where": (Equal("paid", Decimal("1E-999999")),)}, "more than two digits"),
        ({"where": (Equal("paid", Decimal("1E+999999")),)}, "out of range"),
        ({"where": (Equal("at", datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),)}, "finer than a millisecond"),
        ({"where": (Equal("word", "x" * 1_001),)}, "longer than 1000 characters"),
        ({"where": (OneOf("size", ()),)}, "from 1 to 100 values, not 0"),
        ({"where": (OneOf("size", tuple(range(101))),)}, "from 1 to 100 values, not 101"),
        ({"where": (OneOf("size", (1, "2")),)}, "a str is none"),
        ({"where": (Range("size"),)}, "from 1 to 100 values, not 0"),
        ({"where": (Range("size", at_least="1"),)}, "a str is none"),
        ({"where": (Prefix("size", "1"),)}, "only a text begins with something"),
        ({"where": (Not(Prefix("size", "1")),)}, "only a text begins with something"),
        ({"where": (Equal("size", 1),) * 33}, "at most 32 filters"),
        ({"since": _DAY["until"], "until": _DAY["since"]}, "ends before it begins"),
        ({"since": _DAY["since"], "until": _DAY["since"]}, "ends before it begins"),
        ({"compared": True}, "needs both of its ends"),
        ({"compared": True, "since": _DAY["since"]}, "needs both of its ends"),
        ({"compared": True, "grain": "week", **_DAY}, "begins and ends where a week does"),
        ({"compared": True, "grain": "day", "top": Top(1, "count"), **_DAY}, "comes whole"),
        ({"compared": True, "grain": "day", "behind": (_DAY["since"],), **_DAY}, "comes whole"),
        ({"top": Top(1, "count")}, "the top are of groups"),
        ({"by": ("word",), "top": Top(0, "count")}, "from 1 to the limit"),
        ({"by": ("word",), "top": Top(101, "count")}, "from 1 to the limit of 100 rows"),
        ({"by": ("word",), "top": Top(1, "sum_size")}, "by a measure that is asked for, not by 'sum_size'"),
        ({"by": ("word",), "top": Top(1, "count"), "behind": ("a",)}, "without pages"),
        ({"behind": ()}, "behind a row's keys"),
        ({"by": ("word",), "behind": ("a", "b")}, "behind a row's keys"),
        ({"by": ("word",), "behind": (1,)}, "a int is none"),
        ({"grain": "day", "behind": (datetime(2026, 1, 1, 1, tzinfo=UTC),)}, "behind a day's begin"),
        ({"grain": "day", "behind": ("2026-01-01",)}, "behind a day's begin"),
        ({"grain": "year"}, "no grain 'year'; known are minute, hour, day, week, month"),
        ({"limit": 0}, "from 1 to 10000, not 0"),
        ({"limit": 10_001}, "from 1 to 10000, not 10001"),
        ({"timeout_s": 0}, "above 0 and at most 10.0 s"),
        ({"timeout_s": 11}, "above 0 and at most 10.0 s"),
        ({"timeout_s": float("nan")}, "above 0 and at most 10.0 s"),
    ],
)
def test_what_cannot_be_asked_is_refused(asked: dict[str, Any], said: str) -> None:
    """When it is made: no engine hears of it."""
    with pytest.raises(InvalidQuery, match=said):
        Question(VISITS, **asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"compared": True, "since": _EARLY, "until": _LATE},
        {"compared": True, "since": _EARLY, "until": _LATE, "grain": "day"},
        {"compared": True, "since": _EARLY, "until": datetime(9999, 12, 1, tzinfo=UTC), "grain": "month"},
        {"grain": "month", "behind": (datetime(9999, 12, 1, tzinfo=UTC),)},
        {"grain": "day", "behind": (_LATE,)},
    ],
)
def test_times_beyond_the_calendar_are_refused(olap: DuckdbOlap, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidQuery, match="years 1 to 9999"):
        answered(olap, Question(VISITS, **asked))


_EVIL = ("' OR 1=1 --", '" OR 1=1 --', "'; DROP TABLE visits; --", "?", "!%", "${x}", "\\", "\x00", "/*", "{fn}")


@pytest.mark.parametrize("text", _EVIL)
def test_no_value_is_read_as_sql(text: str) -> None:
    """It is not in the statement at all, wherever it is given."""
    for each in (Equal("word", text), OneOf("word", (text, text)), Range("word", above=text), Prefix("word", text)):
        question = Question(VISITS, by=("word",), where=(each, Not(each)), behind=(text,))
        harmless = replace(question, where=(_other(each), Not(_other(each))), behind=("a",))
        sql, values = select_of(question, lambda column, *_: column)
        assert sql == select_of(harmless, lambda column, *_: column)[0]
        assert sql.count("?") == len(values)


def _other(found: Plain) -> Plain:
    match found:
        case OneOf():
            return replace(found, values=("a", "a"))
        case Equal():
            return replace(found, value="a")
        case Prefix():
            return replace(found, text="a")
        case Range():
            return replace(found, above="a")


@pytest.mark.parametrize("name", [*_EVIL, "word ", "WORD", 'word"', "__time", "paid_cents", "left_ms", ""])
def test_a_name_is_one_that_is_declared(name: str) -> None:
    """To the letter."""
    for asked in (
        {"by": (name,)},
        {"measures": (Measure("distinct", name),)},
        {"where": (Equal(name, "a"),)},
        {"by": ("word",), "top": Top(1, name)},
    ):
        with pytest.raises(InvalidQuery):
            Question(VISITS, **asked)


def test_half_of_a_surrogate_pair_is_refused(olap: DuckdbOlap) -> None:
    made = filled(olap, [])
    with pytest.raises(InvalidQuery):
        answered(olap, Question(made, where=(Equal("word", "\ud800"),)))


def test_a_sum_beyond_64_bits_is_refused(olap: DuckdbOlap) -> None:
    """Rather than told wrong."""
    fact = {"key": "", "word": "", "size": 2**63 - 1, "paid": "1", "at": _BEGIN, "left": _BEGIN}
    made = filled(olap, [fact, fact])
    with pytest.raises(InvalidQuery, match="more than 64 bits"):
        answered(olap, Question(made, (Measure("sum", "size"),)))


@pytest.mark.parametrize("sizes", [[-1, -1], [-5, -4, -3, -2], [0, 0, 0], [-(2**40)] * 20])
@pytest.mark.parametrize("percent", [1, 50, 76, 99])
def test_a_quantile_is_among_the_values(olap: DuckdbOlap, sizes: list[int], percent: int) -> None:
    """Also where none of them is above zero."""
    fact = {"key": "", "word": "", "paid": "1", "at": _BEGIN, "left": _BEGIN}
    made = filled(olap, [{**fact, "size": size} for size in sizes])
    measures = (Measure("quantile", "size", percent),)
    assert min(sizes) <= answered(olap, Question(made, measures)).rows[0][0] <= max(sizes)
    within = {"since": _BEGIN, "until": _BEGIN + timedelta(days=1)}
    compared = answered(olap, Question(made, measures, compared=True, **within)).rows[0]  # type: ignore[arg-type]
    assert min(sizes) <= compared[0] <= max(sizes)
    assert compared[1] is None


def test_a_comparison_by_periods_has_a_limit(olap: DuckdbOlap) -> None:
    """It comes whole or not at all."""
    begin = _BEGIN.replace(tzinfo=None)
    facts = [
        {"key": "", "word": str(n), "size": 1, "paid": "1", "at": _BEGIN + timedelta(hours=n), "left": _BEGIN}
        for n in range(48)
    ]
    made = filled(olap, facts)
    asked = {"by": ("word",), "grain": "day", "compared": True, "since": begin + timedelta(days=1)}
    question = Question(made, **asked, until=begin + timedelta(days=2), limit=48)  # type: ignore[arg-type]
    assert len(answered(olap, question).rows) == 48
    for limit in (47, 24, 23, 1):
        with pytest.raises(InvalidQuery, match=f"more than {limit} rows"):
            answered(olap, replace(question, limit=limit))


class Noting(DuckdbOlap):
    """Notes the limits that it was asked with."""

    asked: tuple[int, float]

    def ask(
        self, sql: str, parameters: Sequence[Any] = (), *, row_limit: int = 10_000, timeout_s: float = 10.0
    ) -> Answer:
        self.asked = row_limit, timeout_s
        return super().ask(sql, parameters, row_limit=row_limit, timeout_s=timeout_s)


@pytest.mark.parametrize("grain", GRAINS)
def test_a_page_begins_where_a_period_does(olap: DuckdbOlap, grain: Any) -> None:
    """With a fact of that very moment, and not with the last one of the period before."""
    begin = begin_of(grain, _BEGIN.replace(tzinfo=None))
    begins = [behind(grain, begin, number) for number in range(3)]
    moments = [moment for at in begins for moment in (at, behind(grain, at, 1) - timedelta(milliseconds=1))]
    fact = {"key": "", "word": "", "size": 1, "paid": "1", "left": _BEGIN}
    made = filled(olap, [{**fact, "at": moment} for moment in moments])
    question = Question(made, grain=grain, limit=1)
    rows = facts_of(made, records(made.topic, [{**fact, "at": moment} for moment in moments]))
    _by_pages(olap, question, rows)


def test_an_engine_is_told_the_limits(tmp_path: Path) -> None:
    """One row more than may be told says that there are more."""
    with closing(Noting(tmp_path / "olap.duckdb")) as olap:
        olap.create(VISITS)
        answered(olap, Question(VISITS, limit=7, timeout_s=1.5))
        assert olap.asked == (8, 1.5)
        answered(olap, Question(VISITS, grain="day", compared=True, limit=7, **_DAY))
        assert olap.asked == (15, 10.0)


@given(
    grain=st.sampled_from(GRAINS),
    at=st.datetimes(datetime(1000, 1, 1), datetime(3000, 1, 1)),  # noqa: DTZ001 - naive, in UTC
    periods=st.integers(-500, 500),
)
def test_periods_follow_each_other(grain: Any, at: datetime, periods: int) -> None:
    begin = begin_of(grain, at)
    assert begin <= at < behind(grain, begin, 1)
    assert begin_of(grain, begin) == begin
    moved = behind(grain, begin, periods)
    assert periods_between(grain, begin, moved) == periods
    assert behind(grain, moved, -periods) == begin
