"""Payments: withdrawals of which a merchant or a reference is known, found by the words of these.

Each goes with the customer of its card, which another view knows; that never changes once the card is open.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bank.card import CARD, MoneyWithdrawn
from bank.cents import cents_of
from bank.overview import CUSTOMER_CARD, CustomerCard
from bank.pace import LINGER_MS
from mainstem import EVENT_TOPIC, Binding, Joined, Position, Recorded, Rows, Table, With, by_aggregate, recorded_events
from mainstem.view.port import ViewStore
from mainstem.words import searchable

GROUP = "payment"


class Payment(Struct, frozen=True):
    """A withdrawal; its id begins with its time, so that the newest are the last.

    Card and customer are keys of rows.
    """

    id: str
    card: str
    customer: str | None
    merchant: str | None
    reference: str | None
    cents: int
    occurred_at_ms: int
    words: str


PAYMENT = Table("payment", Payment, key=("id",), words="words")


def of_card(card: str) -> str:
    """Within what the payments of the card whose rows have that key are searched."""
    return f"card {card}"


def of_customer(customer: str) -> str:
    """Within what the payments of all cards of the customer whose rows have that key are searched."""
    return f"customer {customer}"


def of_tenant(tenant: str | None) -> str:
    """Within what all payments of a tenant, or of none, are searched where tenants are kept apart."""
    return f"tenant {tenant or ''}"


def payment(message: Recorded[Any], customer: str | None) -> Payment | None:
    """The line of a withdrawal that tells a merchant or a reference."""
    event = message.payload
    if not isinstance(event, MoneyWithdrawn) or event.merchant is None is event.reference:
        return None
    card = message.aggregate_id
    within = [of_tenant(message.tenant), of_card(card), *(() if customer is None else (of_customer(customer),))]
    return Payment(
        f"{message.occurred_at_ms:015d}:{card}:{message.version:012d}",
        card,
        customer,
        event.merchant,
        event.reference,
        cents_of(event.amount),
        message.occurred_at_ms,
        searchable(event.merchant, event.reference, within=within),
    )


def rows(pair: With[Recorded[Any], CustomerCard]) -> Sequence[Payment]:
    """One for each withdrawal that has one; its id is the event's, so what comes again adds nothing."""
    made = payment(pair.message, None if pair.row is None else pair.row.customer)
    return () if made is None else (made,)


def _known(row: CustomerCard | None, message: Recorded[Any]) -> bool:
    """A card that is opened is known; of other messages nothing is needed."""
    return row is not None or not isinstance(message.payload, MoneyWithdrawn)


PAYMENTS = Binding(
    group=GROUP,
    topic=EVENT_TOPIC,
    decoder=recorded_events(CARD.events, categories=(CARD.category,)),
    projection=Joined(CUSTOMER_CARD, on=by_aggregate, into=Rows(PAYMENT, rows), ready=_known),
    position=lambda message: Position(message.aggregate_id, message.version),
    linger_ms=LINGER_MS,
)


def search(
    views: ViewStore, text: str, within: str | None, limit: int, after: Sequence[Any] | None = None
) -> list[Payment]:
    """Payments whose merchant and reference have these words, the newest first; by the index of words."""
    return views.search(PAYMENT, text, within=within, after=after, limit=limit)
