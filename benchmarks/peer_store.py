"""The peer's store: appends, loads and the past of a card in `eventsourcing` on SQLite. Prints JSON."""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from statistics import median
from uuid import UUID

from eventsourcing.application import Application

from peer_eventsourcing import Card

ONE, LIMIT = Decimal("1.00"), Decimal(10**12)


def application(folder: Path, **settings: str) -> Application[UUID]:
    """SQLite in WAL mode with synchronous=FULL: the library sets the one, and leaves the other at SQLite's default."""
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(folder / f"events-{time.monotonic_ns()}.db"),
        "SQLITE_LOCK_TIMEOUT": "30",
    }
    app: Application[UUID] = Application(env=environment | settings)
    with app.recorder.datastore.transaction(commit=False) as cursor:  # type: ignore[attr-defined]
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == 2, "each answer is to come after the flush"
    return app


def append(app: Application[UUID], callers: int, cards: int, seconds: float) -> float:
    """Withdrawals in a second, each loaded, decided and saved; every caller has cards of its own."""
    opened = [[Card(limit=LIMIT) for _ in range(cards)] for _ in range(callers)]
    for card in itertools.chain(*opened):
        app.save(card)
    done = [0] * callers
    began = time.monotonic()

    def work(number: int) -> None:
        own = itertools.cycle(card.id for card in opened[number])
        while time.monotonic() < began + seconds:
            card: Card = app.repository.get(next(own))
            card.withdraw(ONE)
            app.save(card)
            done[number] += 1

    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(work, range(callers)))
    return sum(done) / (time.monotonic() - began)


def filled(app: Application[UUID], events: int, every: int) -> UUID:
    """A card with so many events, and a snapshot at each multiple of `every` where the application keeps snapshots."""
    card = Card(limit=LIMIT)
    for version in range(2, events + 1):
        card.withdraw(ONE)
        if version % every == 0:
            app.save(card)
            if app.snapshots is not None:
                app.take_snapshot(card.id)
    app.save(card)
    return card.id


def us(work: Callable[[], object], rounds: int) -> float:
    """The median, in microseconds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken) * 1e6


def loads(folder: Path, events: int, every: int, at: int) -> dict[str, float]:
    """What loading the card takes, now and as of a version, without snapshots and with them."""
    plain, kept = application(folder), application(folder, IS_SNAPSHOTTING_ENABLED="y")
    long, behind = filled(plain, events, every), filled(kept, events, every)
    return {
        "load": us(lambda: plain.repository.get(long), 3),
        "load_snapshot": us(lambda: kept.repository.get(behind), 101),
        "as_of": us(lambda: plain.repository.get(long, version=at), 3),
        "as_of_snapshot": us(lambda: kept.repository.get(behind, version=at), 5),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("callers", "cards", "events", "every", "at"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, cached = Path(name), {"AGGREGATE_CACHE_MAXSIZE": "100000"}
        total = asked.callers * asked.cards
        found = {
            "append": append(application(folder), 1, total, asked.seconds),
            "append_cached": append(application(folder, **cached), 1, total, asked.seconds),
            "concurrent": append(application(folder), asked.callers, asked.cards, asked.seconds),
            "concurrent_cached": append(application(folder, **cached), asked.callers, asked.cards, asked.seconds),
            **loads(folder, asked.events, asked.every, asked.at),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
