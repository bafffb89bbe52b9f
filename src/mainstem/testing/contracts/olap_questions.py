"""The questions that every analytical store answers the same: as plain Python does, over the same facts.

Part of `olap.OlapContract`, whose facts they are about.
"""

from abc import ABC
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from mainstem.messages import Record
from mainstem.olap.asking import answered
from mainstem.olap.ownership import Owner, answered_for
from mainstem.olap.port import Datasource, Olap
from mainstem.olap.question import Equal, Measure, Not, OneOf, Prefix, Question, Range, Top
from mainstem.testing.contracts.question_model import Row, check, facts_of, told

_ALL = (
    Measure(),
    Measure("sum", "price"),
    Measure("sum", "pieces"),
    Measure("min", "price"),
    Measure("max", "pieces"),
    Measure("min", "soldAt"),
    Measure("max", "soldAt"),
    Measure("avg", "price"),
    Measure("avg", "pieces"),
    Measure("distinct", "id"),
    Measure("distinct", "price"),
    Measure("quantile", "price", 50),
    Measure("quantile", "pieces", 95),
)
_MONTH = {"since": datetime(2026, 2, 1, tzinfo=UTC), "until": datetime(2026, 3, 1, tzinfo=UTC)}
_NEXT = {"since": datetime(2026, 3, 1, tzinfo=UTC), "until": datetime(2026, 4, 1, tzinfo=UTC)}
_WEEK = {"since": datetime(2026, 3, 9, tzinfo=UTC), "until": datetime(2026, 3, 16, tzinfo=UTC)}
_DAY = {"since": datetime(2026, 3, 10, tzinfo=UTC), "until": datetime(2026, 3, 11, tzinfo=UTC)}
_ODD = {
    "since": datetime(2026, 3, 10, 7, 30, tzinfo=UTC),
    "until": datetime(2026, 3, 12, 9, 30, tzinfo=UTC),
}
_ELSEWHERE = (Not(OneOf("shop", ("north", ""))),)

ASKED: dict[str, dict[str, Any]] = {
    "all at once": {"measures": _ALL},
    "by text": {"measures": _ALL, "by": ("shop",)},
    "by text and integer": {"measures": _ALL, "by": ("shop", "pieces")},
    "by decimal": {"measures": (Measure(), Measure("sum", "pieces")), "by": ("price",)},
    **{f"by {grain}": {"measures": _ALL, "grain": grain} for grain in ("minute", "hour", "day", "week", "month")},
    "by month and text": {"measures": _ALL, "grain": "month", "by": ("shop",)},
    "within a time": {"measures": _ALL, "by": ("shop",), **_WEEK},
    "from a time on": {"grain": "week", "since": datetime(2026, 3, 1, 9, 30, tzinfo=UTC)},
    "before a time": {"grain": "day", "until": datetime(2026, 2, 1)},  # noqa: DTZ001 - without a zone it is in UTC
    "equal text": {"measures": _ALL, "where": (Equal("shop", "east"),)},
    "equal to the empty text": {"where": (Equal("shop", ""),)},
    "equal decimal": {"measures": _ALL, "where": (Equal("price", Decimal("9007199254740.99")),)},
    "equal time": {"measures": _ALL, "where": (Equal("soldAt", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),)},
    "one of several": {"by": ("pieces",), "where": (OneOf("pieces", (1, 2, -(2**53) - 1)),)},
    "a range of decimals": {"by": ("shop",), "where": (Range("price", at_least=Decimal("4.10"), below=20),)},
    "a range of integers": {"by": ("pieces",), "where": (Range("pieces", above=1, at_most=3),)},
    "a range of texts": {"by": ("shop",), "where": (Range("shop", above="east", at_most="west"),)},
    "a prefix": {"by": ("id",), "where": (Prefix("id", "0-4"),)},
    "a prefix of signs that are SQL's": {"by": ("id",), "where": (Prefix("id", "'; DROP TABLE sales --\n"),)},
    "a prefix of LIKE's signs": {"where": (Prefix("id", "%"),)},
    "a prefix of any one": {"where": (Prefix("id", "_-4"),)},
    "a prefix of the sign that escapes": {"where": (Prefix("id", "!"),)},
    "not equal": {"by": ("shop",), "where": (Not(Equal("shop", "north")),)},
    "not in a range": {"by": ("pieces",), "where": (Not(Range("pieces", at_least=2, below=4)),)},
    "no prefix": {"by": ("shop",), "where": (Not(Prefix("shop", "no")),)},
    "several filters": {"by": ("id",), "where": (*_ELSEWHERE, Range("price", below=5), Not(Prefix("id", "1-1")))},
    "nothing of it": {"measures": _ALL, "where": (Equal("shop", "nowhere"),)},
    "no group of it": {"measures": _ALL, "by": ("shop",), "where": (Equal("shop", "nowhere"),)},
    "the top by a sum": {"measures": _ALL, "by": ("id",), "top": Top(5, "sum_price")},
    "the top by a count": {"by": ("shop", "pieces"), "top": Top(4, "count")},
    "the top by an average": {"measures": _ALL, "by": ("shop",), "top": Top(3, "avg_pieces")},
    "the top of periods": {
        "measures": _ALL,
        "grain": "day",
        "by": ("shop",),
        "where": _ELSEWHERE,
        "top": Top(3, "count"),
    },
    "the time before, all": {"measures": _ALL, "compared": True, **_NEXT},
    "the time before, by text": {"measures": _ALL, "by": ("shop",), "compared": True, **_ODD},
    "the time before, its top": {
        "measures": _ALL,
        "by": ("shop",),
        "compared": True,
        "top": Top(2, "sum_pieces"),
        **_NEXT,
    },
    "the time before, by hour": {"measures": _ALL, "grain": "hour", "compared": True, **_DAY},
    "the time before, by day": {"measures": _ALL, "grain": "day", "by": ("shop",), "compared": True, **_WEEK},
    "the time before, by week": {"grain": "week", "compared": True, **_WEEK},
    "the time before, by month": {"measures": _ALL, "grain": "month", "compared": True, **_MONTH},
    "the time before, of nothing": {
        "measures": _ALL,
        "by": ("shop",),
        "compared": True,
        "where": (Equal("shop", "nowhere"),),
        **_WEEK,
    },
}
_PAGED: dict[str, dict[str, Any]] = {
    "by text": {"by": ("id",), "where": _ELSEWHERE},
    "by two": {"measures": _ALL, "by": ("shop", "pieces")},
    "by month and text": {"grain": "month", "by": ("shop",)},
    "by day and two": {"grain": "day", "by": ("shop", "pieces"), "where": _ELSEWHERE},
    "the time before": {"measures": _ALL, "by": ("shop", "pieces"), "compared": True, **_WEEK},
}


