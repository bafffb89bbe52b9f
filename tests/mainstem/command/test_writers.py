"""Decisions of several writers against a model, on both engines."""

from pathlib import Path

import pytest

from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.sqlite import SqliteEventStore
from tests.mainstem.command.writers_suite import WritersSuite
from tests.stack import Databases


class TestWritersOnSqlite(WritersSuite):
    def open(self, folder: Path) -> SqliteEventStore:
        return SqliteEventStore(folder / "events.db", clock_ms=lambda: 1)


@pytest.mark.stack
class TestWritersOnMysql(WritersSuite):
    examples = 10

    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlEventStore:
        return MysqlEventStore(self.databases(folder), clock_ms=lambda: 1)
