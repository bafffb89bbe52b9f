"""Full text on the DuckDB view store."""

from pathlib import Path

from mainstem.testing.contracts.words import SearchContract
from mainstem.view.duckdb import DuckdbViews


class TestDuckdbSearch(SearchContract):
    def open(self, folder: Path) -> DuckdbViews:
        return DuckdbViews(folder / "views.duckdb")
