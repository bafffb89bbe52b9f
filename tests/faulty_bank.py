"""The bank with a listener that has a fault, until the file that FAULTY_BANK_MENDED names is there.

It counts the events of each card, and speaks of each on a topic of its own; with a card that has `-z-` in its name it
cannot do. With `-slow-` in the name it takes the seconds that FAULTY_BANK_SLOW_S names.
"""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import Struct

from bank.card import CARD
from bank.main import application as bank
from bank.main import serve
from mainstem import EVENT_TOPIC, Binding, Fold, Recorded, Table, recorded_events
from mainstem.log.port import Topic
from mainstem.messages import NewRecord

__all__ = ["application", "serve"]

GROUP = "activity"
HEARD = Topic("heard")


class Activity(Struct, frozen=True):
    """The versions of a card's events, in the order in which they were handled."""

    card: str
    versions: str = ""


ACTIVITY = Table("activity", Activity, key=("card",))


def _fold(row: Activity | None, message: Recorded[Any]) -> Activity:
    card = message.aggregate_id
    if "-z-" in card and not Path(os.environ["FAULTY_BANK_MENDED"]).exists():
        raise ValueError(f"{card} is too much")
    if "-slow-" in card:
        time.sleep(float(os.environ.get("FAULTY_BANK_SLOW_S", "0")))
    return Activity(card, f"{row.versions if row else ''} {message.version}")


def _emit(message: Recorded[Any]) -> list[NewRecord]:
    card, identity = message.aggregate_id, f"{message.stream}@{message.version}"
    value = b"%d" % message.version
    return [NewRecord(topic=HEARD.name, key=card, value=value, timestamp_ms=message.occurred_at_ms, identity=identity)]


LISTENER = Binding(
    group=GROUP,
    topic=EVENT_TOPIC,
    decoder=recorded_events(CARD.events, categories=(CARD.category,)),
    projection=Fold(ACTIVITY, lambda message: (message.aggregate_id,), _fold),
    emit=_emit,
    out=(HEARD,),
    batch_max=10,
    slow_after_ms=1_000,
)

application = replace(bank, listeners=(*bank.listeners, LISTENER), topics=(*bank.topics, HEARD))
