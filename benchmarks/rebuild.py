"""Views made from the log, and rebuilt beside the live one: events a second of one core, by kind of handler.

The first figure stands beside the rate at which the peer reads and decodes its events. The others are whole rebuilds,
as `mainstem rebuild` does them: the live view was made by its listener, the new version is filled by records, compared
with it row by row, and swapped. Raw figures of all rounds go to `benchmarks/data/rebuild.json`.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bank.balance import BALANCE
from bank_log import BY_COLUMNS, CARDS, DAYS_BY_COLUMNS, DAYS_FOLDED, FOLDED, grow, hardware
from figures import PEER, ROUNDS, Figure, medians, peer, quiet, say, show
from mainstem import Binding, Table
from mainstem.listener.runner import Runner
from mainstem.log.sqlite import SqliteLog
from mainstem.rebuild import Rebuild
from mainstem.rebuild.rebuild import forget
from mainstem.rebuild.versions import projection_of
from mainstem.view.sqlite import SqliteViews

EVENTS = 500_000
FEW, FEW_CARDS = 200_000, 100
"""What the peer reads."""

_AIMS = {"folded": 100_000, "by columns": 300_000}
_DATA = Path(__file__).parent / "data" / "rebuild.json"
KINDS: dict[str, tuple[str, Binding[Any]]] = {
    "card_balance, folded": ("folded", BALANCE),
    "sums of a card, folded": ("folded", FOLDED),
    "sums of a card, by columns": ("by columns", BY_COLUMNS),
    "sums of a day, folded": ("folded", DAYS_FOLDED),
    "sums of a day, by columns": ("by columns", DAYS_BY_COLUMNS),
}


def table_of(binding: Binding[Any]) -> Table[Any]:
    """The view's."""
    table: Table[Any] = projection_of(binding).table
    return table


@dataclass(frozen=True)
class Rate:
    """Events a second: by the clock, and of the processor's time, which others on the machine take less from."""

    clock: float
    processor: float


@contextmanager
def timed(events: int) -> Iterator[Callable[[], Rate]]:
    """What the block has made of so many events; to be asked behind it."""
    began, processor = time.monotonic(), time.process_time()
    taken: list[float] = []
    yield lambda: Rate(events / taken[0], events / taken[1])
    taken += [time.monotonic() - began, time.process_time() - processor]


def listened(log: SqliteLog, views: SqliteViews, binding: Binding[Any], events: int) -> Rate:
    """Of the listener, which makes the view from the topic's begin."""
    views.create(table_of(binding))
    runner, done = Runner(binding, log, views), 0
    with timed(events) as rate:
        while taken := runner.step():
            done += taken
    runner.leave()
    assert done == events
    return rate()


def rebuilt(log: SqliteLog, views: SqliteViews, binding: Binding[Any], events: int) -> Rate:
    """Of a rebuild, comparison and swap included."""
    with timed(events) as rate:
        done = Rebuild(binding, log, [views]).run(threading.Event())
    assert (done.state, done.records, done.comparison and done.comparison.differing) == ("done", events, 0), done
    forget(binding, views)
    return rate()


def rates(events: int) -> dict[str, list[Rate]]:
    """Of each kind the rates of all rounds, in which they take turns."""
    found: dict[str, list[Rate]] = {}
    with tempfile.TemporaryDirectory() as name:
        log = SqliteLog(Path(name) / "log.db")
        grow(log, Path(name) / "log.db", events)
        for _ in range(ROUNDS):
            for kind, (_, binding) in KINDS.items():
                views = SqliteViews(Path(name) / f"views-{time.monotonic_ns()}.db")
                for what, measure in (("listener", listened), ("rebuild", rebuilt)):
                    found.setdefault(f"{kind}, {what}", []).append(measure(log, views, binding, events))
                views.close()
        log.close()
    return found


def _first(log: SqliteLog, folder: Path) -> float:
    views = SqliteViews(folder / f"views-{time.monotonic_ns()}.db")
    rate = listened(log, views, BALANCE, FEW)
    assert views.count(table_of(BALANCE)) == FEW_CARDS
    views.close()
    return rate.clock


def beside_peer() -> Figure:
    """A view from the log, and the peer's reading."""
    with tempfile.TemporaryDirectory() as name:
        log = SqliteLog(Path(name) / "log.db")
        grow(log, Path(name) / "log.db", FEW, FEW_CARDS)
        theirs: Callable[[], float] = lambda: peer("reading", "--events", str(FEW))["rate"]  # noqa: E731
        ours, other = medians("rebuild", partial(_first, log, Path(name)), theirs)
        log.close()
    return Figure(f"{FEW} events", ours, other, "events/s", "eventsourcing, read and decode only", ">= 3")


def main(events: int = EVENTS) -> None:
    """All of it on one core."""
    quiet()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    if PEER.is_file():
        show("A view from the log", [beside_peer()])
    found = rates(events)
    figures, raw = [], {}
    for name, each in found.items():
        handler = KINDS[name.rpartition(",")[0]][0]
        clock, processor = [round(rate.clock) for rate in each], [round(rate.processor) for rate in each]
        raw[name] = {"clock": clock, "processor": processor}
        say(f"{name}: {clock} events/s by the clock, {processor} of the processor")
        figures.append(Figure(name, median(clock), _AIMS[handler], "events/s", "the aim of a rebuild", ">= 1"))
    show(f"{events:,} events of {CARDS:,} cards, one core", figures)
    _DATA.parent.mkdir(exist_ok=True)
    content = {**hardware(), "events": events, "cards": CARDS, "events_per_s": raw}
    _DATA.write_text(json.dumps(content, indent=1) + "\n")
    os.sched_setaffinity(0, before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    main(parser.parse_args().events)
