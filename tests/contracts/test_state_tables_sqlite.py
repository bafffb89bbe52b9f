"""The SQLite event store keeps to the contract of state tables."""

from pathlib import Path
from typing import Any

from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.table import Table
from mainstem.testing.contracts.state_tables import StateTablesContract


class TestSqliteStateTables(StateTablesContract):
    def open(self, folder: Path, *tables: Table[Any]) -> SqliteEventStore:
        return SqliteEventStore(folder / "events.db", tables, clock_ms=lambda: 1000)
