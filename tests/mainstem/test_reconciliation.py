"""Accounts held against each other."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from mainstem.application import Figures, Ledger
from mainstem.reconciliation import reconcile

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
