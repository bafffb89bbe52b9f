"""Chain and seals of the SQLite event store keep to their contract."""

from contextlib import closing
from pathlib import Path

import apsw

from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.testing.contracts.integrity import IntegrityContract
from mainstem.testing.contracts.tag_integrity import TagIntegrityContract


class _Sqlite:
    def open(self, folder: Path) -> SqliteEventStore:
        return SqliteEventStore(folder / "events.db", clock_ms=lambda: 1000)

    def integrity(self, folder: Path) -> SqliteIntegrity:
        return SqliteIntegrity(folder / "events.db", clock_ms=lambda: 1000)

    def run_sql(self, folder: Path, *statements: str) -> None:
        with closing(apsw.Connection(str(folder / "events.db"))) as connection:
            for statement in statements:
                connection.execute(statement)


class TestSqliteIntegrity(_Sqlite, IntegrityContract):
    pass


class TestSqliteTagIntegrity(_Sqlite, TagIntegrityContract):
    def test_a_number_that_was_given_twice(self, tagged: Path) -> None:
        self.run_sql(tagged, "DELETE FROM event_tag WHERE tag = 'green'")
        self.given_twice(tagged)
