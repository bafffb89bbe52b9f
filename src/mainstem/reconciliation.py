"""Holding the accounts of one application against each other: every figure that two of them know must be equal."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mainstem.application import Figures, Ledger, Sides
from mainstem.listener.batch import Batches
from mainstem.listener.binding import Binding
from mainstem.listener.dead_letters import DeadLetters


class Difference(Struct, frozen=True, rename="camel"):
    """A figure of one aggregate on which ledgers disagree, with what each holds (None: knows nothing of it)."""

    key: str
    figure: str
    values: dict[str, str | None]


class Parked(Struct, frozen=True, rename="camel"):
    """Messages of one key that a listener has put aside behind a dead letter: what it keeps does not count them."""

    listener: str
    key: str
    messages: int


class Reconciliation(Struct, frozen=True, rename="camel"):
    """What was compared, and where it differs; then also what was put aside, and is not in the figures for that."""

    ledgers: tuple[str, ...]
    aggregates: int
    figures: int
    differences: tuple[Difference, ...]
    parked: tuple[Parked, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether everything agrees."""
        return not self.differences

    def lasting(self, earlier: "Reconciliation") -> "Reconciliation":
        """Of what differs that which differed earlier too: all else was under way."""
        before = {(each.key, each.figure) for each in earlier.differences}
        differences = tuple(each for each in self.differences if (each.key, each.figure) in before)
        return replace(self, differences=differences, parked=self.parked if differences else ())


def reconcile(ledgers: Sequence[Ledger], sides: Sides, listeners: Sequence[Binding[Any]] = ()) -> Reconciliation:
    """Read every ledger and compare. A ledger that does not list an aggregate holds zero of its figures.

    Where figures differ, the listeners are asked for what they have put aside.
    """
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
    parked = _parked(listeners, sides) if differences else ()
    return Reconciliation(tuple(accounts), len(keys), compared, tuple(differences), tuple(parked))


def _parked(listeners: Sequence[Binding[Any]], sides: Sides) -> Iterator[Parked]:
    for binding in listeners:
        letters = DeadLetters(binding, sides.log, sides.views, Batches(binding, sides.log, sides.views))
        for key, messages in sorted(letters.waiting().items()):
            yield Parked(binding.group, key, messages)


def _held(account: dict[str, Figures], key: str, figure: str) -> Decimal | int | str | None:
    found = account.get(key)
    value = found.get(figure) if found is not None else None
    return None if value is None or value == 0 else value
