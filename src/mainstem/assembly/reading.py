"""The events of an application that may be running, elsewhere and of another release: read only."""

from mainstem.assembly.places import mysql_server
from mainstem.eventstore.check import StoredEvents
from mainstem.eventstore.mysql import MysqlEventReader
from mainstem.eventstore.sqlite import SqliteEventReader
from mainstem.settings import Settings


def stored_events(settings: Settings) -> StoredEvents:
    """Raises StoreUnavailable or ConfigurationError where there are none."""
    if settings.form == "distributed":
        return MysqlEventReader(mysql_server(settings))
    return SqliteEventReader(settings.data_dir / "events.db")
