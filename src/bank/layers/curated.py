"""CURATED: business facts, as entries that are never changed: a fact that is taken back is an entry of the opposite."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from bank.layers.cleansed import REFUSED, Cleansed
from bank.layers.cleansed import TOPIC as CLEANSED_TOPIC
from bank.layers.topics import LINGER_MS, topic_of
from mainstem import Binding, Decoder, NewRecord, Rows, Table

_FACTS = {"MoneyWithdrawn": "withdrawal", "MoneyRepaid": "repayment", REFUSED: "refusal"}


class Fact(Struct, frozen=True):
    """An entry: `facts` is 1, or -1 where one is taken back, and `cents` has its sign. The id is the cleansed row's.

    `card` is the key of the card's rows, `version` its event's, 0 of a refusal; `reason` is empty but of a refusal.
    """

    id: str
    fact: str
    card: str
    tenant: str
    version: int
    facts: int
    cents: int
    at_ms: int
    recorded_at_ms: int
    reason: str = ""
    command: str | None = None
    merchant: str | None = None
    transfer: str | None = None


CURATED = Table("curated", Fact, key=("id",), indexes=(("card", "id"),))
TOPIC = topic_of("curated", Fact)


def facts(row: Cleansed) -> Sequence[Fact]:
    """The entry of a withdrawal, a repayment or a refusal; nothing of what was rejected, or is no such fact."""
    fact = _FACTS.get(row.kind)
    if row.rule is not None or fact is None:
        return ()
    return (
        Fact(
            row.id,
            fact,
            row.key,
            row.tenant,
            row.version,
            row.sign,
            row.sign * (row.cents or 0),
            row.at_ms,
            row.recorded_at_ms,
            row.refused or "",
            row.command,
            row.merchant,
            row.transfer,
        ),
    )


def _messages(row: Cleansed) -> Sequence[NewRecord]:
    return [
        NewRecord(
            topic=TOPIC.name, key=fact.card, value=msgspec.json.encode(fact), timestamp_ms=fact.at_ms, identity=fact.id
        )
        for fact in facts(row)
    ]


STEP = Binding(
    group="layer-curated",
    topic=CLEANSED_TOPIC.name,
    decoder=Decoder(Cleansed),
    projection=Rows(CURATED, facts),
    emit=_messages,
    out=(TOPIC,),
    linger_ms=LINGER_MS,
)
