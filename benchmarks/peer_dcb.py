"""The peer's decisions over tags: an overall limit of a customer's cards, by `eventsourcing.dcb`. Prints JSON.

It keeps them in memory, or in PostgreSQL: it has nothing for SQLite.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from eventsourcing.dcb.application import DCBApplication
from eventsourcing.dcb.domain import Selector, Slice
from eventsourcing.dcb.msgpack import Decision
from eventsourcing.domain import event
from eventsourcing.persistence import IntegrityError

ONE, LIMIT = Decimal("1.00"), Decimal(10**12)


class LimitSet(Decision):
    """What a customer's cards may use together."""

    limit: Decimal


class MoneyWithdrawn(Decision):
    """From one card."""

    amount: Decimal


class SetLimit(Slice[Decision]):
    """Set the limit, whatever was there before."""

    def __init__(self, customer: str) -> None:
        self.customer = customer

    def consistency_boundary(self) -> Sequence[Selector]:
        """The customer's events."""
        return [Selector(tags=[self.customer])]

    def execute(self) -> None:
        """Always accepted."""
        self.trigger_event(LimitSet, tags=[self.customer], limit=LIMIT)


class Withdraw(Slice[Decision]):
    """Withdraw from a card, decided over all that the customer's cards have used."""

    def __init__(self, customer: str) -> None:
        self.customer = customer
        self.limit = self.used = Decimal("0.00")

    def consistency_boundary(self) -> Sequence[Selector]:
        """The customer's events."""
        return [Selector(tags=[self.customer])]

    @event(LimitSet)
    def _(self, limit: Decimal) -> None:
        self.limit = limit

    @event(MoneyWithdrawn)
    def _(self, amount: Decimal) -> None:
        self.used += amount

    def execute(self) -> None:
        """Refused where all cards together would use more than the limit."""
        if self.limit - self.used < ONE:
            raise ValueError("above the overall limit")
        self.trigger_event(MoneyWithdrawn, tags=[self.customer, f"{self.customer}-card"], amount=ONE)


def application(where: str) -> DCBApplication:
    """In memory, or in the PostgreSQL that the environment names, whose commits are flushed."""
    environment = {"MAPPER_TOPIC": "eventsourcing.dcb.msgpack:MessagePackMapper"}
    if where == "postgres":
        environment |= {
            "PERSISTENCE_MODULE": "eventsourcing.dcb.postgres_tt",
            "POSTGRES_DBNAME": "bench",
            "POSTGRES_HOST": os.environ["PGHOST"],
            "POSTGRES_USER": os.environ["PGUSER"],
            "POSTGRES_PASSWORD": "none",
            "POSTGRES_POOL_SIZE": "16",
        }
    return DCBApplication(env=environment)


def append(app: DCBApplication, callers: int, customers: int, seconds: float) -> float:
    """Withdrawals in a second; every caller has customers of its own, and a conflict is tried again."""
    names = [[f"c{time.monotonic_ns()}-{caller}-{n}" for n in range(customers)] for caller in range(callers)]
    for customer in itertools.chain(*names):
        app.do(SetLimit(customer))
    done = [0] * callers
    began = time.monotonic()

    def work(number: int) -> None:
        for customer in itertools.cycle(names[number]):
            if time.monotonic() >= began + seconds:
                return
            try:
                app.do(Withdraw(customer))
            except IntegrityError:
                continue
            done[number] += 1

    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(work, range(callers)))
    return sum(done) / (time.monotonic() - began)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("where", choices=("memory", "postgres"))
    for name in ("callers", "customers"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    asked = parser.parse_args()
    with application(asked.where) as app:
        one = append(app, 1, asked.callers * asked.customers, asked.seconds)
    with application(asked.where) as app:
        concurrent = append(app, asked.callers, asked.customers, asked.seconds)
    print(json.dumps({"append": one, "concurrent": concurrent}))


if __name__ == "__main__":
    main()
