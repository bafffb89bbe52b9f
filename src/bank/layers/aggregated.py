"""AGGREGATED: how many facts there were, and of how much, in each minute, hour and day, by fact, reason and tenant."""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bank.layers.integrated import TOPIC, Integrated
from bank.layers.topics import LINGER_MS
from mainstem import Binding, Fold, Table
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


STEP: Binding[Rolled[Integrated]] = Binding(
    group="layer-aggregated",
    topic=TOPIC.name,
    decoder=rolled_by(Integrated, lambda message: message.at_ms),
    projection=Fold(AGGREGATED, _key, fold),
    linger_ms=LINGER_MS,
)
