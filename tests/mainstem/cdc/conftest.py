"""A captured file of somebody's own: each module says with TABLES and CAPTURED what is in it."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from mainstem.cdc.sqlite import SqliteCapture


@pytest.fixture
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "shop.db"
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(request.module.TABLES)
    connection.close()
    return path


@pytest.fixture
def capture(path: Path, request: pytest.FixtureRequest) -> Iterator[SqliteCapture]:
    capture = SqliteCapture(path, "shop", request.module.CAPTURED)
    capture.install()
    yield capture
    capture.close()


@pytest.fixture
def writer(path: Path, capture: SqliteCapture) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(path))
    yield connection
    connection.close()
