"""`kill -9` while snapshots are written: each that is there is the fold of its events; only speed differs."""

import random
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from bank.card import CARD
from mainstem.codec import Decoder, EventCodec
from mainstem.command.snapshotting import intact
from mainstem.eventstore.port import EventStore
from tests.faults.snapshotting import CARDS, open_store
from tests.mainstem.command.snapshot_suite import folded, state_of
from tests.stack import Databases

_KILLS = 5
_LAST = 1_000_000


def test_killed_while_snapshots_are_written(tmp_path: Path) -> None:
    _kill_again_and_again([str(tmp_path / "events.db")])


@pytest.mark.stack
def test_killed_while_snapshots_are_written_to_mysql(tmp_path: Path, databases: Databases) -> None:
    server = databases(tmp_path)
    _kill_again_and_again([server.host, str(server.port), server.user, server.password, server.database])


def _kill_again_and_again(words: list[str]) -> None:
    choice, kept = random.Random(seed := random.SystemRandom().randrange(1_000_000)), 0
    for _ in range(_KILLS):
        acknowledged = _run_and_kill(words, choice.uniform(0, 0.4))
        with closing(open_store(words)) as store:
            kept = _check_snapshots(store)
            for card, version in acknowledged.items():
                assert len(store.read(CARD.stream(card), limit=_LAST)) >= version, f"seed {seed}"
    assert kept, f"seed {seed}"
    with closing(open_store(words)) as store:
        cards = [f"c{number}" for number in range(CARDS)]
        with_snapshots = [state_of(store, card) for card in cards]
        assert with_snapshots == [folded(store, card) for card in cards], f"seed {seed}"
        assert store.drop_snapshots() == CARDS
        assert with_snapshots == [state_of(store, card) for card in cards], f"seed {seed}"


def _run_and_kill(words: list[str], after_s: float) -> dict[str, int]:
    """Some time after its first answers; the highest version that was answered, by card."""
    program = [sys.executable, "-m", "tests.faults.snapshotting", *words]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(10)]
        timer = threading.Timer(after_s, process.kill)
        timer.start()
        lines += process.stdout.readlines()
        timer.join()
    answers = (line.split() for line in lines if line.startswith("answered ") and line.endswith("\n"))
    return {card: int(version) for _, card, version in answers}


def _check_snapshots(store: EventStore) -> int:
    payloads, states = EventCodec(CARD.events).payloads, Decoder[object](type(CARD.initial))
    kept = list(store.kept_snapshots())
    for each in kept:
        with store.transaction() as transaction:
            snapshot = transaction.snapshot(each.stream, each.fingerprint)
        assert snapshot is not None
        assert intact(each.stream, snapshot)
        events = store.read(each.stream, limit=each.version)
        assert [event.version for event in events] == list(range(1, each.version + 1))
        assert states.one(snapshot.state) == CARD.fold(CARD.initial, payloads.many([e.payload for e in events]))
    return len(kept)
