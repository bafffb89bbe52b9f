"""A log of the bank's events, and views of it that are made in two ways: one event at a time, and by columns."""

import platform
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from bank.card import CARD, MoneyWithdrawn
from bank.spending import DAILY_SPENDING, DAY_MS, SPENDING
from mainstem import (
    EVENT_TOPIC,
    Binding,
    Fold,
    Position,
    Recorded,
    Table,
    Topic,
    Vectorised,
    by_aggregate,
    recorded_events,
)
from mainstem.log.sqlite import SqliteLog
from mainstem.log.sqlite_consumer import OFFSET_BITS

CARDS = 10_000
_TURNS = 50
_GROW = f"""
    WITH RECURSIVE turn (version) AS (SELECT ?2 UNION ALL SELECT version + 1 FROM turn WHERE version < ?3),
    event AS (
        SELECT version, rank, number, 1700006400000 + version * {DAY_MS // 8} + number AS at_ms,
        (number * 7919 + version * 104729) % 20000 + 1 AS cents
        FROM turn CROSS JOIN card ON card.place = ?1
    )
    INSERT INTO record
    SELECT (?1 << {OFFSET_BITS}) + (version - 1) * ?4 + rank, 'debit_card-' || number, CAST(printf(
        '{{"stream":"debit_card-%d","version":%d,"occurred_at_ms":%d,"recorded_at_ms":%d,"actor":"teller",'
        || '"correlation_id":null,"causation_id":null,"schema_version":%d,"part":0,"payload":%s}}',
        number, version, at_ms, at_ms, CASE version WHEN 1 THEN 3 ELSE 1 END,
        CASE version WHEN 1 THEN '{{"type":"CardOpened","limit":"9999999999.00"}}'
        ELSE printf('{{"type":"MoneyWithdrawn","amount":"%d.%02d"}}', cents / 100, cents % 100) END
    ) AS BLOB), at_ms, NULL FROM event
"""  # all that is put in are numbers


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
    Fold(CARD_TOTAL, by_aggregate, fold, lambda row, message: message.version <= row.version),
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


def grow(log: SqliteLog, path: Path, events: int, cards: int = CARDS) -> None:
    """Fill the log of that file up to so many events, rounded down to whole turns of all cards.

    Cards take turns: each is opened first, and has a withdrawal every three hours then. It is done by SQL, several
    times faster than by appending.
    """
    log.create(Topic(EVENT_TOPIC))
    done = sum(held.end for held in log.ranges(EVENT_TOPIC).values()) // cards
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TEMP TABLE card (place INT, rank INT, number INT, PRIMARY KEY (place, rank))")
        ranks: dict[int, int] = {}
        for number in range(cards):
            place = log.place_number(EVENT_TOPIC, log.partition_of(EVENT_TOPIC, f"debit_card-{number}"))
            rank = ranks[place] = ranks.get(place, -1) + 1
            connection.execute("INSERT INTO card VALUES (?, ?, ?)", (place, rank, number))
        for begin in range(done + 1, events // cards + 1, _TURNS):
            end = min(begin + _TURNS - 1, events // cards)
            connection.execute("BEGIN IMMEDIATE")
            for place, rank in ranks.items():
                connection.execute(_GROW, (place, begin, end, rank + 1))
                connection.execute("UPDATE place SET end_offset = ? WHERE id = ?", (end * (rank + 1), place))
            connection.execute("COMMIT")


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
