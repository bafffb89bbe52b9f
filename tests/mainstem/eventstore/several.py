"""A process that writes to a store beside others: `python -m tests.mainstem.eventstore.several NUMBER`.

It is told the store on its input: a file of SQLite, or a MySQL server as JSON. Then it waits for the word to begin, and
prints what became of its commands, as JSON.
"""

import json
import sys
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from bank.card import CARD, DEBIT_CARD, CardCommand, Repay, Withdraw
from bank.customer import CUSTOMER
from mainstem import Refused, Snapshots
from mainstem.command.bus import BusLimits, CommandBus
from mainstem.command.handler import Handler
from mainstem.errors import StoreBusy, WriteConflict
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.port import EventStore
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.mysql import MysqlServer

CARDS = ("hot", "a", "b")
EACH = 60
_LATER = (WriteConflict, StoreBusy)
_TRIES = 200


def opened(store: str) -> EventStore:
    """Of either engine."""
    if store.startswith("{"):
        return MysqlEventStore(MysqlServer(**json.loads(store)), [DEBIT_CARD], clock_ms=lambda: 1)
    return SqliteEventStore(Path(store), [DEBIT_CARD], clock_ms=lambda: 1)


def _told(bus: CommandBus, command: CardCommand, key: str | None) -> str:
    """A caller asks again where the store says so; the key, where there is one, is the same."""
    for _ in range(_TRIES):
        try:
            answer = bus.execute(command, key=key)
        except _LATER:
            continue
        except Refused as refused:
            return refused.reason
        return "replayed" if answer.replayed else type(command).__name__
    return "given up"


def main() -> None:
    """Withdrawals and repayments of 1.00 on three cards, and one key in three that all processes use."""
    number, store = int(sys.argv[1]), sys.stdin.readline().strip()
    told: Counter[str] = Counter()
    with closing(opened(store)) as events:
        handler = Handler([CARD, CUSTOMER], clock_ms=lambda: 1, snapshots=Snapshots(every_events=10))
        bus = CommandBus(events, handler, limits=BusLimits(answer_timeout_s=120))
        bus.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for turn in range(EACH):
            kind = Repay if turn % 5 == 4 else Withdraw
            shared = turn % 3 == 0
            card = CARDS[turn // 3 % 3] if shared else CARDS[(number + turn) % 3]
            told[_told(bus, kind(card=card, amount=Decimal(1)), f"turn-{turn}" if shared else None)] += 1
        bus.stop(120)
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
