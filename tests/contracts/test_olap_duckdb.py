"""The DuckDB store keeps to the analytical store's contract."""

from pathlib import Path

from mainstem.olap.duckdb import DuckdbOlap
from mainstem.testing.contracts.olap import OlapContract


class TestDuckdbOlap(OlapContract):
    def open(self, folder: Path) -> DuckdbOlap:
        return DuckdbOlap(folder / "olap.duckdb")
