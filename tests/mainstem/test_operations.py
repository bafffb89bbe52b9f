"""Operations on an application that is not there, or does not answer."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bank.main import application
from mainstem.assembly.stores import stored_events
from mainstem.errors import InvalidQuery, StoreUnavailable, UnknownTenant
from mainstem.operations import asked, forget_subject, reconciliation, status
from mainstem.settings import Settings
from tests.process import bank_process

_AT_ONCE_S = 15.0


def test_a_folder_without_a_bank_does_not_agree(tmp_path: Path) -> None:
    """It is the wrong one, most likely; and it is left as it is."""
    with pytest.raises(StoreUnavailable, match="nothing to reconcile"):
        reconciliation(application, Settings(data_dir=tmp_path / "data"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_events_is_named(tmp_path: Path) -> None:
    """Whoever looks there has the wrong one, most likely."""
    settings = Settings(data_dir=tmp_path / "data")
    with pytest.raises(StoreUnavailable) as told:
        stored_events(settings).close()
    assert str(told.value) == f"there is no events.db in the folder {settings.data_dir}"


def test_the_embedded_form_is_not_deployed(tmp_path: Path) -> None:
    """At once: nobody waits for servers that it has not."""
    environment = {**os.environ, "MAINSTEM_DATA_DIR": str(tmp_path / "data"), "MAINSTEM_FORM": "embedded"}
    words = [sys.executable, "-m", "mainstem", "deploy"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=_AT_ONCE_S, check=False)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "makes what it needs by itself: set MAINSTEM_FORM=distributed" in " ".join(done.stderr.split())


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


def test_an_application_without_the_route_is_told(tmp_path: Path) -> None:
    """One of one's own has those that it was given."""
    settings = Settings(data_dir=tmp_path / "data")
    with bank_process(settings.data_dir), pytest.raises(StoreUnavailable, match=r"has no route /nowhere: add those of"):
        asked(settings, "/nowhere?limit=1")


def test_what_is_wrong_is_told_as_it_is_where_nothing_runs(tmp_path: Path) -> None:
    """Nobody is forgotten without a reason, whoever carries it out."""
    settings = Settings(data_dir=tmp_path / "data", tenants="acme")

    def forget(subject: str, *, tenant: str | None = None, why: str = "asked for", dry_run: bool = False) -> bool:
        found = forget_subject(
            application, settings, subject, tenant=tenant, why=why, dry_run=dry_run, told=lambda *_: None
        )
        return found.tombstone is not None

    def check() -> None:
        with pytest.raises(InvalidQuery, match="why must be 1 to 500"):
            forget("customer:c-1", why="")
        with pytest.raises(InvalidQuery, match="'nobody' is no subject"):
            forget("nobody", dry_run=True)
        with pytest.raises(UnknownTenant, match="there is no tenant 'globex'"):
            forget("customer:c-1", tenant="globex")
        assert not forget("customer:c-1", why="", dry_run=True)

    with bank_process(settings.data_dir, tenants="acme") as bank:
        card = {"id": "a", "limit": 1, "customer": "c-1", "holder": "Ada"}
        with bank.client() as client:
            client.post("/cards", json=card).raise_for_status()
        check()
        assert bank.stop() == 0
    check()


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
