"""The DuckDB store keeps to the analytical store's contract, with what a datasource may declare beside its columns."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from mainstem.messages import Record
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.olap.port import Datasource, Olap
from mainstem.testing.contracts.ingesting_olap import IngestingOlapContract, ingested
from mainstem.testing.contracts.olap_options import OlapOptionsContract


class TestDuckdbOlap(IngestingOlapContract):
    def open(self, folder: Path) -> DuckdbOlap:
        return DuckdbOlap(folder / "olap.duckdb")


class TestDuckdbOptions(OlapOptionsContract):
    def filled(
        self, folder: Path, datasources: Sequence[Datasource], records: Sequence[Record]
    ) -> AbstractContextManager[Olap]:
        return ingested(DuckdbOlap(folder / "olap.duckdb"), datasources, records)

    def put_away(self, datasource: Datasource) -> None:
        """What is old goes with each batch."""
