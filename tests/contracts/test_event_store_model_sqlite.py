"""The SQLite event store keeps to the model."""

from pathlib import Path

from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.testing.contracts.event_store_model import EventStoreModelContract


class TestSqliteEventStoreModel(EventStoreModelContract):
    def open(self, folder: Path) -> SqliteEventStore:
        return SqliteEventStore(folder / "events.db", clock_ms=lambda: 1000)
