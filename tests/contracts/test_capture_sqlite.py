"""The embedded capture keeps to the capture's contract, its client being the standard library's SQLite."""

from contextlib import AbstractContextManager
from pathlib import Path

import apsw

from mainstem.cdc.sqlite import SqliteCapture
from mainstem.testing.contracts.capture import FACT, ITEM, CaptureContract
from tests.foreign import ForeignClient, foreign_client


class TestSqliteCapture(CaptureContract):
    def make(self, folder: Path) -> None:
        connection = apsw.Connection(str(folder / "shop.db"))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price DECIMAL(18,2))")
        connection.execute("CREATE TABLE fact (n INTEGER PRIMARY KEY, stream TEXT, content TEXT, at_ms INTEGER)")
        connection.close()

    def client(self, folder: Path) -> AbstractContextManager[ForeignClient]:
        return foreign_client(folder / "shop.db")

    def open(self, folder: Path) -> SqliteCapture:
        return SqliteCapture(folder / "shop.db", "shop", [ITEM, FACT])
