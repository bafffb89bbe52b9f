"""A log of the bank's events, and views of it that are made in two ways: one event at a time, and by columns."""

import platform
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from bank.card import CARD, CardOpened, MoneyWithdrawn
from bank.spending import DAILY_SPENDING, DAY_MS, SPENDING
from mainstem import (
    EVENT_TOPIC,
    Binding,
    Event,
    Fold,
    NewRecord,
    Position,
    Recorded,
    Table,
    Topic,
    Vectorised,
    recorded_events,
)
from mainstem.log.sqlite import SqliteLog

CARDS = 10_000
_BATCH = 10_000
_BEGIN_MS = 1_700_006_400_000
_EVERY_MS = DAY_MS // 8
"""How long after its last event a card has the next."""

_WITHDRAWN = (
    '{"stream":"debit_card-%d","version":%d,"occurred_at_ms":%d,"recorded_at_ms":%d,"actor":"teller",'
    '"correlation_id":null,"causation_id":null,"schema_version":1,"part":0,'
    '"payload":{"type":"MoneyWithdrawn","amount":"%d.%02d"}}'
)


class CardTotal(Struct, frozen=True):
    """What was withdrawn from a card."""

    card: str
    withdrawn: Decimal
    withdrawals: int
    version: int
    at_ms: int


CARD_TOTAL = Table("card_total", CardTotal, key=("card",))


def fold(row: CardTotal | None, message: Recorded[Any]) -> CardTotal | None:
    """One event more."""
    event = message.payload
    if not isinstance(event, MoneyWithdrawn):
        return row
    if row is None:
        return CardTotal(message.aggregate_id, event.amount, 1, message.version, message.occurred_at_ms)
    withdrawn, withdrawals = row.withdrawn + event.amount, row.withdrawals + 1
    return CardTotal(row.card, withdrawn, withdrawals, message.version, message.occurred_at_ms)


def totals(batch: Any) -> Any:
    """The same of many."""
    return pa.table(
        {
            "card": batch["aggregate_id"],
            "withdrawn": batch["amount"],
            "withdrawals": pa.repeat(1, batch.num_rows),
            "version": batch["version"],
            "at_ms": batch["occurred_at_ms"],
        }
    )


def days(batch: Any) -> Any:
    """Daily spending of many, as `bank.spending` makes it of one."""
    begin = pc.multiply(pc.divide(batch["occurred_at_ms"], DAY_MS), DAY_MS)
    cents = pc.multiply(batch["amount"], pa.scalar(Decimal(100))).cast(pa.int64())
    return pa.table(
        {
            "card": batch["aggregate_id"],
            "begin_ms": begin,
            "end_ms": pc.add(begin, DAY_MS),
            "cents": cents,
            "withdrawals": pa.repeat(1, batch.num_rows),
            "version": batch["version"],
            "tenant": pc.coalesce(batch["tenant"], ""),
        }
    )


def _listener(group: str, projection: Any) -> Binding[Any]:
    return Binding(
        group=group,
        topic=EVENT_TOPIC,
        decoder=recorded_events(CARD.events, categories=(CARD.category,)),
        projection=projection,
        position=lambda message: Position(message.aggregate_id, message.version),
    )


FOLDED = _listener(
    "card-total",
    Fold(
        CARD_TOTAL, lambda message: (message.aggregate_id,), fold, lambda row, message: message.version <= row.version
    ),
)
BY_COLUMNS = _listener(
    "card-total",
    Vectorised(
        CARD_TOTAL,
        events=(MoneyWithdrawn,),
        columns=("aggregate_id", "version", "occurred_at_ms", "amount"),
        make=totals,
        merge={"withdrawn": "sum", "withdrawals": "sum", "version": "max", "at_ms": "last"},
        done="version",
    ),
)
DAYS_FOLDED = SPENDING
DAYS_BY_COLUMNS = _listener(
    SPENDING.group,
    Vectorised(
        DAILY_SPENDING,
        events=(MoneyWithdrawn,),
        columns=("aggregate_id", "tenant", "version", "occurred_at_ms", "amount"),
        make=days,
        merge={"end_ms": "max", "cents": "sum", "withdrawals": "sum", "version": "max", "tenant": "max"},
        done="version",
    ),
)


def grow(log: SqliteLog, begin: int, end: int, cards: int = CARDS) -> None:
    """Events from number `begin` on: all cards take turns, each is opened first and has withdrawals then."""
    log.create(Topic(EVENT_TOPIC))
    for start in range(begin, end, _BATCH):
        records = list(_records(start, min(start + _BATCH, end), cards))
        log.append(records, producer="benchmark", sequence=start + 1)


def _records(begin: int, end: int, cards: int) -> Iterator[NewRecord]:
    for number in range(begin, end):
        card, version = number % cards, number // cards + 1
        at_ms = _BEGIN_MS + version * _EVERY_MS + card
        if version == 1:
            value = _opened(card, at_ms)
        else:
            amount = number * 7_919 % 20_000 + 1
            value = (_WITHDRAWN % (card, version, at_ms, at_ms, amount // 100, amount % 100)).encode()
        yield NewRecord(topic=EVENT_TOPIC, key=f"debit_card-{card}", value=value, timestamp_ms=at_ms)


def _opened(card: int, at_ms: int) -> bytes:
    payload: Event = CardOpened(limit=Decimal("9999999999.00"))
    recorded = Recorded(
        stream=f"debit_card-{card}",
        version=1,
        occurred_at_ms=at_ms,
        recorded_at_ms=at_ms,
        actor="teller",
        schema_version=3,
        payload=payload,
    )
    return msgspec.json.encode(recorded)


def hardware() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": f"{names[0]}, {len(names)} virtual cores" if names else platform.processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
