"""Windows on the SQLite view store."""

from pathlib import Path

from mainstem.testing.contracts.windows import WindowContract
from mainstem.view.sqlite import SqliteViews


class TestSqliteWindows(WindowContract):
    def open(self, folder: Path) -> SqliteViews:
        return SqliteViews(folder / "views.db")
