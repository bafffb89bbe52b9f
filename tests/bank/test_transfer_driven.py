"""When what drives transfers looks for something to do."""

from decimal import Decimal
from functools import partial
from pathlib import Path

from bank.card import OpenCard, Withdraw
from bank.main import application
from bank.transfer import TRANSFER, TransferRequested
from mainstem.assembly import Embedded, embedded
from mainstem.settings import Settings

ONE = Decimal("1.00")


def test_it_looks_when_a_process_has_gone_on_and_not_whenever_a_view_has(tmp_path: Path) -> None:
    running = embedded(application, Settings(data_dir=tmp_path))
    woken: list[str] = []
    for group, runner in running.listeners.items():
        if runner.on_rows is not None:
            runner.on_rows = partial(woken.append, group)
    running.commands.open()
    for card in ("anna", "bert"):
        running.commands.execute(OpenCard(card=card, limit=Decimal(100)))
    running.commands.execute(Withdraw(card="anna", amount=ONE))
    _step(running)
    assert woken == []
    asked = TransferRequested("t-1", "anna", "bert", ONE)
    running.commands.execute(running.processes.beginning(TRANSFER, "t-1", asked))
    _step(running)
    assert woken == ["process"]
    running.stop()


def _step(running: Embedded) -> None:
    while running.relay.step():
        continue
    for runner in running.listeners.values():
        while runner.step():
            continue
