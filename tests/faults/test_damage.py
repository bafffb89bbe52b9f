"""Files that are cut off, overwritten, removed or taken from older copies: reported or healed, never served."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from bank.card import OpenCard, Withdraw
from bank.main import application
from mainstem.assembly import embedded
from mainstem.errors import MainstemError, StoreCorrupt
from mainstem.settings import Settings
from tests.process import BankProcess

_FILES = ("events.db", "log.db", "views.db", "analytics.duckdb")
_GARBAGE = bytes(range(255, 0, -1)) * 64


def _truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _overwritten_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(_GARBAGE)


def _overwritten_middle(path: Path) -> None:
    """All but the first and the last page, since a page that is not in use may hold anything."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(_GARBAGE * (max(size - 16384, 4096) // len(_GARBAGE)))


def _another_file(path: Path) -> None:
    path.write_text("a letter to the bank\n" * 1000)


_DAMAGES: tuple[Callable[[Path], None], ...] = (_truncated, _overwritten_head, _overwritten_middle, _another_file)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 300 withdrawals, closed cleanly."""
    folder: Path = tmp_path_factory.mktemp("damage") / "data"
    _use(folder, 300)
    return folder


def _use(folder: Path, withdrawals: int) -> None:
    with embedded(application, Settings(data_dir=folder)) as running:
        running.commands.execute(OpenCard(card="c", limit=Decimal(100_000_000)), key="open")
        for _ in range(withdrawals):
            running.commands.execute(Withdraw(card="c", amount=Decimal(1)))
        assert running.settle()


@pytest.fixture
def folder(healthy: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "data"
    shutil.copytree(healthy, copy)
    return copy


@pytest.mark.parametrize("name", _FILES)
@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_file_is_reported_and_not_served(folder: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(folder / name)
    with pytest.raises(MainstemError, match=name) as raised:
        embedded(application, Settings(data_dir=folder))
    assert isinstance(raised.value, StoreCorrupt)


def test_the_command_line_says_which_file_and_stops(folder: Path) -> None:
    _truncated(folder / "events.db")
    environment = {**os.environ, "MAINSTEM_DATA_DIR": str(folder), "MAINSTEM_HTTP_PORT": "0"}
    for command in ("run", "reconcile"):
        words = [sys.executable, "-m", "mainstem", command]
        ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 2
        assert "events.db is damaged and is not served" in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["events.db", "log.db"])
def test_a_file_of_the_source_that_is_gone_is_reported(folder: Path, name: str) -> None:
    for file in folder.glob(f"{name}*"):
        file.unlink()
    with pytest.raises(StoreCorrupt, match=f"{name}.* older"):
        embedded(application, Settings(data_dir=folder))


@pytest.mark.parametrize("name", ["events.db", "log.db"])
def test_a_file_of_the_source_from_an_older_copy_is_reported(folder: Path, healthy: Path, name: str) -> None:
    _use(folder, 2_500)  # more than what the capture holds back after it is in the log
    shutil.copy(healthy / name, folder / name)
    with pytest.raises(StoreCorrupt, match=f"{name}.* older"):
        embedded(application, Settings(data_dir=folder))


def test_a_write_ahead_log_that_was_cut_off_is_reported(tmp_path: Path) -> None:
    """SQLite takes a cut-off write-ahead log for the work of a crash; acknowledged withdrawals would be missing."""
    bank = BankProcess(tmp_path / "data")
    bank.start()
    with bank.client() as client:
        for _ in range(50):
            client.post("/moneywithdrawals", json={"debitCard": "123456789", "amount": 1}).raise_for_status()
        assert bank.reconcile().clean
    bank.kill()
    wal = bank.folder / "events.db-wal"
    with wal.open("r+b") as file:
        file.truncate(wal.stat().st_size // 4)
    with pytest.raises(StoreCorrupt, match=r"events\.db ends at change .* older or was cut off"):
        embedded(application, Settings(data_dir=bank.folder))


@pytest.mark.parametrize("names", [["views.db"], ["analytics.duckdb"], ["views.db", "analytics.duckdb"]])
def test_what_is_derived_is_made_again_from_the_log(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).unlink()
    with embedded(application, Settings(data_dir=folder)) as running:
        found = running.reconcile()
    assert found.clean, found.differences
    assert found.aggregates == 1


@pytest.mark.parametrize("name", ["views.db", "analytics.duckdb"])
def test_what_is_derived_may_come_from_an_older_copy(folder: Path, healthy: Path, name: str) -> None:
    _use(folder, 200)
    shutil.copy(healthy / name, folder / name)
    with embedded(application, Settings(data_dir=folder)) as running:
        assert running.reconcile().clean
