"""Verifying a whole log: events a second, and whether its cost grows straight with the events."""

import multiprocessing
import tempfile
import time
from decimal import Decimal
from functools import partial
from pathlib import Path

from bank.card import CARD, CardOpened, MoneyWithdrawn
from figures import Figure, peer, quiet, say, show
from mainstem.assembly.sealing import seal_all
from mainstem.clock import wall_clock_ms
from mainstem.codec import encode
from mainstem.eventstore.port import NewEvent
from mainstem.eventstore.reader import EventReader
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.eventstore.verifying import verify
from mainstem.messages import SYSTEM

SIZES = (250_000, 500_000, 1_000_000)
CARDS = 1_000
READ = 100_000
"""So many events the peer reads."""

_EACH = 10


def main() -> None:
    """Grown from size to size, sealed, and verified by one process for each processor."""
    quiet()
    rates = []
    workers = multiprocessing.cpu_count()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "events.db"
        begun = 0
        for size in SIZES:
            _grow(path, begun, size)
            begun = size
            with_seals = partial(SqliteIntegrity, path, clock_ms=wall_clock_ms)
            began = time.perf_counter()
            _seal(with_seals())
            sealing = time.perf_counter() - began
            began = time.perf_counter()
            found = verify(partial(with_seals, read_only=True), workers=workers)
            taken = time.perf_counter() - began
            assert found.clean
            assert found.events == size
            assert found.unsealed == 0
            rates.append(size / taken)
            megabytes = path.stat().st_size / 1e6
            say(f"{size:,} events, {megabytes:,.0f} MB: sealed in {sealing:.1f} s, verified in {taken:.1f} s")
    read = peer("reading", "--events", str(READ))["rate"]
    against = "eventsourcing, read and decode only"
    show(
        f"Verifying, {workers} processes",
        [
            Figure(f"{SIZES[-1]:,} events", rates[-1], read, "events/s", against, "ahead"),
            Figure("growth", rates[-1], rates[0], "events/s", f"{SIZES[0]:,} events", ">= 0.8"),
        ],
    )


def _grow(path: Path, begun: int, size: int) -> None:
    """Ten events of each card in a transaction, cards in turn, so that a stream's events are spread over the file."""
    store = SqliteEventStore(path, clock_ms=wall_clock_ms)
    stamp = EventReader(CARD.events).stamp
    opened, spent = (
        NewEvent(name, encode(event), schema_version)
        for event in (CardOpened(limit=Decimal(10) ** 12), MoneyWithdrawn(amount=Decimal("1.00")))
        for name, schema_version in [stamp(event)]
    )
    for after in range(begun // CARDS, size // CARDS, _EACH):
        with store.transaction() as transaction:
            for card in range(CARDS):
                events = [opened if after + number == 0 else spent for number in range(_EACH)]
                transaction.append(CARD.stream(str(card)), after, events, occurred_at_ms=1, origin=SYSTEM)
    store.close()


def _seal(integrity: SqliteIntegrity) -> None:
    seal_all(integrity)
    integrity.close()


if __name__ == "__main__":
    main()
