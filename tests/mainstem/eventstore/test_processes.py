"""Many processes, each with a writer of its own on one store: nothing is lost, doubled or above a limit."""

import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from bank.card import CARD, DEBIT_CARD, OpenCard, evolve_spending
from bank.customer import CUSTOMER, SetOverallLimit
from bank.overall import Spending, customer_tag
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.history import History, TagHistory
from tests.mainstem.eventstore.several import CARDS, EACH, opened
from tests.stack import Databases

PROCESSES = 6
_LIMIT = Decimal(100)
_PATIENCE_S = 300
_ANSWERS = {
    "Withdraw",
    "Repay",
    "replayed",
    "overall-limit-exceeded",
    "insufficient-balance",
    "repayment-too-large",
}


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.stack)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The store as the processes are told it."""
    if request.param == "sqlite":
        return str(tmp_path / "events.db")
    databases: Databases = request.getfixturevalue("databases")
    return msgspec.json.encode(databases(tmp_path)).decode()


def test_six_processes_on_three_cards_of_one_customer(where: str) -> None:
    """Each event follows the one before it; the overall limit holds after each; a key is carried out once."""
    with closing(opened(where)) as store:
        bus = CommandBus(store, Handler([CARD, CUSTOMER], clock_ms=lambda: 1))
        bus.start()
        bus.execute(SetOverallLimit(customer="c-1", limit=_LIMIT))
        for card in CARDS:
            bus.execute(OpenCard(card=card, limit=_LIMIT, customer="c-1"))
        bus.stop()
        told = _told_by_all(where)
        assert sum(told.values()) == PROCESSES * EACH
        assert set(told) <= _ANSWERS, told
        streams = {card: store.read(CARD.stream(card), limit=10_000) for card in CARDS}
        for stream in streams.values():
            assert [event.version for event in stream] == list(range(1, len(stream) + 1))
        kinds = Counter(event.type for stream in streams.values() for event in stream)
        assert (kinds["MoneyWithdrawn"], kinds["MoneyRepaid"]) == (told["Withdraw"], told["Repay"])
        spending = Spending()
        for each in TagHistory(store, [CARD, CUSTOMER]).events(customer_tag("c-1"), limit=10_000):
            spending = evolve_spending(spending, each.happened.event)
            assert spending.used <= _LIMIT
        assert spending.used == kinds["MoneyWithdrawn"] - kinds["MoneyRepaid"]
        assert {row.id: row.used_limit for row in store.states(DEBIT_CARD)} == {
            card: History(store, CARD).at(card).state.used for card in CARDS
        }


def _told_by_all(where: str) -> Counter[str]:
    """All begin at once."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.mainstem.eventstore.several", str(number)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(PROCESSES)
        ]
        for process in running:
            stack.callback(process.kill)
        for process in running:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{where}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
        told: Counter[str] = Counter()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in running:
            output, _ = process.communicate(timeout=_PATIENCE_S)
            assert process.returncode == 0
            told.update(json.loads(output))
        return told
