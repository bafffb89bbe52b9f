"""The events of an application, for operations that need nothing else of it, while it runs or not."""

from mainstem.assembly.places import mysql_server
from mainstem.assembly.running import wall_clock_ms
from mainstem.errors import StoreUnavailable
from mainstem.eventstore.check import StoredEvents
from mainstem.eventstore.mysql import MysqlEventReader, MysqlEventStore
from mainstem.eventstore.port import EventStore
from mainstem.eventstore.sqlite import SqliteEventReader, SqliteEventStore
from mainstem.settings import Settings


def open_events(settings: Settings) -> EventStore:
    """The event store. Raises StoreUnavailable where there is none, StoreCorrupt for a damaged file."""
    if settings.form == "distributed":
        return MysqlEventStore(mysql_server(settings), clock_ms=wall_clock_ms)
    path = settings.data_dir / "events.db"
    if not path.is_file():
        raise StoreUnavailable(f"there is no events.db in the folder {settings.data_dir}")
    return SqliteEventStore(path, clock_ms=wall_clock_ms)


def stored_events(settings: Settings) -> StoredEvents:
    """The same, read only, also where another release is at work: it changes nothing.

    Raises StoreUnavailable or ConfigurationError where there are none.
    """
    if settings.form == "distributed":
        return MysqlEventReader(mysql_server(settings))
    return SqliteEventReader(settings.data_dir / "events.db")
