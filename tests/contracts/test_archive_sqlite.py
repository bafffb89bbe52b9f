"""The SQLite event store keeps to the contract of archives."""

from contextlib import closing
from pathlib import Path

import apsw

from mainstem.eventstore.sqlite import SqliteEventReader, SqliteEventStore
from mainstem.eventstore.sqlite_archive import SqliteEventRows
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.testing.contracts.archive import ArchiveContract


class TestSqliteArchive(ArchiveContract):
    def open(self, folder: Path) -> SqliteEventStore:
        return SqliteEventStore(folder / "events.db", clock_ms=lambda: 1000)

    def reader(self, folder: Path) -> SqliteEventReader:
        return SqliteEventReader(folder / "events.db")

    def integrity(self, folder: Path) -> SqliteIntegrity:
        return SqliteIntegrity(folder / "events.db", clock_ms=lambda: 1000)

    def rows(self, folder: Path) -> SqliteEventRows:
        return SqliteEventRows(folder / "events.db")

    def run_sql(self, folder: Path, *statements: str) -> None:
        with closing(apsw.Connection(str(folder / "events.db"))) as connection:
            for statement in statements:
                connection.execute(statement)
