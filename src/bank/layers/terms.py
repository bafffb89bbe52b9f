"""What a card's terms were at each of its versions: whose it is, its limit and its status.

The terms of a card change a few times in its life, while money moves often: so its row holds all of them, the newest
`TERMS_MAX`, and a fact finds those of its own time in it, whenever it comes.
"""

from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bank.layers.cleansed import TOPIC, Cleansed
from bank.layers.topics import LINGER_MS
from mainstem import EVENT_TOPIC, Binding, Decoder, Fold, Table

TERMS_MAX = 1_000


class Terms(Struct, frozen=True, array_like=True):
    """From a version on."""

    version: int
    limit_cents: int
    status: str


class CardTerms(Struct, frozen=True):
    """A card: its version, its customer, which never changes, and `terms`, its `Terms` as JSON, the oldest first."""

    id: str
    version: int
    customer: str | None
    terms: str


CARD_TERMS = Table("card_terms", CardTerms, key=("id",))
_TERMS: Decoder[list[Terms]] = Decoder(list[Terms])
_STATUS = {"CardBlocked": "blocked", "CardUnblocked": "active", "CardClosed": "closed"}
_CARDS = ("CardOpened", "LimitChanged", "MoneyWithdrawn", "MoneyRepaid", "TransferSettled", *_STATUS)


def fold(row: CardTerms | None, change: Cleansed) -> CardTerms | None:
    """The card after one more of its events; other changes leave it as it is.

    Of an event that was rejected nothing holds but that the card is there: what waits for it waits no longer.
    """
    if change.rule is not None and change.source == EVENT_TOPIC and row is None:
        return CardTerms(change.key, 0, None, "[]")
    if change.rule is not None or change.source != EVENT_TOPIC or change.kind not in _CARDS:
        return row
    row = CardTerms(change.key, 0, None, "[]") if row is None else row
    if change.version <= row.version:
        return row
    customer = change.customer if change.kind == "CardOpened" else row.customer
    terms = row.terms if change.kind.startswith(("Money", "Transfer")) else _with(row.terms, change)
    return replace(row, version=change.version, customer=customer, terms=terms)


def _with(text: str, change: Cleansed) -> str:
    known = _TERMS.one(text.encode())
    last = known[-1] if known else Terms(0, 0, "active")
    limit = last.limit_cents if change.limit_cents is None else change.limit_cents
    terms = Terms(change.version, limit, _STATUS.get(change.kind, last.status))
    return msgspec.json.encode([*known, terms][-TERMS_MAX:]).decode()


def terms_at(row: CardTerms, version: int) -> Terms | None:
    """The terms behind that version; None where they are not known, or no longer."""
    return next((each for each in reversed(_TERMS.one(row.terms.encode())) if each.version <= version), None)


def known(row: CardTerms | None, fact: Any) -> bool:
    """Whether the row has come as far as a fact that an event of the card has made, or one that needs its owner."""
    if fact.version:
        return row is not None and row.version >= fact.version
    return row is not None or fact.reason not in OPENED


OPENED = frozenset(("insufficient-balance", "overall-limit-exceeded", "card-blocked", "card-closed"))
"""Reasons for which a command is refused only where its card is there: its customer can be told."""

STEP: Binding[Cleansed] = Binding(
    group="layer-card-terms",
    topic=TOPIC.name,
    decoder=Decoder(Cleansed),
    projection=Fold(CARD_TERMS, lambda change: (change.key,), fold),
    linger_ms=LINGER_MS,
)
