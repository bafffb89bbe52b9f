"""The SQLite log keeps to the log's contract."""

from pathlib import Path

from mainstem.log.sqlite import SqliteLog
from mainstem.testing.contracts.log import LogContract


class TestSqliteLog(LogContract):
    def open(self, folder: Path) -> SqliteLog:
        return SqliteLog(folder / "log.db")
