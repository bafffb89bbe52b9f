"""What commands print as JSON is JSON, with nothing beside it, and says what they have done."""

import json
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bank.card import OpenCard, Withdraw
from bank.main import application
from mainstem import cli
from mainstem.assembly import embedded
from mainstem.settings import Settings
from mainstem.sqlite import connect

Ask = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank's, with a card and a snapshot of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MAINSTEM_LOG_LEVEL", "error")
    with embedded(application, Settings(data_dir=tmp_path / "data", snapshot_every=1)) as running:
        running.commands.execute(OpenCard(card="anna", limit=Decimal(500)))
        running.commands.execute(Withdraw(card="anna", amount=Decimal(20)))
        running.settle()
        running.commands.stop()
    return tmp_path


@pytest.fixture
def ask(folder: Path) -> Ask:
    """What a command prints, read; it ends with the code that is expected."""

    def asked(*words: str, code: int = 0, typed: str | None = None) -> Any:
        ended = CliRunner().invoke(cli.app, [*words, "--json"], input=typed)
        assert ended.exit_code == code, ended.output
        echo = f" {typed}" if typed else ""  # the runner's, not the command's
        return json.loads(ended.stdout.removeprefix(echo))

    return asked


def test_snapshots_that_were_dropped(ask: Ask) -> None:
    assert ask("snapshots", "drop", "--old") == {"dropped": 0}
    assert ask("snapshots", "drop") == {"dropped": 1}


def test_a_backup_and_its_restore(ask: Ask, folder: Path) -> None:
    made = ask("backup", "copy")
    assert made["events"] == 2
    assert set(made["files"]) >= {"events.db", "views.db"}
    restored = ask("restore", "copy", "--replace")
    assert restored["manifest"] == made
    assert Path(restored["aside"]).is_dir()
    Path(restored["aside"]).rename(folder / "elsewhere")
    (folder / "data").rename(folder / "other")
    assert ask("restore", "copy") == {"manifest": made, "aside": None}


def _spoil(folder: Path) -> None:
    with closing(connect(folder / "data/views.db")) as connection:
        connection.execute("UPDATE card_balance SET used = '3.00' WHERE id = 'anna'")


def test_a_repair(ask: Ask, folder: Path) -> None:
    assert ask("repair") == {"dryRun": True, "damages": [], "left": []}
    _spoil(folder)
    found = ask("repair", "--dry-run", code=1)
    assert [(each["table"], each["key"]) for each in found["damages"]] == [("card_balance", "anna")]
    done = ask("repair", typed="y\n")
    assert done["damages"] == found["damages"]
    assert done["left"] == done["reconciliation"]["differences"] == []


def test_a_new_application(ask: Ask, folder: Path) -> None:
    files = ask("new", "shop")["files"]
    assert "shop/README.md" in files
    assert all((folder / each).is_file() for each in files)


def test_dashboard_and_alerts_are_json_without_a_word() -> None:
    for what, key in (("dashboard", "panels"), ("alerts", "groups")):
        assert json.loads(CliRunner().invoke(cli.app, ["monitoring", what]).stdout)[key]
