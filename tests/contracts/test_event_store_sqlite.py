"""The SQLite event store keeps to the event store's contract."""

from pathlib import Path

from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.testing.contracts.event_store import ACCOUNT, EventStoreContract


class TestSqliteEventStore(EventStoreContract):
    def open(self, folder: Path) -> SqliteEventStore:
        return SqliteEventStore(folder / "events.db", [ACCOUNT], clock_ms=lambda: 1000)
