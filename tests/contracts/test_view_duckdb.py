"""The DuckDB view store keeps to the view store's contract."""

from pathlib import Path

from mainstem.testing.contracts.view import ViewContract
from mainstem.view.duckdb import DuckdbViews


class TestDuckdbViews(ViewContract):
    def open(self, folder: Path) -> DuckdbViews:
        return DuckdbViews(folder / "views.duckdb")
