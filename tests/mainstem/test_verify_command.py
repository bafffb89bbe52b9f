"""`mainstem verify`: beside a running application and without one, with several processes, and what it says."""

import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path

import apsw
import msgspec
import pytest

from bank.card import OpenCard, Withdraw
from bank.main import application
from mainstem.application import EVENT_TOPIC
from mainstem.assembly import Embedded, embedded
from mainstem.assembly.sealing import Sealed, keep_sealing, seal_all
from mainstem.assembly.stores import open_integrity
from mainstem.errors import StoreCorrupt
from mainstem.eventstore import verifying
from mainstem.eventstore.port import NewEvent
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.eventstore.sqlite_schema import EVENT, MIGRATIONS
from mainstem.log.scan import scan
from mainstem.messages import Origin
from mainstem.settings import Settings
from mainstem.sqlite import prepare


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mainstem", "verify", *words],
        env={**os.environ, "MAINSTEM_DATA_DIR": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def withdraw(running: Embedded, card: str, times: int) -> None:
    running.commands.execute(OpenCard(card=card, limit=Decimal(100)))
    for _ in range(times):
        running.commands.execute(Withdraw(card=card, amount=Decimal(1)))


def tamper(folder: Path, statement: str) -> None:
    """As somebody who knows the triggers."""
    with closing(apsw.Connection(str(folder / "events.db"))) as connection:
        for when in ("update", "delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS mainstem_event_{when}")
        connection.execute(statement)


def test_beside_the_running_application_and_behind_it(folder: Path) -> None:
    """What came last is sealed when it stops; the root stays in the history from then on."""
    with embedded(application, Settings(data_dir=folder, seal_every_ms=3_600_000)) as running:
        withdraw(running, "a", 3)
        beside = json.loads(call(folder, "--json").stdout)
        assert (beside["events"], beside["unsealed"], beside["findings"]) == (4, 4, [])
    kept = json.loads(call(folder, "--json").stdout)
    assert (kept["events"], kept["unsealed"], kept["seals"]) == (4, 0, 1)
    with embedded(application, Settings(data_dir=folder, seal_every_ms=0)) as running:
        withdraw(running, "b", 1)
    ended = call(folder, "--root", kept["head"])
    assert (ended.returncode, ended.stdout.splitlines()) == (
        0,
        [
            "All 6 events are as they were appended",
            "seals: 1; not sealed yet: 2; from before there was a chain: 0",
            f"root: {kept['head']}",
        ],
    )
    assert "seals: 2; not sealed yet: 0" in call(folder, "--seal").stdout


def test_what_is_found_is_said_and_is_exit_code_1(folder: Path) -> None:
    with embedded(application, Settings(data_dir=folder)) as running:
        withdraw(running, "a", 3)
    tamper(folder, "UPDATE event SET actor = 'nobody' WHERE version = 2")
    tamper(folder, "DELETE FROM event WHERE version = 4")
    ended = call(folder, "--seal", "--root", "0" * 64)
    assert (ended.returncode, ended.stdout.splitlines()[:4]) == (
        1,
        [
            f"damaged: seal 0: no seal has the root {'0' * 64}: what it stood for is not there",
            "changed: debit_card-a 2: its content is not what was sealed",
            "removed: debit_card-a 4: it was sealed at position 4",
            "3 findings in 3 events",
        ],
    )
    ended = call(folder, "--root", "xyz")
    assert (ended.returncode, "ConfigurationError: a root is 64 hexadecimal digits" in ended.stderr) == (2, True)


def test_where_nothing_is_nothing_is_made(folder: Path) -> None:
    ended = call(folder)
    assert (ended.returncode, "StoreUnavailable: there is no events.db" in ended.stderr) == (2, True)
    assert not folder.exists()


def test_several_processes_find_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_ALONE_MAX", 0)
    monkeypatch.setattr(verifying, "_RANGE", 7)
    settings = Settings(data_dir=folder)
    folder.mkdir()
    with closing(SqliteEventStore(folder / "events.db", clock_ms=lambda: 1)) as store, store.transaction() as change:
        events = [NewEvent("Counted", b'{"type":"Counted"}')] * 50
        change.append("a-1", 0, events, occurred_at_ms=1, origin=Origin())
    with closing(open_integrity(settings, read_only=False)) as integrity:
        assert seal_all(integrity) == 50
    tamper(folder, "UPDATE event SET payload = '{}' WHERE version IN (1, 8, 50)")
    done: list[int] = []
    found = verifying.verify(partial(open_integrity, settings), workers=2, progress=done.append)
    assert [(each.kind, each.version) for each in found.findings] == [("changed", v) for v in (1, 8, 50)]
    assert (found.events, sum(done)) == (50, 100)


def test_events_of_an_older_release_are_sealed_as_they_are(folder: Path) -> None:
    """They are not touched, and a change of one is found from then on."""
    path = folder / "events.db"
    prepare(path, "events", MIGRATIONS[:3])
    with closing(apsw.Connection(str(path))) as connection:
        columns = EVENT.removesuffix(", causation_id, hash, tags")
        for number in range(1, 4):
            values = ("a-1", number, "Counted", '{"type":"Counted"}', 1, 1, "teller", None, 1)
            connection.execute(f"INSERT INTO event ({columns}) VALUES ({', '.join('?' * 9)})", values)
    ended = call(folder)
    assert (ended.returncode, "of an older release" in ended.stderr) == (2, True)
    with closing(SqliteEventStore(path, clock_ms=lambda: 1)) as store, store.transaction() as transaction:
        assert len(transaction.load("a-1", 0) or ()) == 3
        transaction.append("a-1", 3, [NewEvent("Counted", b"{}")], occurred_at_ms=1, origin=Origin())
    assert "seals: 1; not sealed yet: 0; from before there was a chain: 3" in call(folder, "--seal").stdout
    tamper(folder, "UPDATE event SET actor = 'nobody' WHERE version = 2")
    assert "changed: a-1 2: its content is not what was sealed" in call(folder).stdout


def test_the_hash_is_no_part_of_the_message(folder: Path) -> None:
    """What listeners get of an event is what they got before there was a chain."""
    with embedded(application, Settings(data_dir=folder)) as running:
        withdraw(running, "a", 0)
        assert running.settle()
        (record,) = [record for page in scan(running.log, EVENT_TOPIC) for record in page]
    assert set(msgspec.json.decode(record.value or b"")) == {
        *("stream", "version", "occurred_at_ms", "recorded_at_ms", "actor", "correlation_id", "causation_id"),
        *("schema_version", "payload"),
    }


def test_sealing_that_fails_is_tried_again(folder: Path) -> None:
    """A trouble of the store ends nothing."""
    tried = threading.Event()
    stop = threading.Event()

    class Troubled(SqliteIntegrity):
        def seal(self, limit: int = 1) -> int:
            if not tried.is_set():
                tried.set()
                raise StoreCorrupt("for once")
            stop.set()
            return super().seal(limit)

    SqliteEventStore(folder / "events.db", clock_ms=lambda: 1).close()
    with closing(Troubled(folder / "events.db", clock_ms=lambda: 1)) as integrity:
        keep_sealing(integrity, 1, Sealed(), stop)
    assert tried.is_set()


@pytest.mark.parametrize(("troubled", "age_s"), [(False, 5), (True, 65)])
def test_how_long_ago_all_was_sealed_tells_that_it_fails(folder: Path, troubled: bool, age_s: float) -> None:
    """Marked by a round that has left nothing."""
    now_s = [0.0]
    stop = threading.Event()
    stop.set()

    class Integrity(SqliteIntegrity):
        def seal(self, limit: int = 1) -> int:
            now_s[0] = 60.0
            if troubled:
                raise StoreCorrupt("always")
            return super().seal(limit)

    SqliteEventStore(folder / "events.db", clock_ms=lambda: 1).close()
    sealed = Sealed(lambda: now_s[0])
    with closing(Integrity(folder / "events.db", clock_ms=lambda: 1)) as integrity:
        keep_sealing(integrity, 1, sealed, stop)
    now_s[0] = 65.0
    assert sealed.age_s() == age_s
