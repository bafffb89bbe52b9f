"""What views cost where they live: rows written in batches of 500, rows read by key and in pages, on each engine.

    PYTHONPATH=. python benchmarks/views.py
    PYTHONPATH=. python benchmarks/views.py --mysql HOST PORT USER PASSWORD DATABASE

The engines take turns on the same rows. PostgreSQL is started for it, on the same file system, with the settings that
it comes with; MySQL has to run. Each batch is a transaction, with its offsets and positions, as a listener makes it.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from decimal import Decimal
from functools import partial
from pathlib import Path

from msgspec import Struct

from deploy.postgres import Postgres
from figures import quiet, say, taking_turns
from mainstem import Table
from mainstem.messages import Position
from mainstem.mysql import MysqlServer
from mainstem.view.duckdb import DuckdbViews
from mainstem.view.mysql import MysqlViews
from mainstem.view.port import ViewStore
from mainstem.view.postgres import PostgresViews
from mainstem.view.sqlite import SqliteViews

BATCH = 500
ROWS = 100_000
CARDS = 2_000
ASKED = 2_000
PAGE = 20


class Payment(Struct, frozen=True):
    """A row as a statement has it."""

    id: str
    card: str
    at_ms: int
    amount: Decimal
    note: str | None = None


PAYMENT = Table("payment", Payment, key=("id",), indexes=(("card", "at_ms", "id"),))


def _batches() -> Iterator[list[Payment]]:
    """The same in every run, cards by chance."""
    chance = random.Random(7)
    for begin in range(0, ROWS, BATCH):
        yield [
            Payment(f"p{n:09d}", f"c{chance.randrange(CARDS):06d}", n * 1_000, Decimal(n % 90_000) / 100, "a note")
            for n in range(begin, begin + BATCH)
        ]


def measure(views: ViewStore) -> Mapping[str, float]:
    """One round, from an empty table: what is measured, each in a second."""
    views.drop(PAYMENT, "payment")
    views.create(PAYMENT)
    written = _written(views)
    chance = random.Random(11)
    keys = [(f"p{chance.randrange(ROWS):09d}",) for _ in range(ASKED)]
    cards = [f"c{chance.randrange(CARDS):06d}" for _ in range(ASKED // 4)]
    return {
        "rows written": ROWS / written,
        "rows read by key": _rate(len(keys), lambda number: views.get(PAYMENT, [keys[number]])),
        "batches of 500 keys read": _rate(20, lambda number: views.get(PAYMENT, keys[number * 50 : number * 50 + 500])),
        "pages by an index": _rate(len(cards), partial(_page, views, cards)),
    }


def _written(views: ViewStore) -> float:
    batches = list(_batches())
    began = time.perf_counter()
    for number, rows in enumerate(batches, 1):
        with views.transaction() as transaction:
            transaction.put(PAYMENT, rows)
            transaction.save("payment", {("topic", 0): number}, [Position(row.card, row.at_ms) for row in rows])
    return time.perf_counter() - began


def _page(views: ViewStore, cards: list[str], number: int) -> object:
    return views.find(PAYMENT, {"card": cards[number]}, order=("at_ms", "id"), descending=True, limit=PAGE)


def _rate(count: int, ask: Callable[[int], object]) -> float:
    began = time.perf_counter()
    for number in range(count):
        ask(number)
    return count / (time.perf_counter() - began)


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mysql", nargs=5, metavar=("HOST", "PORT", "USER", "PASSWORD", "DATABASE"))
    mysql = parser.parse_args().mysql
    quiet()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = Postgres()
        stack.callback(server.remove)
        server.start()
        stores: dict[str, ViewStore] = {
            "sqlite": SqliteViews(folder / "views.db"),
            "duckdb": DuckdbViews(folder / "views.duckdb"),
            "postgres": PostgresViews(server.database()),
        }
        if mysql:
            host, port, user, password, database = mysql
            stores["mysql"] = MysqlViews(MysqlServer(host, int(port), user, password, database))
        for views in stores.values():
            stack.enter_context(closing(views))
        found = taking_turns("views", {name: partial(measure, views) for name, views in stores.items()})
    for name, figures in found.items():
        say(f"{name}: " + ", ".join(f"{value:,.0f} {what}/s" for what, value in figures.items()))


if __name__ == "__main__":
    main()
