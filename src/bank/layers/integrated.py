"""INTEGRATED: facts with what belongs to them as it was then: the card's customer, limit and status, the merchant.

Of a refusal the customer alone is told: it has no version of its card, by which the terms of its time could be found.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from bank.layers.curated import TOPIC as CURATED_TOPIC
from bank.layers.curated import Fact
from bank.layers.terms import CARD_TERMS, OPENED, CardTerms, known, terms_at
from bank.layers.topics import LINGER_MS, topic_of
from mainstem import Binding, Decoder, Joined, NewRecord, Record, Rows, Table, With
from mainstem.codec import Placed
from mainstem.layers.rollup import begins_of


class Integrated(Struct, frozen=True):
    """An entry as CURATED has it, with what belongs to it. `merchant` is its name in small letters, single-spaced.

    The times in which it counts begin at `minute_ms`, `hour_ms` and `day_ms`; `shard` is the partition that brings it.
    """

    id: str
    fact: str
    card: str
    tenant: str
    facts: int
    cents: int
    at_ms: int
    recorded_at_ms: int
    reason: str
    customer: str | None
    limit_cents: int | None
    status: str | None
    merchant: str | None
    transfer: str | None
    minute_ms: int
    hour_ms: int
    day_ms: int
    shard: int


INTEGRATED = Table(
    "integrated",
    Integrated,
    key=("id",),
    indexes=(("minute_ms", "fact", "id"), ("hour_ms", "fact", "id"), ("day_ms", "fact", "id"), ("customer", "id")),
)
TOPIC = topic_of("integrated", Integrated)


class Shared(NamedTuple):
    """A fact and the partition that brings it."""

    fact: Fact
    shard: int


def integrated(pair: With[Shared, CardTerms]) -> Sequence[Integrated]:
    """One entry for each."""
    (fact, shard), row = pair
    begins = begins_of(fact.at_ms)
    terms = None if row is None or not fact.version else terms_at(row, fact.version)
    told = row is not None and (fact.version > 0 or fact.reason in OPENED)
    return (
        Integrated(
            fact.id,
            fact.fact,
            fact.card,
            fact.tenant,
            fact.facts,
            fact.cents,
            fact.at_ms,
            fact.recorded_at_ms,
            fact.reason,
            row.customer if row is not None and told else None,
            None if terms is None else terms.limit_cents,
            None if terms is None else terms.status,
            None if fact.merchant is None else " ".join(fact.merchant.lower().split()),
            fact.transfer,
            begins["minute"],
            begins["hour"],
            begins["day"],
            shard,
        ),
    )


def _messages(pair: With[Shared, CardTerms]) -> Sequence[NewRecord]:
    return [
        NewRecord(
            topic=TOPIC.name, key=row.card, value=msgspec.json.encode(row), timestamp_ms=row.at_ms, identity=row.id
        )
        for row in integrated(pair)
    ]


_FACTS: Decoder[Fact] = Decoder(Fact)


def _shared(record: Record) -> Sequence[Shared]:
    return (Shared(_FACTS.one(record.value or b""), record.partition),)


_emit: Any = _messages  # of a join, `emit` takes the pair

STEP: Binding[Shared] = Binding(
    group="layer-integrated",
    topic=CURATED_TOPIC.name,
    decoder=Placed(Fact, _shared),
    projection=Joined(
        CARD_TERMS,
        on=lambda shared: (shared.fact.card,),
        into=Rows(INTEGRATED, integrated),
        ready=lambda row, shared: known(row, shared.fact),
        emits_both=True,
    ),
    emit=_emit,
    out=(TOPIC,),
    linger_ms=LINGER_MS,
)
