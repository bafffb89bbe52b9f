"""The SQLite event store keeps to the contract of tenants."""

from pathlib import Path

from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.testing.contracts.tenants import TenantsContract


class TestSqliteTenants(TenantsContract):
    def open(self, folder: Path) -> SqliteEventStore:
        return SqliteEventStore(folder / "events.db", clock_ms=lambda: 1000)
