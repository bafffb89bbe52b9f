"""Card holders' names: personal data of the customers, kept as tokens, opened where somebody who may sees them."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Struct

from bank.card import CARD, CardOpened
from bank.pace import LINGER_MS
from mainstem import EVENT_TOPIC, Binding, Personal, Position, Recorded, Rows, Table, recorded_events

GROUP = "card-holder"


class CardHolder(Struct, frozen=True):
    """Whose name is on a card."""

    id: str
    customer: str
    holder: Annotated[str, Personal(of="customer")]


CARD_HOLDER = Table("card_holder", CardHolder, key=("id",))


def rows(message: Recorded[Any]) -> Sequence[CardHolder]:
    """A row for a card that was opened with a name."""
    event = message.payload
    if not isinstance(event, CardOpened) or event.customer is None or event.holder is None:
        return ()
    return (CardHolder(message.aggregate_id, event.customer, event.holder),)


HOLDERS = Binding(
    group=GROUP,
    topic=EVENT_TOPIC,
    decoder=recorded_events(CARD.events, categories=(CARD.category,)),
    projection=Rows(CARD_HOLDER, rows),
    position=lambda message: Position(message.aggregate_id, message.version),
    linger_ms=LINGER_MS,
)
