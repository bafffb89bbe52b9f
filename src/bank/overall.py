"""What the cards of one customer may use together: the facts that say how much, and the tag that finds what counts."""

import re
from decimal import Decimal

from msgspec import Struct

from mainstem import Event

CUSTOMER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}")
"""What a customer may be called."""


class OverallLimitSet(Event, frozen=True):
    """From now on the customer's cards may use so much together."""

    customer: str
    limit: Decimal


class OverallLimitRemoved(Event, frozen=True):
    """From now on each of the customer's cards has its own limit alone."""

    customer: str


class Spending(Struct, frozen=True):
    """What all of a customer's cards use together, and may; no limit until one is set, nor after it was removed."""

    used: Decimal = Decimal("0.00")
    limit: Decimal | None = None

    def allows(self, amount: Decimal) -> bool:
        """Whether so much more may be used."""
        return self.limit is None or self.used + amount <= self.limit


def customer_tag(customer: str) -> str:
    """The tag of all events that are a customer's."""
    return f"customer:{customer}"
