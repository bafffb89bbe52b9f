"""How large a workload is, and of what times: data, from which the same seed makes the same."""

from collections.abc import Sequence
from itertools import accumulate
from random import Random

from msgspec import Struct

from mainstem.errors import ConfigurationError

HOUR_MS = 3_600_000
_HOURS_A_DAY = 24
_MAX = 1_000_000_000
_IN_MEMORY_MAX = 1_000_000
"""Customers with their cards, and merchants, are all held at once."""


_BY_HOUR = (3, 2, 1, 1, 1, 3, 10, 25, 35, 40, 45, 60, 80, 75, 55, 50, 60, 80, 90, 75, 50, 35, 18, 8)
"""How much is going on in each hour of a day (UTC), in shares of each other: lunch and the evening are busiest."""

_BY_DAY = (90, 88, 92, 100, 130, 150, 75)
"""And on each day of a week, from Monday on."""

_FIRST_DAY = 3
"""1970 began on a Thursday."""

_BURST_SHARE, _BURST = 0.015, 4.0
"""In so many of the hours there is so many times as much: a sale, a concert, a payday."""


class Plan(Struct, frozen=True, kw_only=True):
    """`withdrawals` over `days` that end at `end_ms` (milliseconds since 1970, UTC), the cards opened before them.

    `fraud` is how many bouts of it there are among 100,000 withdrawals. Raises ConfigurationError for what cannot be.
    """

    seed: int = 1
    customers: int = 1_000
    merchants: int = 200
    withdrawals: int = 10_000
    days: int = 30
    end_ms: int
    fraud: int = 20

    def __post_init__(self) -> None:
        least = {"customers": 1, "merchants": 1, "withdrawals": 0, "days": 1, "fraud": 0}
        for name, lowest in least.items():
            most = _IN_MEMORY_MAX if name in {"customers", "merchants"} else _MAX
            if not lowest <= getattr(self, name) <= most:
                raise ConfigurationError(f"{name} must be from {lowest} to {most}, not {getattr(self, name)}")
        if self.begin_ms < 0:
            raise ConfigurationError(f"{self.days} days before {self.end_ms} ms is before 1970")

    @property
    def begin_ms(self) -> int:
        """Where the first day begins."""
        return self.end_ms - self.days * _HOURS_A_DAY * HOUR_MS


def hours(plan: Plan, chance: Random) -> Sequence[int]:
    """How many withdrawals each hour has, from the first on; together they are those of the plan."""
    count = plan.days * _HOURS_A_DAY
    first = plan.begin_ms // HOUR_MS
    shares = list[float]()
    for hour in range(first, first + count):
        day, of_day = divmod(hour, _HOURS_A_DAY)
        burst = _BURST if chance.random() < _BURST_SHARE else 1.0
        shares.append(_BY_HOUR[of_day] * _BY_DAY[(day + _FIRST_DAY) % len(_BY_DAY)] * burst)
    whole, before, found = sum(shares), 0, list[int]()
    for share in accumulate(shares):
        upto = round(plan.withdrawals * share / whole)
        found.append(upto - before)
        before = upto
    return found
