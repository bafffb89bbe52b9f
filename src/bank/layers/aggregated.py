"""AGGREGATED: how many facts there were, and of how much, in each minute, hour and day, by fact, reason and tenant."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bank.layers.integrated import TOPIC as INTEGRATED_TOPIC
from bank.layers.integrated import Integrated
from bank.layers.topics import LINGER_MS, topic_of
from mainstem import Binding, Fold, NewRecord, Table
from mainstem.layers import Rolled, rolled_by


class Aggregated(Struct, frozen=True):
    """The sums of one period, which begins at `begin_ms`, of what one partition brought: whoever asks adds these."""

    id: str
    grain: str
    begin_ms: int
    fact: str
    reason: str
    tenant: str
    shard: int
    facts: int
    cents: int


class Addition(Struct, frozen=True):
    """What an entry of INTEGRATED, whose id it has, adds to a period: who sums these up has the figure at any time."""

    id: str
    grain: str
    begin_ms: int
    fact: str
    reason: str
    tenant: str
    facts: int
    cents: int


TOPIC = topic_of("aggregated", Addition)
AGGREGATED = Table(
    "aggregated", Aggregated, key=("id",), indexes=(("grain", "begin_ms", "fact"), ("grain", "fact", "begin_ms"))
)


def _key(rolled: Rolled[Integrated]) -> tuple[str]:
    message = rolled.message
    place = f"{rolled.grain}:{rolled.begin_ms:015d}:{message.fact}:{message.reason}"
    return (f"{place}:{message.tenant}:{rolled.shard:04d}",)


def fold(row: Aggregated | None, rolled: Rolled[Integrated]) -> Aggregated:
    """The period after one more entry."""
    message: Any = rolled.message
    if row is not None:
        return replace(row, facts=row.facts + message.facts, cents=row.cents + message.cents)
    return Aggregated(
        _key(rolled)[0],
        rolled.grain,
        rolled.begin_ms,
        message.fact,
        message.reason,
        message.tenant,
        rolled.shard,
        message.facts,
        message.cents,
    )


def _messages(rolled: Rolled[Integrated]) -> Sequence[NewRecord]:
    entry: Any = rolled.message
    addition = Addition(
        entry.id, rolled.grain, rolled.begin_ms, entry.fact, entry.reason, entry.tenant, entry.facts, entry.cents
    )
    return [
        NewRecord(
            topic=TOPIC.name,
            key=f"{rolled.grain}:{rolled.begin_ms}",
            value=msgspec.json.encode(addition),
            timestamp_ms=entry.at_ms,
            identity=f"{rolled.grain}:{entry.id}",
        )
    ]


STEP: Binding[Rolled[Integrated]] = Binding(
    group="layer-aggregated",
    topic=INTEGRATED_TOPIC.name,
    decoder=rolled_by(Integrated, lambda message: message.at_ms),
    projection=Fold(AGGREGATED, _key, fold),
    emit=_messages,
    out=(TOPIC,),
    linger_ms=LINGER_MS,
)
