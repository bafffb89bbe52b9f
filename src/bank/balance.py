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
)
from mainstem import EVENT_TOPIC, Binding, Event, Fold, Position, Recorded, Table, recorded_events

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
    if row is None:
        row = CardBalance(message.aggregate_id)
    return replace(
        row, version=message.version, occurred_at_ms=message.occurred_at_ms, **_changes(row, message.payload)
    )


def _changes(row: CardBalance, event: Event) -> dict[str, Any]:
    match event:
        case MoneyWithdrawn():
            used, withdrawn = row.used + event.amount, row.withdrawn + event.amount
            return {"used": used, "withdrawn": withdrawn, "withdrawals": row.withdrawals + 1}
        case MoneyRepaid():
            return {"used": row.used - event.amount}
        case CardOpened() | LimitChanged():
            return {"card_limit": event.limit}
        case CardBlocked():
            return {"status": "blocked"}
        case CardUnblocked():
            return {"status": "active"}
        case CardClosed():
            return {"status": "closed"}
    raise TypeError(f"{type(event).__name__} is no event of a card")


BALANCE = Binding(
    group=GROUP,
    topic=EVENT_TOPIC,
    decoder=recorded_events(CARD.events),
    projection=Fold(CARD_BALANCE, lambda message: (message.aggregate_id,), fold),
    position=lambda message: Position(message.aggregate_id, message.version),
)
