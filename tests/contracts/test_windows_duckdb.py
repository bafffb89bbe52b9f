"""Windows on the DuckDB view store."""

from pathlib import Path

from mainstem.testing.contracts.windows import WindowContract
from mainstem.view.duckdb import DuckdbViews


class TestDuckdbWindows(WindowContract):
    def open(self, folder: Path) -> DuckdbViews:
        return DuckdbViews(folder / "views.duckdb")
