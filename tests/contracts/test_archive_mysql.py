"""The MySQL event store keeps to the contract of archives."""

from pathlib import Path

import pytest

from mainstem.eventstore.mysql import MysqlEventReader, MysqlEventStore
from mainstem.eventstore.mysql_archive import MysqlEventRows
from mainstem.eventstore.mysql_integrity import MysqlIntegrity
from mainstem.mysql import Session, execute
from mainstem.testing.contracts.archive import ArchiveContract
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlArchive(ArchiveContract):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlEventStore:
        return MysqlEventStore(self.databases(folder), clock_ms=lambda: 1000, archive=self.files(folder))

    def reader(self, folder: Path) -> MysqlEventReader:
        return MysqlEventReader(self.databases(folder), archive=self.files(folder))

    def integrity(self, folder: Path) -> MysqlIntegrity:
        return MysqlIntegrity(self.databases(folder), clock_ms=lambda: 1000, archive=self.files(folder))

    def rows(self, folder: Path) -> MysqlEventRows:
        return MysqlEventRows(self.databases(folder))

    def run_sql(self, folder: Path, *statements: str) -> None:
        session = Session(self.databases(folder))
        with session.use() as connection:
            for statement in statements:
                execute(connection, statement)
        session.close()
