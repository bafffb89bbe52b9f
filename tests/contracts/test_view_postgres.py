"""The PostgreSQL views keep to the view store's contract."""

from pathlib import Path

import pytest

from mainstem.testing.contracts.view import ViewContract
from mainstem.view.postgres import PostgresViews
from tests.postgres import PostgresDatabases


class TestPostgresViews(ViewContract):
    @pytest.fixture(autouse=True)
    def _databases(self, postgres_databases: PostgresDatabases) -> None:
        self.databases = postgres_databases

    def open(self, folder: Path) -> PostgresViews:
        return PostgresViews(self.databases(folder))
