"""What a datasource may declare beside its columns means the same to every analytical store.

Bind one by subclassing `OlapOptionsContract` and implementing `filled` and `put_away`. A rollup answers as its facts
do, late facts are turned away by their record's time, and old ones are forgotten, for which a store may take its time.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec import structs

from mainstem.messages import Record
from mainstem.olap.asking import answered
from mainstem.olap.options import Compaction, Partitioning, Rollup, RollupMeasure
from mainstem.olap.port import Datasource, Dimension, Olap
from mainstem.olap.question import Equal, Measure, Not, OneOf, Prefix, Question, Range, Top
from mainstem.testing.contracts.question_model import Row, check, facts_of

_MEASURED = (
    *(Measure(what, "price") for what in ("sum", "avg", "min", "max")),
    *(Measure(what, "pieces") for what in ("sum", "avg", "min", "max", "distinct")),
)
_ALL = (Measure(), *_MEASURED, Measure("max", "weight"), Measure("distinct", "shop"))
_WEEK = {"since": datetime(2026, 3, 9, tzinfo=UTC), "until": datetime(2026, 3, 16, tzinfo=UTC)}
_MORNING = {"since": datetime(2026, 3, 9, 7, tzinfo=UTC), "until": datetime(2026, 3, 9, 12, tzinfo=UTC)}
_MONTH = {"since": datetime(2026, 3, 1, tzinfo=UTC), "until": datetime(2026, 4, 1, tzinfo=UTC)}

ROLLED = Datasource(
    "rolled",
    topic="rolled",
    time="soldAt",
    dimensions=(
        Dimension("pieces", "integer"),
        Dimension("price", "decimal"),
        Dimension("weight", "integer"),
        Dimension("soldAt", "timestamp"),
        Dimension("shop", source="shopName"),
    ),
    rollup=Rollup(
        "hour", (*(RollupMeasure(what, "price") for what in ("sum", "min", "max")), RollupMeasure("max", "weight"))
    ),
    partitioning=Partitioning("day", by=("shop",)),
    compaction=Compaction(target_rows=1_000),
)
LATE = Datasource(
    "late", topic="late", time="at", dimensions=(Dimension("id"), Dimension("at", "timestamp")), late_after_s=3_600
)
KEPT = replace(LATE, name="kept", topic="kept", late_after_s=None, keep_days=3)
BOTH = replace(LATE, name="both", topic="both", keep_days=3)

DEFAULTED = Datasource(
    "defaulted",
    topic="defaulted",
    time="at",
    dimensions=(
        Dimension("id"),
        Dimension("at", "timestamp"),
        Dimension("day", default="none of 'these', \"nor\" \\ é 漢 \U0001f600\n"),
        Dimension("pieces", "integer", source="many", default=-7),
        Dimension("price", "decimal", default="-0.07"),
    ),
)

ASKED: dict[str, dict[str, Any]] = {
    "all at once": {"measures": _ALL},
    "how many": {},
    "by text": {"measures": _ALL, "by": ("shop",)},
    "by text and integer": {"measures": _ALL, "by": ("shop", "pieces")},
    **{f"by {grain}": {"measures": _ALL, "grain": grain} for grain in ("hour", "day", "week", "month")},
    "by day and text": {"measures": _ALL, "grain": "day", "by": ("shop",)},
    "within a time": {"measures": _ALL, "by": ("shop",), **_WEEK},
    "equal text": {"measures": _ALL, "where": (Equal("shop", "east"),)},
    "several filters": {"by": ("shop",), "where": (Not(OneOf("shop", ("west",))), Range("pieces", at_least=2))},
    "nothing of it": {"measures": _ALL, "where": (Equal("shop", "nowhere"),)},
    "no group of it": {"measures": _ALL, "by": ("shop",), "where": (Equal("shop", "nowhere"),)},
    "the top by a sum": {"measures": _ALL, "by": ("shop", "pieces"), "top": Top(4, "sum_price")},
    "the top by a count": {"by": ("shop", "pieces"), "top": Top(4, "count")},
    "the time before": {"measures": _ALL, "by": ("shop",), "compared": True, **_WEEK},
    "the time before, of hours": {"measures": _ALL, "compared": True, **_MORNING},
    "the time before, by day": {"measures": _ALL, "grain": "day", "by": ("shop",), "compared": True, **_WEEK},
    "the time before, by month": {"measures": _ALL, "grain": "month", "compared": True, **_MONTH},
    "pages": {"by": ("shop", "pieces"), "limit": 3},
}


def rolled() -> list[Record]:
    """Sales of which several are of one hour and shop, in two partitions; one has no weight, and one is no JSON."""
    begin = datetime(2026, 3, 8, 5, tzinfo=UTC)
    names = ("east", "midlands", "west", "")
    shops = [names[n // 6 % 9 % 4] for n in range(300)]
    texts = [
        f'{{"pieces":{n % 3},"price":"{n % 13}.{n % 7}5","weight":{n * 7 % 29 - 9},"shopName":"{shops[n]}",'
        f'"soldAt":"{(begin + timedelta(minutes=61 * (n // 6), milliseconds=n)).isoformat()}"}}'
        for n in range(300)
    ]
    odd = ['{"pieces":1,"price":"1.00","shopName":"east","soldAt":"2026-03-09T09:30:00Z"}', "no JSON"]
    return [Record("rolled", n % 2, n // 2, "k", text.encode(), 0) for n, text in enumerate([*texts, *odd])]


def logged(hours_ago: float = 24.0) -> list[Record]:
    """Facts of one time in records of several: before it, and up to and beyond an hour behind it."""
    at = datetime.now(UTC).replace(microsecond=125_000) - timedelta(hours=hours_ago)
    behind_ms = {"early": -60_000, "at once": 0, "an hour": 3_600_000, "late": 3_600_001, "very late": 36_000_000}
    logged_ms = round(at.timestamp() * 1_000)
    return [
        Record("late", 0, offset, "k", _fact(name, at), logged_ms + behind)
        for offset, (name, behind) in enumerate(behind_ms.items())
    ]


def aged() -> list[Record]:
    """Facts of now and of days that are kept, and of days that are not, each in time."""
    days = {"young": 0.1, "younger": 2.0, "old": 5.0, "older": 40.0}
    times = {name: datetime.now(UTC) - timedelta(days=ago) for name, ago in days.items()}
    return [
        Record("kept", 0, offset, "k", _fact(name, at), round(at.timestamp() * 1_000))
        for offset, (name, at) in enumerate(times.items())
    ]


def late_and_aged() -> list[Record]:
    """Those of `logged` in one partition, and of `aged` in another."""
    return [
        structs.replace(record, topic="both", partition=partition)
        for partition, records in enumerate((logged(), aged()))
        for record in records
    ]


def defaulted() -> list[Record]:
    """Facts that have all fields, lack some or have a null there, and some with fields of another type."""
    fields = [
        '"day":"monday","many":3,"price":"1.50"',
        '"day":"","many":0,"price":0',
        "",
        '"day":null,"many":null,"price":null',
        '"day":"null","price":2.5',
        '"many":"3"',
        '"day":7',
        '"day":{}',
    ]
    texts = [f'{{"id":"{n}","at":"2026-03-09T09:30:00Z"{"," * bool(each)}{each}}}' for n, each in enumerate(fields)]
    return [Record("defaulted", 0, n, "k", text.encode(), 0) for n, text in enumerate(texts)]


def _fact(name: str, at: datetime) -> bytes:
    return f'{{"id":"{name}","at":"{at.isoformat()}"}}'.encode()


class OlapOptionsContract(ABC):
    """Of datasources that declare them; `suffix` is put behind their names, as in `OlapContract`."""

    suffix: ClassVar[str] = ""
    forgets_s: ClassVar[float] = 0.0
    """How long a store may take to forget."""

    @abstractmethod
    def filled(
        self, folder: Path, datasources: Sequence[Datasource], records: Sequence[Record]
    ) -> AbstractContextManager[Olap]:
        """A store of those datasources, into which all of the records have come; closed at the end."""

    @abstractmethod
    def put_away(self, datasource: Datasource) -> None:
        """Have the store bring what it has of it to where it forgets."""

    def named(self, datasource: Datasource) -> Datasource:
        """As it is called here."""
        return replace(datasource, name=datasource.name + self.suffix, topic=datasource.topic + self.suffix)

    @pytest.fixture(scope="class")
    @classmethod
    def optional(cls, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[OlapOptionsContract, Olap]]":
        """A store of a rollup, of what is late or old, and of defaults, filled, and the contract that has filled it."""
        self = cls()
        some = (*rolled(), *late_and_aged(), *defaulted())
        records = [structs.replace(each, topic=each.topic + cls.suffix) for each in some]
        datasources = [self.named(each) for each in (ROLLED, BOTH, DEFAULTED)]
        with self.filled(tmp_path_factory.mktemp("optional"), datasources, records) as olap:
            yield self, olap

    @pytest.fixture(scope="class")
    @classmethod
    def rolled_facts(cls) -> list[Row]:
        """The facts that are rolled up, plainly."""
        return facts_of(ROLLED, rolled())

    @pytest.mark.parametrize("name", ASKED)
    def test_a_rollup_answers_as_its_facts(
        self, optional: "tuple[OlapOptionsContract, Olap]", rolled_facts: list[Row], name: str
    ) -> None:
        """Facts are counted, not rows."""
        question = Question(self.named(ROLLED), **{"limit": 1_000, **ASKED[name]})
        check(answered(optional[1], question), question, rolled_facts)

    def test_a_rollup_has_fewer_rows_than_facts(self, optional: "tuple[OlapOptionsContract, Olap]") -> None:
        """By whatever more than one of them is alike."""
        sql = f'SELECT count(*), sum("facts"), sum("sum_price_cents") FROM rolled{self.suffix}'
        ((rows, facts, cents),) = optional[1].ask(sql).rows
        prices = [Decimal(f"{n % 13}.{n % 7}5") for n in range(300)]
        assert (facts, cents) == (300, sum(prices) * 100)
        assert rows < 200

    def test_a_default_stands_for_what_is_missing(self, optional: "tuple[OlapOptionsContract, Olap]") -> None:
        """Or null; what is of another type does not fit nevertheless."""
        columns = '"id", "day", "pieces", "price_cents"'
        sql = f'SELECT {columns} FROM defaulted{self.suffix} GROUP BY {columns} ORDER BY "id"'
        day = DEFAULTED.dimensions[2].default
        assert list(optional[1].ask(sql).rows) == [
            ("0", "monday", 3, 150),
            ("1", "", 0, 0),
            ("2", day, -7, -7),
            ("3", day, -7, -7),
            ("4", "null", -7, 250),
        ]
        assert len(facts_of(DEFAULTED, defaulted())) == 5

    def test_late_facts_are_turned_away(self, optional: "tuple[OlapOptionsContract, Olap]") -> None:
        """By the time of their record, to the millisecond; whatever the time is now."""
        found = answered(
            optional[1],
            Question(self.named(BOTH), by=("id",), where=(Not(Prefix("id", "old")), Not(Prefix("id", "young")))),
        )
        assert list(found.rows) == [("an hour", 1), ("at once", 1), ("early", 1)]

    def test_old_facts_are_forgotten(self, optional: "tuple[OlapOptionsContract, Olap]") -> None:
        """Those of segments that are older than the days, and no others."""
        filler, olap = optional
        filler.put_away(self.named(BOTH))
        question = Question(self.named(BOTH), by=("id",))
        kept = [(name, 1) for name in ("an hour", "at once", "early", "young", "younger")]
        deadline = time.monotonic() + self.forgets_s
        while (rows := list(answered(olap, question).rows)) != kept:
            assert time.monotonic() < deadline, rows
            time.sleep(0.5)
