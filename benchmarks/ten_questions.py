"""Ten questions about a year of withdrawals: as mainstem asks them, and as SQL for the statement's table in MySQL.

The table has indexes that cover what they ask, as somebody would make them who asks MySQL: (time, card, amount) and
(card, time, amount).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from bank.analytics import BANKAPP
from mainstem.olap.question import Equal, Measure, Question, Range, Top, epoch_ms

BEGIN = datetime(2025, 1, 1)  # noqa: DTZ001 - naive times are in UTC, as the engines have them
END = BEGIN + timedelta(days=365)
CARD = "c00042"
LIMIT = 10_000

_DAY_MS = 86_400_000
_SUMS = (Measure(), Measure("sum", "amount"))
_WEEK, _QUARTER = END - timedelta(days=7), END - timedelta(days=90)
_LAST_DAY, _MONTH = END - timedelta(days=1), datetime(2025, 12, 1)  # noqa: DTZ001
_FROM = "FROM money_withdrawal IGNORE INDEX (i__debit_card_id__id)"
"""MySQL groups by card in the order of the view's own index unless told, and fetches each row from its place then."""
_IN_DECEMBER = f"(transaction_date_ms >= {epoch_ms(_MONTH)})"


@dataclass(frozen=True)
class Asked:
    """A question, and MySQL's statement with its values."""

    name: str
    question: Question
    sql: str
    values: tuple[Any, ...] = ()


def _of(*measures: Measure, **asked: Any) -> Question:
    return Question(BANKAPP, measures or _SUMS, limit=LIMIT, **asked)


def _since(at: datetime) -> str:
    return f"transaction_date_ms >= {epoch_ms(at)} AND transaction_date_ms < {epoch_ms(END)}"


def _period(ms: int) -> str:
    return f"transaction_date_ms DIV {ms} AS period"


TEN = (
    Asked("all of it: number and sum", _of(), f"SELECT count(*), sum(amount) {_FROM}"),
    Asked(
        "by day of the year",
        _of(grain="day"),
        f"SELECT {_period(_DAY_MS)}, count(*), sum(amount) {_FROM} GROUP BY period ORDER BY period",
    ),
    Asked(
        "by hour of the last week",
        _of(grain="hour", since=_WEEK, until=END),
        f"SELECT {_period(3_600_000)}, count(*), sum(amount) {_FROM} WHERE {_since(_WEEK)} GROUP BY period ORDER BY 1",
    ),
    Asked(
        "the ten cards with most, of all",
        _of(by=("debitCardId",), top=Top(10, "sum_amount")),
        f"SELECT debit_card_id, count(*), sum(amount) AS total {_FROM} GROUP BY 1 ORDER BY total DESC, 1 LIMIT 10",
    ),
    Asked(
        "the ten cards with most, of the last day",
        _of(by=("debitCardId",), since=_LAST_DAY, until=END, top=Top(10, "sum_amount")),
        f"SELECT debit_card_id, count(*), sum(amount) AS total {_FROM} WHERE {_since(_LAST_DAY)}"
        " GROUP BY 1 ORDER BY total DESC, 1 LIMIT 10",
    ),
    Asked(
        "one card, by day of the year",
        _of(grain="day", where=(Equal("debitCardId", CARD),)),
        f"SELECT {_period(_DAY_MS)}, count(*), sum(amount) {_FROM} WHERE debit_card_id = %s GROUP BY period ORDER BY 1",
        (CARD,),
    ),
    Asked(
        "December beside the month before",
        _of(since=_MONTH, until=END, compared=True),
        f"SELECT sum({_IN_DECEMBER}), sum(IF({_IN_DECEMBER}, amount, 0)), sum(NOT {_IN_DECEMBER}),"
        f" sum(IF({_IN_DECEMBER}, 0, amount)) {_FROM} WHERE {_since(_MONTH - (END - _MONTH))}",
    ),
    Asked(
        "cards that were used, by day of the last quarter",
        _of(Measure("distinct", "debitCardId"), grain="day", since=_QUARTER, until=END),
        f"SELECT {_period(_DAY_MS)}, count(DISTINCT debit_card_id) {_FROM} WHERE {_since(_QUARTER)}"
        " GROUP BY period ORDER BY 1",
    ),
    Asked(
        "half and nine of ten amounts, of the last quarter",
        _of(Measure("quantile", "amount", 50), Measure("quantile", "amount", 90), since=_QUARTER, until=END),
        "SELECT max(IF(share <= 0.5, amount, 0)), max(IF(share <= 0.9, amount, 0)) FROM"
        f" (SELECT amount, percent_rank() OVER (ORDER BY amount) AS share {_FROM} WHERE {_since(_QUARTER)}) AS ranked",
    ),
    Asked(
        "amounts over 900, by day of the last quarter",
        _of(grain="day", where=(Range("amount", above=Decimal(900)),), since=_QUARTER, until=END),
        f"SELECT {_period(_DAY_MS)}, count(*), sum(amount) {_FROM} WHERE {_since(_QUARTER)} AND amount > 900"
        " GROUP BY period ORDER BY 1",
    ),
)
"""In the order in which they are asked."""
