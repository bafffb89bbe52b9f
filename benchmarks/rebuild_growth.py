"""Rebuilding a view by how many events there are: `python benchmarks/rebuild_growth.py 1000000 10000000 50000000`.

What `mainstem rebuild` does beside a live view is measured, but for comparing: records are read, decoded and folded by
the bank's own plain fold, rows and offsets written, in transactions of 10,000 records, by one thread. Raw figures go to
`docs/figures/rebuild-growth.csv`, the plot beside it. A million events take about 300 MB of disk while it runs.
"""

import csv
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bank.balance import BALANCE, CARD_BALANCE, GROUP
from bank.card import CardOpened, MoneyWithdrawn
from figures import quiet, say
from mainstem import EVENT_TOPIC, Event, NewRecord, Recorded, Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.rebuild import Rebuild, code_of
from mainstem.view.sqlite import SqliteViews
from plot import Line, plot

SIZES = (1_000_000, 10_000_000, 50_000_000)
CARDS = 10_000
_BATCH = 10_000
_NOW_MS = 1_700_000_000_000
_FIGURES = Path(__file__).parents[1] / "docs" / "figures"
_FIELDS = ("events", "cards", "seconds", "events_per_s", "cpu_seconds", "events_per_cpu_s")


def grow(log: SqliteLog, begin: int, end: int) -> None:
    """Events of so many cards, those from number `begin` on."""
    for start in range(begin, end, _BATCH):
        records = [_record(number) for number in range(start, min(start + _BATCH, end))]
        log.append(records, producer="benchmark", sequence=start + 1)


def _record(number: int) -> NewRecord:
    card, version = f"debit_card-{number % CARDS}", number // CARDS + 1
    payload: Event = CardOpened(limit=10**12) if version == 1 else MoneyWithdrawn(amount=1)  # type: ignore[arg-type]
    recorded = Recorded(
        stream=card,
        version=version,
        occurred_at_ms=_NOW_MS,
        recorded_at_ms=_NOW_MS,
        actor="teller",
        schema_version=2 if version == 1 else 1,
        payload=payload,
    )
    return NewRecord(topic=EVENT_TOPIC, key=card, value=msgspec.json.encode(recorded), timestamp_ms=_NOW_MS)


def measure(log: SqliteLog, folder: Path, events: int) -> tuple[float, float]:
    """Seconds, and seconds of the processor, of one rebuild of all that the log has."""
    views = SqliteViews(folder / f"views-{events}-{time.monotonic_ns()}.db")
    views.create(CARD_BALANCE)
    with views.transaction() as transaction:  # as if a listener had done all of it
        transaction.mark(GROUP, code_of(BALANCE))
        transaction.save(GROUP, {(EVENT_TOPIC, n): held.end for n, held in log.ranges(EVENT_TOPIC).items()})
    rebuild = Rebuild(BALANCE, log, [views])
    began, cpu = time.monotonic(), time.process_time()
    done = rebuild.run(threading.Event())
    took = time.monotonic() - began, time.process_time() - cpu
    assert (done.state, done.records) == ("done", events), done
    assert views.count(CARD_BALANCE) == min(CARDS, events)
    views.close()
    return took


def main(sizes: Sequence[int]) -> None:
    """Each size on one log that grows."""
    quiet()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        log, size = SqliteLog(Path(name) / "log.db"), 0
        log.create(Topic(EVENT_TOPIC))
        for events in sorted(sizes):
            grow(log, size, events)
            size = events
            seconds, cpu = measure(log, Path(name), events)
            rows.append((events, CARDS, round(seconds, 2), round(events / seconds), round(cpu, 2), round(events / cpu)))
            say(", ".join(f"{field} {value:,}" for field, value in zip(_FIELDS, rows[-1], strict=True)))
        log.close()
    with (_FIGURES / "rebuild-growth.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([_FIELDS, *rows])
    lines = [
        Line("by the clock", [(row[0], row[2]) for row in rows]),
        Line("of one processor", [(row[0], row[4]) for row in rows]),
    ]
    plot(_FIGURES / "rebuild-growth.svg", "Rebuilding card_balance", ("events", "seconds"), lines)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or SIZES)
