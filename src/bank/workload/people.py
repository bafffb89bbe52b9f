"""Customers with their cards, and merchants: who withdraws how much, where and how often."""

from collections.abc import Sequence
from itertools import accumulate
from random import Random

from msgspec import Struct

from bank.workload.plan import Plan

_KINDS = (
    ("Grocery", 30, 3_200, 0.7),
    ("Cafe", 22, 650, 0.5),
    ("Fuel", 12, 5_500, 0.4),
    ("Books", 8, 2_100, 0.6),
    ("Fashion", 10, 6_500, 0.8),
    ("Travel", 3, 24_000, 0.9),
    ("Electronics", 5, 18_000, 0.9),
    ("Cash", 10, 10_000, 0.5),
)
"""Of a merchant: its kind, how often it is gone to, what is usual there in cents, and how far that spreads."""

_LIMITS = (50_000, 100_000, 200_000, 500_000, 1_000_000)
_CARDS = (1, 1, 1, 2, 2, 3)
_LEAST_CENTS = 50


class Merchant(Struct, frozen=True):
    """What a withdrawal there is like: `usual` and `spread` of a log-normal distribution of cents."""

    name: str
    usual: int
    spread: float

    def cents(self, chance: Random) -> int:
        """Of one withdrawal."""
        return max(_LEAST_CENTS, round(self.usual * chance.lognormvariate(0.0, self.spread)))


class Holder(Struct, frozen=True):
    """A card, and whose."""

    card: str
    customer: str
    limit_cents: int


class People(Struct, frozen=True):
    """All of them, with running sums of how often each card and each merchant is chosen."""

    holders: Sequence[Holder]
    merchants: Sequence[Merchant]
    card_weights: Sequence[float]
    merchant_weights: Sequence[float]

    def holder(self, chance: Random) -> Holder:
        """A few cards are used often, most now and then."""
        return chance.choices(self.holders, cum_weights=self.card_weights)[0]

    def merchant(self, chance: Random) -> Merchant:
        """By the kind, and how well known it is."""
        return chance.choices(self.merchants, cum_weights=self.merchant_weights)[0]


def people(plan: Plan, chance: Random) -> People:
    """As many as the plan has; ids begin with the seed, so that two workloads do not meet."""
    holders = list[Holder]()
    for number in range(plan.customers):
        customer = f"w{plan.seed}-{number}"
        holders += [
            Holder(f"{customer}-{card}", customer, chance.choice(_LIMITS)) for card in range(chance.choice(_CARDS))
        ]
    merchants, weights = list[Merchant](), list[float]()
    for number in range(plan.merchants):
        kind, often, usual, spread = chance.choices(_KINDS, weights=[often for _, often, _, _ in _KINDS])[0]
        merchants.append(Merchant(f"{kind} {number + 1}", usual, spread))
        weights.append(often * chance.paretovariate(1.5))
    used = [chance.paretovariate(1.2) for _ in holders]
    return People(holders, merchants, list(accumulate(used)), list(accumulate(weights)))
