"""Operations on an application that is not there, or does not answer."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bank.main import application
from mainstem.errors import StoreUnavailable
from mainstem.operations import reconciliation, status
from mainstem.settings import Settings
from tests.process import bank_process

_AT_ONCE_S = 15.0


def test_a_folder_without_a_bank_does_not_agree(tmp_path: Path) -> None:
    """It is the wrong one, most likely; and it is left as it is."""
    with pytest.raises(StoreUnavailable, match="nothing to reconcile"):
        reconciliation(application, Settings(data_dir=tmp_path / "data"))
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_does_not_answer_is_told(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with bank_process(settings.data_dir) as bank:
        bank.process.freeze()
        try:
            for ask in (status, reconciliation):
                began = time.monotonic()
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    ask(application, settings)
                assert time.monotonic() - began < _AT_ONCE_S
        finally:
            bank.process.thaw()


def test_the_status_of_servers_that_are_away_can_be_read(tmp_path: Path) -> None:
    """In 80 columns. One look cannot know since when."""
    nobody = "127.0.0.1:1"
    settings = {
        "FORM": "distributed",
        "MYSQL_PORT": "1",
        "KAFKA_BOOTSTRAP": nobody,
        **{f"{name}_URL": f"http://{nobody}" for name in ("CONNECT", "DRUID", "DRUID_OVERLORD")},
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
    environment |= {f"MAINSTEM_{name}": value for name, value in settings.items()} | {"COLUMNS": "80"}
    words = [sys.executable, "-m", "mainstem", "status"]
    said = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "│ mini-statement │ unavailable │ ?   │ ?       │" in said
    for name, what in (("mysql", "MySQL at 127.0.0.1:1 cannot be used"), ("connect", f"Connect at {nobody}")):
        assert any(line.startswith(f"{name}: {what}") for line in said.splitlines()), said
    assert str(datetime.now(UTC).year) not in said
