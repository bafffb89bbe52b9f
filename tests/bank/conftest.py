"""A running bank, its clock, and a client of its HTTP application."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from bank.access import CARDS_CLAIM, WHO_MAY
from bank.main import application, web
from mainstem.assembly import Embedded, embedded
from mainstem.query.access import access_of
from mainstem.settings import read_settings
from mainstem.testing import FakeClock
from tests.postgres import postgres_settings
from tests.serving import Client


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", "duckdb", "postgres"])
def running(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Embedded]:
    """With its views wherever they may live."""
    named = {"MAINSTEM_DATA_DIR": str(tmp_path), "MAINSTEM_VIEWS": request.param}
    if request.param == "postgres":
        settings = postgres_settings(request.getfixturevalue("postgres_databases")(tmp_path))
        named |= {f"MAINSTEM_{name.upper()}": value for name, value in settings.items()}
    with embedded(application, read_settings(named), clock_ms=clock) as running:
        yield running


@pytest.fixture
def client(running: Embedded) -> Iterator[Client]:
    access = access_of(running.settings, WHO_MAY, owned_claim=CARDS_CLAIM)
    served: Any = web(running, access)
    with TestClient(served, base_url="http://127.0.0.1:8080") as client:
        yield client
