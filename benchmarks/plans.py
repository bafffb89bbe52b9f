"""Every query of the bank's views on tables of millions of rows: that it uses its index, by the engine's own plan, and
how long it takes.

    python benchmarks/plans.py --rows 10000000              in a SQLite file
    python benchmarks/plans.py --rows 10000000 --mysql HOST PORT USER PASSWORD DATABASE

Each table is filled by itself, asked, and dropped. Ends with 1 where a plan is another than the declared one.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.table import Table as Grid

from bank import overview, payment, refusal, spending, statement, suspicious
from bank.balance import CARD_BALANCE
from bank.spending import DAY_MS
from figures import percentile, quiet, say
from mainstem import Table
from mainstem.view.port import ViewStore
from plan_engines import Engine, MysqlEngine, SqliteEngine

DAYS = 365
PER_CUSTOMER = 3
_BEGIN = 1_700_006_400_000


class Chance:
    """What is asked for, by chance but the same in every run; `rows` is the size of the tables."""

    def __init__(self, rows: int) -> None:
        self._random = random.Random(7)
        self.rows = rows
        self.cards = max(1, rows // DAYS)

    def below(self, number: int) -> int:
        """One of so many."""
        return self._random.randrange(number)

    def card(self, cards: int | None = None) -> str:
        """The name of a card, one of the tables that have many rows for each unless it is said of how many."""
        return f"c{self.below(cards or self.cards):08d}"


Ask = Callable[[ViewStore, Chance], Any]


@dataclass(frozen=True)
class Query:
    """A question, and the index by which it is answered: its columns, `()` for the primary key, None for words."""

    name: str
    ask: Ask
    index: tuple[str, ...] | None = ()


@dataclass(frozen=True)
class Filled:
    """A table, what it is filled with (SQL for each column over the numbers n from 0), and its queries."""

    table: Table[Any]
    columns: dict[str, str]
    queries: tuple[Query, ...] = field(default=())
    cards: bool = False


_CARD = "'c' || substr('00000000' || (n {div} 365), -8)"
_ID = "substr('000000000000' || n, -12)"


def _statement(views: ViewStore, chance: Chance, after: Any = None) -> Any:
    where = {"debit_card_id": chance.card()}
    return views.find(statement.MONEY_WITHDRAWAL, where, order=("id",), descending=True, after=after, limit=100)


def _refusals(views: ViewStore, chance: Chance) -> Any:
    return views.find(refusal.REFUSAL, {"card": chance.card()}, order=("id",), descending=True, limit=100)


def _activity(kind: suspicious.Kind, table: Table[Any]) -> Filled:
    def newest(views: ViewStore, _: Chance) -> Any:
        return suspicious.suspicious_of(views, kind, None, None, 100)

    def page(views: ViewStore, chance: Chance) -> Any:
        after = (_BEGIN + chance.below(DAYS) * DAY_MS, "")
        return suspicious.suspicious_of(views, kind, None, None, 100, after)

    def of_card(views: ViewStore, chance: Chance) -> Any:
        return suspicious.suspicious_of(views, kind, None, chance.card(), 100)

    begin = f"{_BEGIN} + (n % 365) * {DAY_MS} + (n {{div}} 365) % 86400000"
    return Filled(
        table,
        {
            "card": _CARD,
            "begin_ms": begin,
            "end_ms": f"{begin} + 3600000",
            "withdrawals": "1 + n % 7",
            "cents": "100 + n % 900000",
            "suspicious": "n % 1009 = 0",
            "version": "n",
            "tenant": "''",
        },
        (
            Query(f"suspicious {kind}, newest", newest, ("tenant", "suspicious", "begin_ms", "card")),
            Query(f"suspicious {kind}, a page", page, ("tenant", "suspicious", "begin_ms", "card")),
            Query(f"suspicious {kind} of a card", of_card, ("card", "suspicious", "begin_ms")),
        ),
    )


def _customer(chance: Chance) -> str:
    return f"k{chance.below(max(1, chance.rows // PER_CUSTOMER)):08d}"


TABLES = (
    Filled(
        statement.MONEY_WITHDRAWAL,
        {
            "id": f"'binlog.000001:' || {_ID} || ':000'",
            "debit_card_id": "'c' || substr('00000000' || (n * 7919 % {cards}), -8)",
            "amount": "'12.50'",
            "transaction_date_ms": f"{_BEGIN} + n",
        },
        (
            Query("statement", _statement, ("debit_card_id", "id")),
            Query(
                "statement, a page",
                lambda views, chance: _statement(
                    views, chance, (f"binlog.000001:{chance.below(chance.rows):012d}:000",)
                ),
                ("debit_card_id", "id"),
            ),
        ),
    ),
    Filled(
        CARD_BALANCE,
        {
            "id": "'c' || substr('00000000' || n, -8)",
            "card_limit": "'500.00'",
            "used": "'12.50'",
            "status": "'active'",
            "withdrawn": "'100.00'",
            "withdrawals": "n % 100",
            "version": "n % 100",
            "occurred_at_ms": f"{_BEGIN} + n",
        },
        (Query("balance", lambda v, c: v.find(CARD_BALANCE, {"id": c.card(c.rows)}, limit=1)),),
    ),
    Filled(
        spending.DAILY_SPENDING,
        {
            "card": _CARD,
            "begin_ms": f"{_BEGIN} + (n % 365) * {DAY_MS}",
            "end_ms": f"{_BEGIN} + (n % 365 + 1) * {DAY_MS}",
            "cents": "n * 7919 % 1000003",
            "withdrawals": "1 + n % 7",
            "version": "n",
            "tenant": "''",
        },
        (
            Query("daily spending of a card", lambda v, c: spending.days_of(v, c.card(), 100)),
            Query(
                "daily spending of a card, a page",
                lambda v, c: spending.days_of(v, c.card(), 100, (_BEGIN + c.below(DAYS) * DAY_MS,)),
            ),
            Query(
                "spenders of a day",
                lambda v, c: spending.spenders_of(v, None, _BEGIN + c.below(DAYS) * DAY_MS, 100),
                ("tenant", "begin_ms", "cents", "card"),
            ),
            Query(
                "spenders of a day, a page",
                lambda v, c: spending.spenders_of(v, None, _BEGIN + c.below(DAYS) * DAY_MS, 100, (c.below(10**6), "c")),
                ("tenant", "begin_ms", "cents", "card"),
            ),
        ),
    ),
    _activity("velocity", suspicious.VELOCITY_WINDOW),
    _activity("amount", suspicious.AMOUNT_WINDOW),
    Filled(
        overview.CUSTOMER_CARD,
        {
            "id": "'c' || substr('00000000' || n, -8)",
            "customer": f"'k' || substr('00000000' || (n * 7919 % ({{rows}} {{div}} {PER_CUSTOMER})), -8)",
            "status": "'active'",
            "limit_cents": "50000",
            "used_cents": "n % 50000",
            "withdrawn_cents": "n % 90000",
            "withdrawals": "n % 100",
            "version": "n % 100",
            "occurred_at_ms": f"{_BEGIN} + n",
        },
        (
            Query("cards of a customer", lambda v, c: overview.cards_of(v, _customer(c), 100), ("customer", "id")),
            Query(
                "cards of a customer, a page",
                lambda v, c: overview.cards_of(v, _customer(c), 100, ("c00000100",)),
                ("customer", "id"),
            ),
        ),
    ),
    Filled(
        refusal.REFUSAL,
        {
            "id": f"'0000' || {_ID}",
            "card": "'c' || substr('00000000' || (n * 7919 % {cards}), -8)",
            "command": "'Withdraw'",
            "reason": "'insufficient-balance'",
            "text": "'Card not able to withdraw 20000. Balance is 9990'",
            "refused_at_ms": f"{_BEGIN} + n",
            "actor": "'teller'",
        },
        (Query("refusals of a card", _refusals, ("card", "id")),),
    ),
    Filled(
        payment.PAYMENT,
        {
            "id": f"'000' || {_ID} || ':' || cards.card || ':000000000001'",
            "card": "cards.card",
            "customer": "cards.customer",
            "merchant": "'Shop ' || (n % 9973)",
            "reference": "'Invoice ' || n",
            "cents": "n % 100000",
            "occurred_at_ms": "n",
            "words": "cards.scopes || ' zzshop zz' || (n % 9973) || ' zzinvoice zz' || n",
        },
        (
            Query(
                "payments of a card by a frequent word",
                lambda v, c: payment.search(v, "shop", payment.of_card(c.card()), 100),
                None,
            ),
            Query(
                "payments of a customer by two words",
                lambda v, c: payment.search(
                    v, f"shop {c.below(9973)}", payment.of_customer(f"k{c.below(c.cards) // PER_CUSTOMER:08d}"), 100
                ),
                None,
            ),
            Query(
                "payments of the bank by an invoice",
                lambda v, c: payment.search(v, f"invoice {c.below(c.rows):05d}", None, 100),
                None,
            ),
        ),
        cards=True,
    ),
)


def measured(engine: Engine, filled: Filled, rows: int, asks: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The figures of a table's queries, and the plans that are others than declared."""
    views, chance, figures, wrong = engine.views, Chance(rows), list[dict[str, Any]](), list[str]()
    views.drop(filled.table)
    began = time.monotonic()
    views.create(replace(filled.table, indexes=(), words=None))
    engine.fill(filled.table, filled.columns, rows, chance.cards, with_cards=filled.cards)
    between = time.monotonic()
    views.create(filled.table)
    engine.settle(filled.table)
    say(f"{filled.table.name}: filled in {between - began:.0f} s, indexed in {time.monotonic() - between:.0f} s")
    for query in filled.queries:
        with engine.heard() as statements:
            query.ask(views, chance)
        wrong += [
            f"{query.name}: {text}" for each in statements for text in engine.faults(each, filled.table, query.index)
        ]
        times, found = list[float](), 0
        for _ in range(asks):
            at = time.perf_counter()
            found += len(query.ask(views, chance))
            times.append((time.perf_counter() - at) * 1000)
        figures.append(
            {
                "query": query.name,
                "rows": found / asks,
                "p50_ms": round(percentile(times, 50), 3),
                "p99_ms": round(percentile(times, 99), 3),
            }
        )
    views.drop(filled.table)
    return figures, wrong


