"""Analytics: the datasource `bankapp`, fed from the statement's topic, and the questions that the bank asks of it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from bank.cents import money_of
from bank.statement import TOPIC
from mainstem import Compaction, Datasource, Dimension, Olap
from mainstem.olap.asking import Found
from mainstem.olap.ownership import Owner, answered_for
from mainstem.olap.question import Question
from mainstem.tenancy import qualified, shown, span

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
    compaction=Compaction(),
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


class Facts(Struct, frozen=True):
    """The facts of one tenant, or of none; all there are, where tenants are not kept `apart`."""

    olap: Olap
    tenant: str | None = None
    apart: bool = False

    def card(self, name: str | None) -> str | None:
        """What the tenant's card is called among those of all tenants."""
        return None if name is None else qualified(self.tenant, name)

    @property
    def where(self) -> tuple[str, tuple[str, ...]]:
        """The condition that they are these facts, with its values; none where there is none."""
        if self.tenant is not None:
            return '"debitCardId" >= ? AND "debitCardId" < ?', span(self.tenant)
        return ('("debitCardId" < ? OR "debitCardId" >= ?)', span(None)) if self.apart else ("", ())


def spending_per_card(facts: Facts, card: str | None, limit: int) -> list[CardSpending]:
    """Spending by card, in order of ids; of one card where it is named."""
    where, values = facts.where
    sql = (
        'SELECT "debitCardId", count(*), sum("amount_cents") FROM bankapp'
        f' WHERE {_and(where)}(? IS NULL OR "debitCardId" = ?) GROUP BY 1 ORDER BY 1 LIMIT ?'
    )
    name = facts.card(card)
    return _spending(facts, facts.olap.ask(sql, (*values, name, name, limit)).rows)


def top_cards(facts: Facts, limit: int) -> list[CardSpending]:
    """The cards from which most was withdrawn, the highest amount first."""
    where, values = facts.where
    sql = (
        'SELECT "debitCardId", count(*), sum("amount_cents") FROM bankapp'
        f"{' WHERE ' if where else ''}{where} GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT ?"
    )
    return _spending(facts, facts.olap.ask(sql, (*values, limit)).rows)


def spending_over_time(facts: Facts, grain: Grain, card: str | None, limit: int) -> list[PeriodSpending]:
    """Spending by hour or day, the newest first; periods without a withdrawal are left out."""
    where, values = facts.where
    sql = (
        'SELECT date_trunc(?, "__time"), count(*), sum("amount_cents") FROM bankapp'
        f' WHERE {_and(where)}(? IS NULL OR "debitCardId" = ?) GROUP BY 1 ORDER BY 1 DESC LIMIT ?'
    )
    name = facts.card(card)
    rows = facts.olap.ask(sql, (grain, *values, name, name, limit)).rows
    return [PeriodSpending(f"{at:%Y-%m-%dT%H:%M:%SZ}", count, money_of(cents)) for at, count, cents in rows]


def answer(facts: Facts, question: Question) -> Found:
    """The answer to a question about these facts."""
    return answered_for(facts.olap, question, Owner("debitCardId", facts.tenant, facts.apart))


def totals(olap: Olap) -> dict[str, tuple[int, Decimal]]:
    """Number and sum of all withdrawals by card."""
    sql = 'SELECT "debitCardId", count(*), sum("amount_cents") FROM bankapp GROUP BY 1'
    rows = olap.ask(sql, row_limit=100_000_000, timeout_s=600).rows
    return {card: (count, money_of(cents)) for card, count, cents in rows}


def _and(where: str) -> str:
    return f"{where} AND " if where else ""


def _spending(facts: Facts, rows: Sequence[tuple[Any, ...]]) -> list[CardSpending]:
    return [CardSpending(shown(facts.tenant, card), count, money_of(cents)) for card, count, cents in rows]
