"""The charts of the bank's dashboard in Superset, declared: what each shows of the datasource, and from when."""

from typing import Literal

from msgspec import Struct

from mainstem.olap.grains import Grain

AS_OF = "as_of"
"""The metric beside those of the datasource: up to when it is told."""

WITHIN = {
    "all": "No filter",
    "week": "DATEADD(DATETIME('now'), -7, day) : now",
    "today": "DATETRUNC(DATETIME('now'), day) : now",
    "hour": "DATEADD(DATETIME('now'), -60, minute) : now",
}
"""Spans of time in Superset's words; times are in UTC."""


class Chart(Struct, frozen=True):
    """Metrics of the datasource, by the names that `GET /analytics/query` has for them.

    `number` shows the first of them. `bars` and `lines` go by `grain`, or by the values of the first of `by`. `top` so
    many rows have the highest first measure; 0 for all. The row has twelve columns, of which it takes `width`.
    """

    name: str
    kind: Literal["number", "bars", "lines", "table"]
    metrics: tuple[str, ...]
    text: str
    by: tuple[str, ...] = ()
    grain: Grain | None = None
    within: Literal["all", "week", "today", "hour"] = "all"
    top: int = 0
    width: int = 6

    @property
    def span(self) -> str:
        """From when, in Superset's words."""
        return WITHIN[self.within]


_NUMBERS = (
    Chart("Withdrawals", "number", ("count",), "All that the bank has.", width=2),
    Chart("Withdrawn", "number", ("sum_amount",), "All of it.", width=2),
    Chart("Cards", "number", ("distinct_debitCardId",), "About how many were used.", width=2),
    Chart("Count today", "number", ("count",), "Since midnight, UTC.", within="today", width=2),
    Chart("Sum today", "number", ("sum_amount",), "Since midnight, UTC.", within="today", width=2),
    Chart("Data as of", "number", (AS_OF,), "Up to when the charts tell, UTC.", width=2),
)

_OVER_TIME = (
    Chart("Withdrawn by day", "bars", ("sum_amount",), "Days begin at midnight, UTC.", grain="day"),
    Chart("Withdrawn by hour", "bars", ("sum_amount",), "The last seven days.", grain="hour", within="week"),
)

_FINER = (
    Chart("Withdrawals per minute", "bars", ("count",), "The last hour.", grain="minute", within="hour"),
    Chart(
        "Amounts by day",
        "lines",
        ("p50_amount", "p95_amount", "p99_amount"),
        "About what 50, 95 and 99 of 100 withdrawals do not exceed.",
        grain="day",
    ),
)

_BY_CARD = (
    Chart(
        "Top cards",
        "table",
        ("sum_amount", "count", "max_amount"),
        "From which most was withdrawn.",
        by=("debitCardId",),
        top=10,
    ),
    Chart("Top cards today", "bars", ("sum_amount",), "Since midnight, UTC.", ("debitCardId",), within="today", top=10),
)

ROWS = (_NUMBERS, _OVER_TIME, _FINER, _BY_CARD)
"""Of the dashboard, from top to bottom."""

CHARTS = tuple(chart for row in ROWS for chart in row)
