"""A single store of an application, for operations that need no other, while the application runs or not."""

from mainstem.assembly.places import mysql_server
from mainstem.assembly.running import wall_clock_ms
from mainstem.errors import StoreUnavailable
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.port import EventStore
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.settings import Settings


def open_events(settings: Settings) -> EventStore:
    """The event store. Raises StoreUnavailable where there is none, StoreCorrupt for a damaged file."""
    if settings.form == "distributed":
        return MysqlEventStore(mysql_server(settings), clock_ms=wall_clock_ms)
    path = settings.data_dir / "events.db"
    if not path.is_file():
        raise StoreUnavailable(f"there is no events.db in the folder {settings.data_dir}")
    return SqliteEventStore(path, clock_ms=wall_clock_ms)
