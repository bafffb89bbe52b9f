"""Amounts as whole cents, in which views and the analytical store order and add them."""

from decimal import Decimal


def cents_of(amount: Decimal) -> int:
    """Of an amount that has two places."""
    return int(amount.scaleb(2))


def money_of(cents: int) -> Decimal:
    """The amount, with two places."""
    return Decimal(cents).scaleb(-2)
