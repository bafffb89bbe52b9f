"""Rebuilding a view by how many events there are: `python benchmarks/rebuild_growth.py 1000000 10000000 50000000`.

What `mainstem rebuild` does beside a live view is measured, but for comparing: records are read, decoded and folded,
rows and offsets written, on one core; the sums of a card by a plain fold and by columns. Raw figures go to
`benchmarks/data/rebuild-growth.csv` after each size, the plot to `docs/figures/`. A million events take about 300 MB of
disk while it runs, in the folder that TMPDIR names.
"""

import csv
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bank_log import BY_COLUMNS, CARD_TOTAL, CARDS, FOLDED, grow, hardware
from figures import quiet, say
from mainstem import EVENT_TOPIC, Binding
from mainstem.log.sqlite import SqliteLog
from mainstem.rebuild import Rebuild, code_of
from mainstem.view.sqlite import SqliteViews
from plot import Line, plot

SIZES = (1_000_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000)
_KINDS = {"plain fold": FOLDED, "by columns": BY_COLUMNS}
_ROOT = Path(__file__).parents[1]
_DATA = _ROOT / "benchmarks" / "data" / "rebuild-growth.csv"
_PLOT = _ROOT / "docs" / "figures" / "rebuild-growth.svg"
_FIELDS = ("handler", "events", "cards", "seconds", "events_per_s", "cpu_seconds", "events_per_cpu_s")


def measure(log: SqliteLog, folder: Path, binding: Binding[Any], events: int) -> tuple[float, float]:
    """Seconds, and seconds of the processor, of one rebuild of so many events, the first that the log has."""
    ends = {(EVENT_TOPIC, n): held.end for n, held in log.ranges(EVENT_TOPIC).items()}
    turns, whole = events // CARDS, sum(ends.values()) // CARDS
    views = SqliteViews(folder / f"views-{events}-{time.monotonic_ns()}.db")
    views.create(CARD_TOTAL)
    with views.transaction() as transaction:  # as if a listener had done all of it
        transaction.mark(binding.group, code_of(binding))
        transaction.save(binding.group, {place: end // whole * turns for place, end in ends.items()})
    rebuild = Rebuild(binding, log, [views])
    began, cpu = time.monotonic(), time.process_time()
    done = rebuild.run(threading.Event())
    took = time.monotonic() - began, time.process_time() - cpu
    assert (done.state, done.records) == ("done", events), done
    rows = list(views.scan(CARD_TOTAL))
    assert (len(rows), sum(row.withdrawals for row in rows)) == (CARDS, events - CARDS)
    views.close()
    return took


def write(rows: Sequence[Sequence[Any]]) -> None:
    """The raw figures and the plot."""
    _DATA.parent.mkdir(exist_ok=True)
    with _DATA.open("w", newline="") as file:
        file.writelines(f"# {name}: {value}\n" for name, value in hardware().items())
        csv.writer(file, lineterminator="\n").writerows([_FIELDS, *rows])
    times = {"by the clock": 3, "of the processor": 5}
    lines = [
        Line(f"{kind}, {what}", [(row[1], row[number]) for row in rows if row[0] == kind])
        for what, number in times.items()
        for kind in _KINDS
    ]
    plot(_PLOT, f"Rebuilding the sums of {CARDS:,} cards, one core", ("events", "seconds"), lines)


def main(sizes: Sequence[int]) -> None:
    """All sizes on one log."""
    quiet()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        log = SqliteLog(Path(name) / "log.db")
        grow(log, Path(name) / "log.db", max(sizes))
        measure_all(log, Path(name), sizes)
        log.close()


def measure_all(log: SqliteLog, folder: Path, sizes: Sequence[int]) -> None:
    """One after another, what was found told and kept each time."""
    rows: list[Sequence[Any]] = []
    for events in sorted(sizes):
        for kind, binding in _KINDS.items():
            seconds, cpu = measure(log, folder, binding, events)
            figures = round(seconds, 2), round(events / seconds), round(cpu, 2), round(events / cpu)
            rows.append((kind, events, CARDS, *figures))
            say(", ".join(f"{field} {value}" for field, value in zip(_FIELDS, rows[-1], strict=True)))
        write(rows)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or SIZES)
