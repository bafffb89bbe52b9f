"""Analytics: the datasource `bankapp`, fed from the statement's topic, and the questions that the bank asks of it."""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from bank.statement import TOPIC
from mainstem import Datasource, Dimension, Olap

BANKAPP = Datasource(
    name="bankapp",
    topic=TOPIC.name,
    time="transactionDate",
    dimensions=(
        Dimension("id"),
        Dimension("amount", "decimal"),
        Dimension("debitCardId"),
        Dimension("transactionDate", "timestamp"),
    ),
)

Grain = Literal["hour", "day"]


class CardSpending(Struct, frozen=True, rename="camel"):
    """What was withdrawn from one card in all."""

    debit_card_id: str
    withdrawals: int
    amount: Decimal


class PeriodSpending(Struct, frozen=True, rename="camel"):
    """What was withdrawn in one hour or day, which begins at `period` (ISO 8601, UTC)."""

    period: str
    withdrawals: int
    amount: Decimal


def spending_per_card(olap: Olap, card: str | None, limit: int) -> list[CardSpending]:
    """Spending by card, in order of ids; of one card where it is named."""
    sql = (
        'SELECT "debitCardId", count(*), sum("amount_cents") FROM bankapp'
        ' WHERE ? IS NULL OR "debitCardId" = ? GROUP BY 1 ORDER BY 1 LIMIT ?'
    )
    rows = olap.ask(sql, (card, card, limit)).rows
    return [CardSpending(card, count, _money(cents)) for card, count, cents in rows]


def top_cards(olap: Olap, limit: int) -> list[CardSpending]:
    """The cards from which most was withdrawn, the highest amount first."""
    sql = 'SELECT "debitCardId", count(*), sum("amount_cents") FROM bankapp GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT ?'
    return [CardSpending(card, count, _money(cents)) for card, count, cents in olap.ask(sql, (limit,)).rows]


def spending_over_time(olap: Olap, grain: Grain, card: str | None, limit: int) -> list[PeriodSpending]:
    """Spending by hour or day, the newest first; periods without a withdrawal are left out."""
    sql = (
        'SELECT date_trunc(?, "__time"), count(*), sum("amount_cents") FROM bankapp'
        ' WHERE ? IS NULL OR "debitCardId" = ? GROUP BY 1 ORDER BY 1 DESC LIMIT ?'
    )
    rows = olap.ask(sql, (grain, card, card, limit)).rows
    return [PeriodSpending(f"{at:%Y-%m-%dT%H:%M:%SZ}", count, _money(cents)) for at, count, cents in rows]


def totals(olap: Olap) -> dict[str, tuple[int, Decimal]]:
    """Number and sum of all withdrawals by card."""
    sql = 'SELECT "debitCardId", count(*), sum("amount_cents") FROM bankapp GROUP BY 1'
    rows = olap.ask(sql, row_limit=100_000_000, timeout_s=600).rows
    return {card: (count, _money(cents)) for card, count, cents in rows}


def _money(cents: int) -> Decimal:
    """Cents as an amount with two places."""
    return Decimal(cents).scaleb(-2)
