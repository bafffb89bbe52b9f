"""`mainstem snapshots`: looked at and dropped, beside a running application and without one."""

import json
import os
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from bank.card import CARD, OpenCard, Withdraw
from bank.main import application
from mainstem.assembly import embedded
from mainstem.assembly.running import drop_old_snapshots
from mainstem.command.snapshotting import Due, sealed
from mainstem.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mainstem", "snapshots", *words],
        env={**os.environ, "MAINSTEM_DATA_DIR": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_listed_and_dropped_beside_the_running_application(folder: Path) -> None:
    with embedded(application, Settings(data_dir=folder, snapshot_every=2)) as running:
        for card in ("a", "b"):
            running.commands.execute(OpenCard(card=card, limit=Decimal(100)))
            running.commands.execute(Withdraw(card=card, amount=Decimal(1)))
        running.commands.stop()
        old = Due("debit_card-a", "another", 1, 1, 1, CARD.initial)
        running.events.keep_snapshots([("debit_card-a", sealed(old))])
        found = json.loads(call(folder, "list", "--json").stdout)
        assert {each["fingerprint"]: (each["snapshots"], each["current"]) for each in found} == {
            "another": (1, False),
            CARD.fingerprint(): (2, True),
        }
        assert [
            each["version"] for each in json.loads(call(folder, "list", "--stream", "debit_card-b", "--json").stdout)
        ] == [2]
        assert "1970-01-01T00:00:00+00:00" in call(folder, "list", "--stream", "debit_card-a").stdout
        assert call(folder, "drop", "--old").stdout == "1 snapshots were dropped.\n"
        assert call(folder, "drop").stdout == "2 snapshots were dropped.\n"
        assert list(running.events.kept_snapshots()) == []
    with embedded(application, Settings(data_dir=folder)) as again:
        assert again.commands.execute(Withdraw(card="a", amount=Decimal(99))).version == 3


def test_where_nothing_is_nothing_is_made(folder: Path) -> None:
    ended = call(folder, "list")
    assert (ended.returncode, "StoreUnavailable: there is no events.db" in ended.stderr) == (2, True)
    assert not folder.exists()


def test_housekeeping_drops_those_of_older_code(folder: Path) -> None:
    """A day after they were taken: until then another release may run beside this one."""
    day_ms = 24 * 3_600_000
    with embedded(application, Settings(data_dir=folder)) as running:
        for stream, fingerprint in (("debit_card-a", "another"), ("debit_card-b", CARD.fingerprint())):
            running.events.keep_snapshots([(stream, sealed(Due(stream, fingerprint, 1, 1, 1_000, CARD.initial)))])
        drop_old_snapshots(application, running.events, 1_000 + day_ms, threading.Event())
        assert len(list(running.events.kept_snapshots())) == 2
        drop_old_snapshots(application, running.events, 1_001 + day_ms, threading.Event())
        assert [each.stream for each in running.events.kept_snapshots()] == ["debit_card-b"]
