"""Windows on the PostgreSQL view store."""

from pathlib import Path

import pytest

from mainstem.testing.contracts.windows import WindowContract
from mainstem.view.postgres import PostgresViews
from tests.postgres import PostgresDatabases


class TestPostgresWindows(WindowContract):
    @pytest.fixture(autouse=True)
    def _databases(self, postgres_databases: PostgresDatabases) -> None:
        self.databases = postgres_databases

    def open(self, folder: Path) -> PostgresViews:
        return PostgresViews(self.databases(folder))
