"""The same card in Protean, on Message DB in PostgreSQL: the only durable event store that it has. Prints JSON."""

import argparse
import itertools
import json
import os
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from statistics import median

from protean import Domain, apply
from protean.exceptions import ExpectedVersionError
from protean.fields import Decimal as Amount
from protean.fields import Identifier

warnings.simplefilter("ignore")

ONE, LIMIT = Decimal("1.00"), Decimal(10**12)
_NEVER = 10**9

domain = Domain(name="Bank")
domain.config["snapshot_threshold"] = _NEVER
domain.config["event_store"] = {
    "provider": "message_db",
    "database_uri": f"postgresql://message_store@/message_store?host={os.environ['PGHOST']}",
    "max_connections": 32,
}


@domain.event(part_of="Card")
class Opened:
    """A card is there."""

    id = Identifier(required=True)
    limit = Amount(required=True)


@domain.event(part_of="Card")
class MoneyWithdrawn:
    """From the card."""

    amount = Amount(required=True)


@domain.aggregate(event_sourced=True)
class Card:
    """A debit card: open, withdraw."""

    limit = Amount(default=0)
    used = Amount(default=0)

    @classmethod
    def open(cls) -> "Card":
        """A new one."""
        card = cls._create_new()
        card.raise_(Opened(id=card.id, limit=LIMIT))
        return card

    def withdraw(self) -> None:
        """Refused where the balance does not suffice."""
        if self.limit - self.used < ONE:
            raise ValueError("insufficient balance")
        self.raise_(MoneyWithdrawn(amount=ONE))

    @apply
    def opened(self, event: Opened) -> None:
        """The state after it."""
        self.id, self.limit, self.used = event.id, event.limit, Decimal("0.00")

    @apply
    def withdrawn(self, event: MoneyWithdrawn) -> None:
        """The state after it."""
        self.used += event.amount


def append(callers: int, cards: int, seconds: float) -> float:
    """Withdrawals in a second, each loaded, decided and added; every caller has cards of its own."""
    opened = [[Card.open() for _ in range(cards)] for _ in range(callers)]
    repository = domain.repository_for(Card)
    for card in itertools.chain(*opened):
        repository.add(card)
    done = [0] * callers
    began = time.monotonic()

    def work(number: int) -> None:
        with domain.domain_context():
            own = domain.repository_for(Card)
            for name in itertools.cycle(card.id for card in opened[number]):
                if time.monotonic() >= began + seconds:
                    return
                try:
                    card = own.get(name)
                    card.withdraw()
                    own.add(card)
                except ExpectedVersionError:
                    continue
                done[number] += 1

    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(work, range(callers)))
    return sum(done) / (time.monotonic() - began)


def filled(events: int, every: int) -> str:
    """A card with so many events; with `every`, a snapshot at the last multiple of it."""
    card = Card.open()
    name = str(card.id)
    repository = domain.repository_for(Card)
    last = events - events % every if every else events
    for count in (last - 1, events - last):
        for _ in range(count):
            card.withdraw()
        repository.add(card)
        if every and count == last - 1:
            domain.create_snapshot(Card, name)
        card = repository.get(name)
    return name


def us(name: str, rounds: int, version: int | None = None) -> float:
    """The median of loading it, in microseconds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        domain.repository_for(Card).get(name, at_version=version)
        taken.append(time.perf_counter() - began)
    return median(taken) * 1e6


def main() -> None:
    """The command line: `fill` first, whose cards `measure` is told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("fill", "measure"))
    parser.add_argument("--events", type=int)
    parser.add_argument("--every", type=int)
    parser.add_argument("--plain")
    parser.add_argument("--kept")
    parser.add_argument("--at", type=int)
    parser.add_argument("--callers", type=int)
    parser.add_argument("--cards", type=int)
    parser.add_argument("--seconds", type=float)
    asked = parser.parse_args()
    domain.init(traverse=False)
    with domain.domain_context():
        if asked.what == "fill":
            found = {"plain": filled(asked.events, 0), "kept": filled(asked.events, asked.every)}
        else:
            found = {
                "append": append(1, asked.callers * asked.cards, asked.seconds),
                "concurrent": append(asked.callers, asked.cards, asked.seconds),
                "load": us(asked.plain, 1),
                "load_snapshot": us(asked.kept, 11),
                "as_of": us(asked.plain, 1, asked.at - 1),
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
