"""The MySQL event store keeps to the contract of state tables."""

from pathlib import Path
from typing import Any

import pytest

from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.table import Table
from mainstem.testing.contracts.state_tables import StateTablesContract
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlStateTables(StateTablesContract):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path, *tables: Table[Any]) -> MysqlEventStore:
        return MysqlEventStore(self.databases(folder), tables, clock_ms=lambda: 1000)
