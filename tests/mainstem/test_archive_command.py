"""`mainstem archive`: what it says, beside a running application and where there is nothing."""

import json
import os
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from bank.card import OpenCard, Withdraw
from bank.main import application
from mainstem.assembly import Embedded, embedded
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mainstem", *words],
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


def test_what_it_says(folder: Path) -> None:
    with embedded(application, Settings(data_dir=folder, snapshot_every=1)) as running:
        withdraw(running, "a", 9)
        withdraw(running, "b", 9)
    looked = call(folder, "archive", "--dry-run", "--older-than", "0", "--keep-last", "5")
    assert looked.stdout.startswith("10 events of 2 streams would go to 1 files of ")
    assert not (folder / "archive").exists()
    assert call(folder, "archive", "--older-than", "1").stdout.startswith("0 events of 0 streams went to 0 files")
    made = json.loads(call(folder, "archive", "--stream", "debit_card-a", "--json").stdout)
    assert {name: made[name] for name in ("events", "streams", "files")} == {"events": 9, "streams": 1, "files": 1}
    (file,) = (folder / "archive").glob("*.parquet")
    assert made["bytes"] == file.stat().st_size
    assert call(folder, "reconcile").returncode == call(folder, "repair", "--dry-run").returncode == 0
    assert call(folder, "verify").stdout.startswith("All 20 events are as they were appended")
    file.write_bytes(b"")
    ended = call(folder, "verify")
    assert (ended.returncode, ended.stdout.splitlines()[0]) == (
        1,
        f"damaged: {file.name}: {file.name} of the archive is damaged: its bytes are not those that were archived",
    )
    ended = call(folder, "history", "a")
    assert (ended.returncode, f"StoreCorrupt: {file.name} of the archive is damaged" in ended.stderr) == (2, True)
    assert call(folder, "history", "b").returncode == 0


def test_where_nothing_is_nothing_is_made(folder: Path) -> None:
    ended = call(folder, "archive")
    assert (ended.returncode, "StoreUnavailable: there is no events.db" in ended.stderr) == (2, True)
    assert not folder.exists()


def test_events_that_nobody_captures_stay(folder: Path) -> None:
    """A capture that begins later would begin with the rows that are left."""
    folder.mkdir()
    with closing(SqliteEventStore(folder / "events.db", clock_ms=lambda: 1)):
        pass
    ended = call(folder, "archive")
    assert (ended.returncode, "nothing captures the events yet" in ended.stderr) == (2, True)
