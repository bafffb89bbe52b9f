"""Card balances: one row per card, folded from the events, independent of the state table and its changes."""

from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bank.card import (
    CARD,
    CardBlocked,
    CardClosed,
    CardOpened,
    CardUnblocked,
    LimitChanged,
    MoneyRepaid,
    MoneyWithdrawn,
    TransferSettled,
)
from mainstem import EVENT_TOPIC, Binding, Fold, Position, Recorded, Table, by_aggregate, recorded_events

GROUP = "card-balance"
_ZERO = Decimal("0.00")


class CardBalance(Struct, frozen=True):
    """A card as its events tell it: limit, what is used of it, and all that was ever withdrawn."""

    id: str
    card_limit: Decimal = _ZERO
    used: Decimal = _ZERO
    status: str = "active"
    withdrawn: Decimal = _ZERO
    withdrawals: int = 0
    version: int = 0
    occurred_at_ms: int = 0


CARD_BALANCE = Table("card_balance", CardBalance, key=("id",))


def fold(row: CardBalance | None, message: Recorded[Any]) -> CardBalance:
    """The row after one more event."""
    event, version, at_ms = message.payload, message.version, message.occurred_at_ms
    if row is None:
        row = CardBalance(message.aggregate_id)
    match event:
        case MoneyWithdrawn():
            used, withdrawn, count = row.used + event.amount, row.withdrawn + event.amount, row.withdrawals + 1
            return CardBalance(row.id, row.card_limit, used, row.status, withdrawn, count, version, at_ms)
        case MoneyRepaid():
            return replace(row, used=row.used - event.amount, version=version, occurred_at_ms=at_ms)
        case TransferSettled():
            return replace(row, version=version, occurred_at_ms=at_ms)
        case CardOpened() | LimitChanged():
            return replace(row, card_limit=event.limit, version=version, occurred_at_ms=at_ms)
        case CardBlocked():
            return replace(row, status="blocked", version=version, occurred_at_ms=at_ms)
        case CardUnblocked():
            return replace(row, status="active", version=version, occurred_at_ms=at_ms)
        case CardClosed():
            return replace(row, status="closed", version=version, occurred_at_ms=at_ms)
    raise TypeError(f"{type(event).__name__} is no event of a card")


def done(row: CardBalance, message: Recorded[Any]) -> bool:
    """Whether the row holds the event: a capture that had to begin anew sends all of them again."""
    return message.version <= row.version


BALANCE = Binding(
    group=GROUP,
    topic=EVENT_TOPIC,
    decoder=recorded_events(CARD.events, categories=(CARD.category,)),
    projection=Fold(CARD_BALANCE, by_aggregate, fold, done),
    position=lambda message: Position(message.aggregate_id, message.version),
)
