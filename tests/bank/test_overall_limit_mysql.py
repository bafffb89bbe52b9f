"""The overall limit of a customer's cards, on MySQL, with two processes' writers at once."""

import threading
from collections import Counter
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path

import pytest

from bank.card import CARD, DEBIT_CARD, OpenCard, Repay, Withdraw, evolve_spending
from bank.customer import CUSTOMER, SetOverallLimit
from bank.overall import Spending, customer_tag
from mainstem import Refused
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.errors import WriteConflict
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.history import TagHistory
from tests.stack import Databases

_CARDS = [f"card-{number}" for number in range(4)]
_EACH = 100


@pytest.mark.stack
def test_two_writers_at_once_never_exceed_the_overall_limit(databases: Databases, tmp_path: Path) -> None:
    """Eight threads on two buses withdraw from four cards, repay, and lower the limit: it holds after each event."""
    server = databases(tmp_path)
    told: Counter[str] = Counter()
    with ExitStack() as stack:
        stores = [
            stack.enter_context(closing(MysqlEventStore(server, [DEBIT_CARD], clock_ms=lambda: 1))) for _ in range(2)
        ]
        buses = [CommandBus(store, Handler([CARD, CUSTOMER], clock_ms=lambda: 1)) for store in stores]
        for bus in buses:
            bus.start()
            stack.callback(bus.stop)
        buses[0].execute(SetOverallLimit(customer="c-1", limit=Decimal(120)))
        for card in _CARDS:
            buses[0].execute(OpenCard(card=card, limit=Decimal(100), customer="c-1"))

        def work(number: int) -> None:
            for count in range(_EACH):
                told[_told(buses[number % 2], _command(number, count))] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        spending = Spending()
        for each in TagHistory(stores[0], [CARD, CUSTOMER]).events(customer_tag("c-1"), limit=10_000):
            spending = evolve_spending(spending, each.happened.event)
            assert spending.limit is not None
            assert spending.used <= spending.limit
        assert spending.used == sum(row.used_limit for row in stores[0].states(DEBIT_CARD))
        assert told["overall-limit-exceeded"]
        assert sum(told.values()) == 8 * _EACH
        assert told["conflict"] == 0, told  # they take turns, in the order of the tags


def _command(number: int, count: int) -> Withdraw | Repay | SetOverallLimit:
    card = _CARDS[(number // 2 + count) % 4]
    if count % 25 == 24:
        return SetOverallLimit(customer="c-1", limit=Decimal(120 - number))
    return (Repay if count % 7 == 6 else Withdraw)(card=card, amount=Decimal(1))


def _told(bus: CommandBus, command: Withdraw | Repay | SetOverallLimit) -> str:
    try:
        bus.execute(command)
    except Refused as refused:
        return refused.reason
    except WriteConflict:
        return "conflict"
    return "accepted"
