"""Several processes that write the same views in PostgreSQL."""

from pathlib import Path

import pytest

from mainstem.testing.contracts.members import MembersContract
from mainstem.view.postgres import PostgresViews
from tests.postgres import PostgresDatabases


class TestPostgresMembers(MembersContract):
    @pytest.fixture(autouse=True)
    def _databases(self, postgres_databases: PostgresDatabases) -> None:
        self.databases = postgres_databases

    def open(self, folder: Path) -> PostgresViews:
        return PostgresViews(self.databases(folder))
