"""The writer without its threads: whoever has put commands down carries them out."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from bank.card import CARD, DEBIT_CARD, OpenCard, Withdraw
from mainstem import Refused
from mainstem.command.bus import BusLimits, CommandBus
from mainstem.command.handler import Handler
from mainstem.errors import ShuttingDown
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.snapshots import Snapshots


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteEventStore]:
    store = SqliteEventStore(tmp_path / "events.db", [DEBIT_CARD], clock_ms=lambda: 1)
    yield store
    store.close()


@pytest.fixture
def bus(store: SqliteEventStore) -> Iterator[CommandBus]:
    handler = Handler([CARD], clock_ms=lambda: 1, snapshots=Snapshots(every_events=2))
    bus = CommandBus(store, handler, limits=BusLimits(batch_max=3))
    bus.open()
    yield bus
    bus.stop()


def test_what_is_put_down_waits_for_a_step_and_goes_in_batches(bus: CommandBus, store: SqliteEventStore) -> None:
    futures = [bus.submit(OpenCard(card=f"c{number}", limit=Decimal(10)), key=f"k{number}") for number in range(4)]
    assert not any(future.done() for future in futures)
    assert (bus.step(), [future.done() for future in futures]) == (3, [True, True, True, False])
    assert (bus.step(), bus.step()) == (1, 0)
    assert [future.result(0).aggregate_id for future in futures] == ["c0", "c1", "c2", "c3"]
    assert bus.status().batches == 2
    assert sum(map(len, store.read_all())) == 4


def test_execute_carries_out_what_waits_before_it_too(bus: CommandBus) -> None:
    waiting = bus.submit(OpenCard(card="c", limit=Decimal(10)))
    assert bus.execute(Withdraw(card="c", amount=Decimal(1))).version == 2
    assert waiting.result(0).version == 1
    with pytest.raises(Refused):
        bus.execute(Withdraw(card="c", amount=Decimal(100)))


def test_snapshots_are_kept_when_they_are_asked_for(bus: CommandBus, store: SqliteEventStore) -> None:
    bus.execute(OpenCard(card="c", limit=Decimal(10)))
    assert bus.keep_snapshots() == 0
    bus.execute(Withdraw(card="c", amount=Decimal(1)))
    assert list(store.kept_snapshots()) == []
    assert (bus.keep_snapshots(), bus.keep_snapshots()) == (1, 0)
    assert [kept.version for kept in store.kept_snapshots()] == [2]


def test_no_thread_runs_and_after_stop_nothing_is_taken(bus: CommandBus) -> None:
    assert not any(thread.name in ("command-writer", "snapshot-writer") for thread in threading.enumerate())
    waiting = bus.submit(OpenCard(card="c", limit=Decimal(10)))
    bus.stop()
    with pytest.raises(ShuttingDown):
        bus.submit(OpenCard(card="d", limit=Decimal(10)))
    assert not waiting.done()