class OlapQuestions(ABC):
    """Of the datasource `sold`, which is filled with `sales`, and of one like it that has no rows."""

    suffix: ClassVar[str] = ""
    sold: ClassVar[Datasource]
    unsold: ClassVar[Datasource]
    sales: ClassVar[Sequence[Record]]

    @pytest.fixture(scope="class")
    @classmethod
    def facts(cls) -> list[Row]:
        """The facts that they are, plainly."""
        return facts_of(cls.sold, cls.sales)

    def question(self, **asked: Any) -> Question:
        """About the facts."""
        return Question(replace(self.sold, name=self.sold.name + self.suffix), **{"limit": 1_000, **asked})

    @pytest.mark.parametrize("name", ASKED)
    def test_a_question_is_answered_as_plainly(self, asked: Olap, facts: list[Row], name: str) -> None:
        """Row by row, in the same order; what is estimated comes near."""
        question = self.question(**ASKED[name])
        check(answered(asked, question), question, facts)

    @pytest.mark.parametrize("limit", [1, 3, 7])
    @pytest.mark.parametrize("name", _PAGED)
    def test_pages_are_the_whole(self, asked: Olap, facts: list[Row], name: str, limit: int) -> None:
        """Each page begins behind the last row of the one before."""
        question = self.question(**{**_PAGED[name], "limit": limit})
        _, whole, _ = told(replace(question, limit=1_000), facts)
        assert len(whole) > 3
        pages = 0
        while True:
            found = answered(asked, question)
            check(found, question, facts)
            pages += 1
            if found.more is None:
                break
            question = replace(question, behind=found.more)
        assert pages == -(-len(whole) // limit)

    @pytest.mark.parametrize("tenant", [None, "n", "nobody"])
    def test_an_owner_is_told_of_its_own(self, asked: Olap, facts: list[Row], tenant: str | None) -> None:
        """By the keys of a dimension; no sale here is a tenant's, and those of none are all."""
        question = self.question(by=("shop",), grain="month")
        found = answered_for(asked, question, Owner("shop", tenant, apart=True))
        if tenant is None:
            check(found, question, facts)
        else:
            assert (list(found.rows), found.more) == ([], None)

    def test_a_datasource_without_rows_has_none(self, asked: Olap) -> None:
        """Nor groups; what is counted over all is zero, and what is measured is nothing."""
        measures = (Measure(), Measure("sum", "price"), Measure("max", "soldAt"), Measure("distinct", "id"))
        question = replace(
            self.question(measures=measures), datasource=replace(self.unsold, name=self.unsold.name + self.suffix)
        )
        assert list(answered(asked, question).rows) == [(0, None, None, 0)]
        grouped = replace(question, by=("shop",), grain="day", limit=2)
        assert (list(answered(asked, grouped).rows), answered(asked, grouped).more) == ([], None)


def more_sales(first: int) -> list[str]:
    """Messages of 72 sales in three shops, from the twentieth of February on, so that each grain has several periods.

    The first has the id `1-` and `first`.
    """
    begin = datetime(2026, 2, 20, 5, 59, 59, 999_000, tzinfo=UTC)
    shops = ("east", "midlands", "west")
    return [
        f'{{"id":"1-{first + n}","pieces":{n % 5},"price":"{n % 11}.{n % 7}5",'
        f'"soldAt":"{(begin + timedelta(hours=9 * n, minutes=n)).isoformat()}","shopName":"{shops[n % 7 % 3]}"}}'
        for n in range(72)
    ]
