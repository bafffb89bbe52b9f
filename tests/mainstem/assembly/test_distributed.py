"""One process of the distributed form, at a time when servers are away."""

import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from bank.card import OpenCard
from bank.main import application
from mainstem.assembly import distributed
from mainstem.errors import StoreUnavailable
from mainstem.settings import Secret, Settings
from tests.distributed import Deployed, begin_listening
from tests.process import free_port
from tests.stack import Databases

_PATIENCE_S = 30.0


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    return f"127.0.0.1:{free_port()}"


def _settings(databases: Databases, folder: Path, nobody: str, roles: str) -> Settings:
    server = databases(folder)
    return Settings(
        form="distributed",
        roles=roles,
        start_wait_max_ms=1_500,
        mysql_host=server.host,
        mysql_port=server.port,
        mysql_user=server.user,
        mysql_password=Secret(server.password),
        mysql_database=server.database,
        kafka_bootstrap=nobody,
        connect_url=f"http://{nobody}",
        druid_url=f"http://{nobody}",
        druid_overlord_url=f"http://{nobody}",
    )


@pytest.mark.stack
def test_commands_need_mysql_alone(databases: Databases, tmp_path: Path, nobody: str) -> None:
    with distributed(application, _settings(databases, tmp_path, nobody, "api")) as running:
        answer = running.commands.execute(OpenCard(card="anna", limit=Decimal(100)))
        assert answer.version == 1
        away = {"mysql": "running", "kafka": "unavailable", "connect": "unavailable", "druid": "unavailable"}
        deadline = time.monotonic() + _PATIENCE_S
        while (found := {part.name: part.state for part in running.status().parts}) != away:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        lags = {hop.name: hop.lag for hop in running.status().hops}
        assert lags["mini-statement"] is None  # nobody can be asked: that is no 0


@pytest.mark.stack
def test_listeners_wait_for_kafka_at_the_start(databases: Databases, tmp_path: Path, nobody: str) -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="Kafka"):
        distributed(application, _settings(databases, tmp_path, nobody, "listeners"))
    assert time.monotonic() - began > 1.5


def test_a_process_waits_for_mysql_at_the_start(nobody: str) -> None:
    """So long, and no longer."""
    host, _, port = nobody.partition(":")
    settings = Settings(form="distributed", mysql_host=host, mysql_port=int(port), start_wait_max_ms=1_500)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="MySQL"):
        distributed(application, settings)
    assert 1.5 < time.monotonic() - began < _PATIENCE_S


def test_duckdb_is_not_loaded() -> None:
    """It would take memory, and complains when a process ends that was told to."""
    asked = "import sys, bank.main, mainstem.operations; print('duckdb' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=120, check=True)
    assert said.stdout == "False\n"


@pytest.mark.stack
def test_a_process_shows_that_its_listeners_work(deployed: Deployed, tmp_path: Path) -> None:
    """Again and again, for a health check of its container."""
    alive = tmp_path / "alive"
    process = deployed.listeners(alive_file=str(alive))
    begin_listening(process)
    try:
        _await(alive.exists)
        first = alive.stat().st_mtime_ns
        _await(lambda: alive.stat().st_mtime_ns > first)
    finally:
        process.stop()


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
