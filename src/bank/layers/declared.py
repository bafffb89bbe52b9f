"""The five layers put together, and of each row what it was made of."""

from bank.card import DEBIT_CARD
from bank.layers import aggregated, cleansed, curated, integrated, terms
from bank.layers.aggregated import Aggregated
from bank.layers.cleansed import CLEANSED, Cleansed
from bank.layers.curated import CURATED, Fact
from bank.layers.integrated import INTEGRATED, Integrated
from bank.layers.topics import LINGER_MS, topic_of
from mainstem import EVENT_TOPIC, REFUSAL_TOPIC
from mainstem.layers import Below, Layer, Layers, RawChange, quality_step, raw_steps
from mainstem.layers.raw import raw_table

RAW_TOPIC = topic_of("raw", RawChange)
_QUALITY = quality_step("layer_quality", "layer-quality", cleansed.TOPIC.name, linger_ms=LINGER_MS)


def _of_cleansed(row: Cleansed) -> tuple[Below, ...]:
    return (Below(raw_table(row.source), {"id": row.origin}),)


def _of_curated(row: Fact) -> tuple[Below, ...]:
    return (Below(CLEANSED, {"id": row.id}),)


def _of_integrated(row: Integrated) -> tuple[Below, ...]:
    return (Below(CURATED, {"id": row.id}),)


def _of_aggregated(row: Aggregated) -> tuple[Below, ...]:
    where = {
        f"{row.grain}_ms": row.begin_ms,
        "fact": row.fact,
        "reason": row.reason,
        "tenant": row.tenant,
        "shard": row.shard,
    }
    return (Below(INTEGRATED, where),)


LAYERS = Layers(
    (
        Layer(
            "raw",
            raw_steps((EVENT_TOPIC, REFUSAL_TOPIC), RAW_TOPIC, kept=(DEBIT_CARD.name,), linger_ms=LINGER_MS),
        ),
        Layer(
            "cleansed",
            (cleansed.step(RAW_TOPIC.name),),
            _of_cleansed,
            beside=(_QUALITY, terms.STEP),
            quality=_QUALITY.projection.table if _QUALITY.projection is not None else None,
        ),
        Layer("curated", (curated.STEP,), _of_curated),
        Layer("integrated", (integrated.STEP,), _of_integrated),
        Layer("aggregated", (aggregated.STEP,), _of_aggregated),
    )
)
"""RAW holds the events and the refused commands, in the tables `raw_event` and `raw_refused_command`, of which the
other layers are made; and in `raw_debit_card` the changes of the cards' rows, which say the same once more."""
