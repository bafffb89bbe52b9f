"""The layers' accounts of what was withdrawn, which `mainstem reconcile` holds against the others if they are kept."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from bank.cents import money_of
from bank.layers.aggregated import AGGREGATED
from bank.layers.curated import CURATED
from bank.layers.integrated import INTEGRATED
from mainstem import Figures, Ledger, Sides, Table

_GRAINS = ("minute", "hour", "day")
_OF_A_CARD = ("withdrawn", "withdrawals")
_OF_ALL = ("withdrawn in all", "withdrawals in all")
_ALL = "all cards"


def _by_card(table: Table[Any], sides: Sides) -> Iterable[tuple[str, Figures]]:
    sums: dict[str, tuple[int, int]] = {}
    for row in sides.views.scan(table):
        if row.fact == "withdrawal":
            cents, facts = sums.get(row.card, (0, 0))
            sums[row.card] = cents + row.cents, facts + row.facts
    for card, (cents, facts) in sums.items():
        yield card, dict(zip(_OF_A_CARD, (money_of(cents), facts), strict=True))


def _in_all(sides: Sides) -> Iterable[tuple[str, Figures]]:
    withdrawals = [(row.cents, row.facts) for row in sides.views.scan(INTEGRATED) if row.fact == "withdrawal"]
    yield _sum_of(withdrawals)


def _of_grain(grain: str, sides: Sides) -> Iterable[tuple[str, Figures]]:
    rows = sides.views.scan(AGGREGATED)
    yield _sum_of([(row.cents, row.facts) for row in rows if (row.grain, row.fact) == (grain, "withdrawal")])


def _sum_of(withdrawals: Iterable[tuple[int, int]]) -> tuple[str, Figures]:
    whole, number = 0, 0
    for cents, facts in withdrawals:
        whole, number = whole + cents, number + facts
    return _ALL, dict(zip(_OF_ALL, (money_of(whole), number), strict=True))


LEDGERS = (
    Ledger("curated", _OF_A_CARD, partial(_by_card, CURATED)),
    Ledger("integrated", _OF_A_CARD, partial(_by_card, INTEGRATED)),
    Ledger("integrated, of all cards", _OF_ALL, _in_all),
    *(Ledger(f"aggregated by {grain}", _OF_ALL, partial(_of_grain, grain)) for grain in _GRAINS),
)
