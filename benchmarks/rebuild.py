"""A view made from the log: events a second, against the rate at which the peer reads and decodes its events."""

import tempfile
import time
from pathlib import Path

import msgspec

from bank.balance import BALANCE, CARD_BALANCE
from bank.card import CardOpened, MoneyWithdrawn
from figures import Figure, medians, peer, quiet, show
from mainstem import EVENT_TOPIC, Event, NewRecord, Recorded, Topic
from mainstem.listener.runner import Runner
from mainstem.log.sqlite import SqliteLog
from mainstem.view.sqlite import SqliteViews

EVENTS = 200_000
CARDS = 100
_BATCH = 2_000
_NOW_MS = 1_700_000_000_000


def fill(log: SqliteLog) -> None:
    """A log with events of 100 cards."""
    log.create(Topic(EVENT_TOPIC))
    for start in range(0, EVENTS, _BATCH):
        log.append([_record(number) for number in range(start, start + _BATCH)])


def _record(number: int) -> NewRecord:
    card, version = f"debit_card-{number % CARDS}", number // CARDS + 1
    payload: Event = CardOpened(limit=10**12) if version == 1 else MoneyWithdrawn(amount=1)  # type: ignore[arg-type]
    recorded = Recorded(
        stream=card, version=version, occurred_at_ms=_NOW_MS, recorded_at_ms=_NOW_MS, actor="teller", payload=payload
    )
    return NewRecord(topic=EVENT_TOPIC, key=card, value=msgspec.json.encode(recorded), timestamp_ms=_NOW_MS)


def rate(log: SqliteLog, folder: Path) -> float:
    """Events a second from the log into the view of the balances, rows and offsets written."""
    views = SqliteViews(folder / f"views-{time.monotonic_ns()}.db")
    views.create(CARD_BALANCE)
    runner = Runner(BALANCE, log, views)
    began, done = time.monotonic(), 0
    while taken := runner.step():
        done += taken
    found = done / (time.monotonic() - began)
    assert done == EVENTS
    assert views.count(CARD_BALANCE) == CARDS
    views.close()
    return found


def main() -> None:
    """Both, in turns."""
    quiet()
    with tempfile.TemporaryDirectory() as name:
        log = SqliteLog(Path(name) / "log.db")
        fill(log)
        ours, theirs = medians(
            "rebuild", lambda: rate(log, Path(name)), lambda: peer("reading", "--events", str(EVENTS))["rate"]
        )
        log.close()
    against = "eventsourcing, read and decode only"
    show("A view from the log", [Figure(f"{EVENTS} events", ours, theirs, "events/s", against, ">= 3")])


if __name__ == "__main__":
    main()
