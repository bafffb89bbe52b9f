"""What must hold of the bank in a simulation is told where it does not."""

from dataclasses import replace
from decimal import Decimal
from itertools import islice
from random import Random
from typing import Any

import pytest

import bank.card
import bank.transfer
from bank.card import MoneyWithdrawn, Repay, Withdraw
from bank.simulation import commands, simulation
from mainstem import Command
from mainstem.testing.simulation import SimulationFailed, simulate

_WELL = replace(simulation, faults=(), steps=200)


def test_it_asks_for_the_same_by_the_same_chances_and_for_every_command() -> None:
    def asked(seed: int) -> list[str]:
        found = islice(commands(Random(seed)), 300)
        return [repr(each if isinstance(each, Command) else each(1)) for each in found]

    assert asked(1) == asked(1) != asked(2)
    kinds = {each.partition("(")[0] for each in asked(1)}
    assert kinds == {
        *("OpenCard", "Withdraw", "Repay", "ChangeLimit", "BlockCard", "UnblockCard", "CloseCard"),
        *("SetOverallLimit", "RemoveOverallLimit", "TellTransfer"),
    }


def test_a_card_that_is_used_beyond_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def withdraw(_card: Any, command: Withdraw) -> Any:
        return [MoneyWithdrawn(amount=command.amount * 100, transfer=command.transfer)]

    monkeypatch.setattr(bank.card, "_withdraw", withdraw)
    with pytest.raises(SimulationFailed) as caught:
        simulate(_WELL, 1)
    assert any("has used" in each for each in caught.value.wrong)


def test_a_transfer_that_makes_money(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = bank.transfer._accepted

    def generous(transfer: Any, command: Any) -> Any:
        found = accepted(transfer, command)
        sent = [
            replace_amount(each, each.amount + Decimal("0.01")) if isinstance(each, Repay) else each
            for each in found.send
        ]
        return replace(found, send=tuple(sent))

    def replace_amount(command: Repay, amount: Decimal) -> Repay:
        return Repay(card=command.card, amount=amount, transfer=command.transfer)

    monkeypatch.setattr(bank.transfer, "_accepted", generous)
    with pytest.raises(SimulationFailed) as caught:
        simulate(_WELL, 0)
    assert any(each.startswith("transfer t") and "brought" in each for each in caught.value.wrong)
