"""The one place where adapters are put together: applications brought to life, in the form that the settings name."""

from mainstem.application import Application
from mainstem.assembly.distributed import Distributed, distributed
from mainstem.assembly.embedded import Embedded, embedded
from mainstem.assembly.places import mysql_server
from mainstem.assembly.running import Running, Status, wall_clock_ms
from mainstem.errors import StoreUnavailable
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.port import EventStore
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.settings import Settings

__all__ = ["Distributed", "Embedded", "Running", "Status", "bring_up", "distributed", "embedded", "event_store"]


def bring_up(application: Application, settings: Settings) -> Running:
    """The application in the settings' form, open and not yet started. Raises what `embedded` and `distributed` do."""
    if settings.form == "embedded":
        return embedded(application, settings)
    return distributed(application, settings)


def event_store(settings: Settings) -> EventStore:
    """The store alone, to read it beside a running application. Raises StoreUnavailable where there is none."""
    if settings.form == "distributed":
        return MysqlEventStore(mysql_server(settings), clock_ms=wall_clock_ms)
    path = settings.data_dir / "events.db"
    if not path.is_file():
        raise StoreUnavailable(f"there are no events in the folder {settings.data_dir}")
    return SqliteEventStore(path, clock_ms=wall_clock_ms)
