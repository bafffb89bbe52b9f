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
from mainstem.settings import Settings
from mainstem.testing import FakeClock
from tests.serving import Client


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def running(tmp_path: Path, clock: FakeClock) -> Iterator[Embedded]:
    with embedded(application, Settings(data_dir=tmp_path), clock_ms=clock) as running:
        yield running


@pytest.fixture
def client(running: Embedded) -> Iterator[Client]:
    access = access_of(running.settings, WHO_MAY, owned_claim=CARDS_CLAIM)
    served: Any = web(running, access)
    with TestClient(served, base_url="http://127.0.0.1:8080") as client:
        yield client
