"""Full text on the SQLite view store."""

from pathlib import Path

from mainstem.testing.contracts.words import SearchContract
from mainstem.view.sqlite import SqliteViews


class TestSqliteSearch(SearchContract):
    def open(self, folder: Path) -> SqliteViews:
        return SqliteViews(folder / "views.db")