def main() -> int:
    """Fill, ask, show."""
    parser = argparse.ArgumentParser(description="Plans and times of the bank's queries")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--asks", type=int, default=300)
    parser.add_argument("--mysql", nargs=5, metavar=("HOST", "PORT", "USER", "PASSWORD", "DATABASE"))
    parser.add_argument("--only", help="one table")
    parser.add_argument("--json", type=Path, help="where the figures go too")
    given = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as name:
        engine: Engine = MysqlEngine(*given.mysql) if given.mysql else SqliteEngine(Path(name))
        all_figures, wrong = list[dict[str, Any]](), list[str]()
        for filled in TABLES:
            if given.only in (None, filled.table.name):
                figures, faults = measured(engine, filled, given.rows, given.asks)
                all_figures += figures
                wrong += faults
        engine.close()
    grid = Grid("query", "rows", "p50 ms", "p99 ms", title=f"{given.rows:,} rows in each table")
    for each in all_figures:
        grid.add_row(each["query"], f"{each['rows']:.1f}", f"{each['p50_ms']:.2f}", f"{each['p99_ms']:.2f}")
    say(grid)  # type: ignore[arg-type]
    if given.json:
        given.json.write_text(json.dumps({"rows": given.rows, "engine": engine.name, "figures": all_figures}, indent=1))
    for text in wrong:
        say(f"not by its index: {text}")
    say("every query uses its index" if not wrong else f"{len(wrong)} plans are others than declared")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
