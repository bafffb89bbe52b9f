"""View stores of all engines."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mainstem.view.duckdb import DuckdbViews
from mainstem.view.mysql import MysqlViews
from mainstem.view.port import ViewStore
from mainstem.view.postgres import PostgresViews
from mainstem.view.sqlite import SqliteViews
from tests.mainstem.rebuild.totals import Live, open_log
from tests.postgres import PostgresDatabases
from tests.stack import Databases


@pytest.fixture(params=["sqlite", "duckdb", "postgres", pytest.param("mysql", marks=pytest.mark.stack)])
def views(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ViewStore]:
    with closing(_opened(request, tmp_path)) as opened:
        yield opened


def _opened(request: pytest.FixtureRequest, folder: Path) -> ViewStore:
    if request.param == "sqlite":
        return SqliteViews(folder / "views.db")
    if request.param == "duckdb":
        return DuckdbViews(folder / "views.duckdb")
    if request.param == "postgres":
        postgres: PostgresDatabases = request.getfixturevalue("postgres_databases")
        return PostgresViews(postgres(folder))
    databases: Databases = request.getfixturevalue("databases")
    return MysqlViews(databases(folder))


@pytest.fixture
def live(views: ViewStore, tmp_path: Path) -> Iterator[Live]:
    with closing(open_log(tmp_path)) as log:
        yield Live(log, views)
