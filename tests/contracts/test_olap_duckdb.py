"""The DuckDB store keeps to the analytical store's contract."""

from pathlib import Path

from mainstem.olap.duckdb import DuckdbOlap
from mainstem.testing.contracts.ingesting_olap import IngestingOlapContract


class TestDuckdbOlap(IngestingOlapContract):
    def open(self, folder: Path) -> DuckdbOlap:
        return DuckdbOlap(folder / "olap.duckdb")
