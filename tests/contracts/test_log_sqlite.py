"""The SQLite log keeps to the log's contract."""

from pathlib import Path

from mainstem.log.sqlite import SqliteLog
from mainstem.testing.contracts.local_log import LocalLogContract
from tests.contracts.beginning_suite import BeginningSuite


class TestSqliteLog(BeginningSuite, LocalLogContract):
    def open(self, folder: Path) -> SqliteLog:
        return SqliteLog(folder / "log.db")
