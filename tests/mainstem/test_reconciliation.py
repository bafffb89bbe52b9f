"""Accounts held against each other."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bank.balance import BALANCE, CardBalance
from bank.balance import fold as balance_fold
from bank.card import OpenCard, Withdraw
from bank.main import application
from mainstem import Fold, Recorded
from mainstem.application import Figures, Ledger
from mainstem.assembly import embedded
from mainstem.cli import commands
from mainstem.reconciliation import Parked, reconcile
from mainstem.settings import Settings

_SIDES: Any = None


def _ledger(name: str, figures: tuple[str, ...], **rows: Figures) -> Ledger:
    def read(_: Any) -> Iterable[tuple[str, Figures]]:
        return rows.items()

    return Ledger(name, figures, read)


def test_what_agrees() -> None:
    first = _ledger("events", ("sum", "count"), a={"sum": Decimal("1.50"), "count": 2})
    second = _ledger("view", ("sum",), a={"sum": Decimal("1.5")})
    found = reconcile([first, second], _SIDES)
    assert found.clean
    assert (found.ledgers, found.aggregates, found.figures) == (("events", "view"), 1, 2)


def test_a_cent_is_a_difference() -> None:
    first = _ledger("events", ("sum",), a={"sum": Decimal("1.50")}, b={"sum": Decimal(1)})
    second = _ledger("view", ("sum",), a={"sum": Decimal("1.51")}, b={"sum": Decimal(1)})
    (difference,) = reconcile([first, second], _SIDES).differences
    assert (difference.key, difference.figure) == ("a", "sum")
    assert difference.values == {"events": "1.50", "view": "1.51"}


def test_what_one_does_not_have_is_zero() -> None:
    """A card without a withdrawal has no line in the statement."""
    first = _ledger("events", ("sum",), a={"sum": Decimal("0.00")}, b={"sum": Decimal(5)})
    second = _ledger("view", ("sum",))
    (difference,) = reconcile([first, second], _SIDES).differences
    assert (difference.key, difference.values) == ("b", {"events": "5", "view": None})


def test_while_commands_come_in_only_what_differs_in_every_round_counts(tmp_path: Path) -> None:
    """What is under way differs for a moment, each time of another card."""
    rounds = iter(range(100))

    def moving(_: Any) -> Iterable[tuple[str, Figures]]:
        return [(f"c-{next(rounds)}", {"sum": 1}), ("late", {"sum": 5})]

    first, second = _ledger("events", ("sum",), late={"sum": 5}), Ledger("view", ("sum",), moving)
    wrong = _ledger("other", ("sum",), late={"sum": 4})
    with embedded(replace(application, ledgers=(first, second)), Settings(data_dir=tmp_path / "a")) as running:
        assert running.reconcile().clean
    with embedded(replace(application, ledgers=(first, second, wrong)), Settings(data_dir=tmp_path / "b")) as running:
        (difference,) = running.reconcile().differences
    assert difference.values == {"events": "5", "view": "5", "other": "4"}


def test_what_is_parked_is_told_where_figures_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A listener that fails at one card puts its messages aside: that many are missing."""
    whole = BALANCE.projection
    assert isinstance(whole, Fold)

    def fold(row: CardBalance | None, message: Recorded[Any]) -> CardBalance:
        if message.aggregate_id == "bad" and message.version > 1:
            raise ValueError("poison")
        return balance_fold(row, message)

    broken = replace(BALANCE, projection=replace(whole, fold=fold))
    listeners = tuple(broken if each is BALANCE else each for each in application.listeners)
    with embedded(replace(application, listeners=listeners), Settings(data_dir=tmp_path)) as bank:
        for card in ("good", "bad"):
            bank.commands.execute(OpenCard(card=card, limit=Decimal(100)))
        clean = bank.reconcile()
        assert (clean.clean, clean.parked) == (True, ())
        for card in ("good", "bad", "bad", "bad"):
            bank.commands.execute(Withdraw(card=card, amount=Decimal(1)))
        found = bank.reconcile()
    assert {each.key for each in found.differences} == {"bad"}
    assert found.parked == (Parked("card-balance", "debit_card-bad", 3),)
    commands._print_reconciliation(found)
    assert "card-balance: 3 messages wait behind dead letters (debit_card-bad)" in capsys.readouterr().out
