"""A writer that keeps a snapshot after every event, until it is killed; it says each version that it was answered."""

import sys
from contextlib import suppress
from decimal import Decimal
from itertools import count
from pathlib import Path

from bank.card import CARD, DEBIT_CARD, OpenCard, Withdraw
from mainstem import Refused
from mainstem.clock import wall_clock_ms
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.port import EventStore
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.mysql import MysqlServer
from mainstem.snapshots import Snapshots

CARDS = 3


def open_store(words: list[str]) -> EventStore:
    """A file, or host, port, user, password and database of a server."""
    if len(words) == 1:
        return SqliteEventStore(Path(words[0]), [DEBIT_CARD], clock_ms=wall_clock_ms)
    host, port, user, password, database = words
    return MysqlEventStore(MysqlServer(host, int(port), user, password, database), [DEBIT_CARD], clock_ms=wall_clock_ms)


def main() -> None:
    """Withdraw from several cards in turn."""
    handler = Handler([CARD], clock_ms=wall_clock_ms, snapshots=Snapshots(every_events=1))
    bus = CommandBus(open_store(sys.argv[1:]), handler)
    bus.start()
    for number in count():
        card = f"c{number % CARDS}"
        with suppress(Refused):
            if number < CARDS:
                bus.execute(OpenCard(card=card, limit=Decimal(1_000_000)))
        answer = bus.execute(Withdraw(card=card, amount=Decimal("0.01")))
        sys.stdout.write(f"answered {card} {answer.version}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
