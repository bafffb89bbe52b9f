"""The SQLite event store keeps to the contract of tags."""

from pathlib import Path

from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.testing.contracts.tagged_events import TaggedEventsContract


class TestSqliteTaggedEvents(TaggedEventsContract):
    def open(self, folder: Path) -> SqliteEventStore:
        return SqliteEventStore(folder / "events.db", clock_ms=lambda: 1000)
