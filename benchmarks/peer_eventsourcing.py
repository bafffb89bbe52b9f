"""The peer: the same card in the `eventsourcing` library on SQLite. Runs in an environment of its own; prints JSON."""

import argparse
import json
import tempfile
import threading
import time
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError

PAGE = 1_000


class Card(Aggregate):
    """A debit card: open, withdraw."""

    @event("Opened")
    def __init__(self, limit: Decimal) -> None:
        self.limit = limit
        self.used = Decimal("0.00")

    def withdraw(self, amount: Decimal) -> None:
        """Refused where the balance does not suffice."""
        if amount > self.limit - self.used:
            raise ValueError("insufficient balance")
        self._take(amount)

    @event("MoneyWithdrawn")
    def _take(self, amount: Decimal) -> None:
        self.used += amount


def application(folder: Path, cached: bool) -> Application[UUID]:
    """SQLite in WAL mode; the library leaves `synchronous` at SQLite's own default, FULL."""
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(folder / "events.db"),
        "SQLITE_LOCK_TIMEOUT": "30",
    }
    if cached:
        environment["AGGREGATE_CACHE_MAXSIZE"] = "1000"
    return Application(env=environment)


def commands(folder: Path, callers: int, cards: int, seconds: float, cached: bool) -> dict[str, float]:
    """Withdrawals in a second by so many threads; a conflict is tried again, as the library's users have to."""
    app = application(folder, cached)
    opened = [Card(limit=Decimal(10**12)) for _ in range(cards)]
    for card in opened:
        app.save(card)
    done, conflicts = [0] * callers, [0] * callers
    began = time.monotonic()

    def work(number: int) -> None:
        card_id = opened[number % cards].id
        while time.monotonic() < began + seconds:
            try:
                card: Card = app.repository.get(card_id)
                card.withdraw(Decimal("1.00"))
                app.save(card)
            except IntegrityError:
                conflicts[number] += 1
            else:
                done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"rate": sum(done) / (time.monotonic() - began), "conflicts": sum(conflicts)}


def reading(folder: Path, events: int) -> dict[str, float]:
    """Events read in order and decoded in a second."""
    app = application(folder, cached=False)
    cards = [Card(limit=Decimal(10**12)) for _ in range(100)]
    for number in range(events):
        cards[number % 100].withdraw(Decimal("1.00"))
    for card in cards:
        app.save(card)
    began, count, start = time.monotonic(), 0, 1
    while notifications := app.recorder.select_notifications(start, PAGE):
        for notification in notifications:
            app.mapper.to_domain_event(notification)
        count += len(notifications)
        start = int(notifications[-1].id) + 1
    return {"rate": count / (time.monotonic() - began), "events": count}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("commands", "reading"))
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--cards", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--cached", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.what == "commands":
            found = commands(Path(folder), asked.callers, asked.cards, asked.seconds, asked.cached)
        else:
            found = reading(Path(folder), asked.events)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
