"""The SQLite view store keeps to the view store's contract."""

from pathlib import Path

from mainstem.testing.contracts.view import ViewContract
from mainstem.view.sqlite import SqliteViews


class TestSqliteViews(ViewContract):
    def open(self, folder: Path) -> SqliteViews:
        return SqliteViews(folder / "views.db")
