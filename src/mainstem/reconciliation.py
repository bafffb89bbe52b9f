"""Holding the accounts of one application against each other: every figure that two of them know must be equal."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from mainstem.application import Figures, Ledger, Sides


class Difference(Struct, frozen=True, rename="camel"):
    """A figure of one aggregate on which ledgers disagree, with what each holds (None: knows nothing of it)."""

    key: str
    figure: str
    values: dict[str, str | None]


class Reconciliation(Struct, frozen=True, rename="camel"):
    """What was compared, and where it differs."""

    ledgers: tuple[str, ...]
    aggregates: int
    figures: int
    differences: tuple[Difference, ...]

    @property
    def clean(self) -> bool:
        """Whether everything agrees."""
        return not self.differences


def reconcile(ledgers: Sequence[Ledger], sides: Sides) -> Reconciliation:
    """Read every ledger and compare. A ledger that does not list an aggregate holds zero of its figures."""
    accounts = {ledger.name: dict(ledger.read(sides)) for ledger in ledgers}
    figures = {ledger.name: set(ledger.figures) for ledger in ledgers}
    keys = sorted({key for account in accounts.values() for key in account})
    compared = 0
    differences = []
    for key in keys:
        for figure in sorted(set().union(*figures.values())):
            held = {name: _held(account, key, figure) for name, account in accounts.items() if figure in figures[name]}
            compared += 1
            if len(set(held.values())) > 1:
                texts = {name: None if value is None else str(value) for name, value in held.items()}
                differences.append(Difference(key, figure, texts))
    return Reconciliation(tuple(accounts), len(keys), compared, tuple(differences))


def _held(account: dict[str, Figures], key: str, figure: str) -> Decimal | int | str | None:
    found = account.get(key)
    value = found.get(figure) if found is not None else None
    return None if value is None or value == 0 else value
