"""The events of an application, for operations that need nothing else of it, while it runs or not."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from mainstem.application import Application
from mainstem.assembly.embedded import embedded
from mainstem.assembly.personal import open_keys, vault_on
from mainstem.assembly.places import archive_folder, kafka_servers, mysql_server
from mainstem.assembly.running import command_bus
from mainstem.assembly.tenants import tenants_of
from mainstem.clock import wall_clock_ms
from mainstem.command.bus import CommandBus
from mainstem.errors import StoreUnavailable
from mainstem.eventstore.check import StoredEvents
from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.mysql import MysqlEventReader, MysqlEventStore
from mainstem.eventstore.mysql_integrity import MysqlIntegrity
from mainstem.eventstore.port import StateTables
from mainstem.eventstore.sqlite import SqliteEventReader, SqliteEventStore
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.folder import Folder
from mainstem.log.kafka import KafkaLog
from mainstem.log.port import Log
from mainstem.log.sqlite import SqliteLog
from mainstem.privacy.vault import Vault
from mainstem.settings import Settings


def events_file(settings: Settings, lacking: str = "there is") -> Path:
    """Where the embedded form's events are. Raises StoreUnavailable, which says what is `lacking`."""
    path = settings.data_dir / "events.db"
    if not path.is_file():
        raise StoreUnavailable(f"{lacking} no events.db in the folder {settings.data_dir}")
    return path


def open_events(settings: Settings) -> MysqlEventStore | SqliteEventStore:
    """The event store. Raises StoreUnavailable where there is none, StoreCorrupt for a damaged file."""
    if settings.form == "distributed":
        return MysqlEventStore(mysql_server(settings), clock_ms=wall_clock_ms, archive=archive_folder(settings))
    path = events_file(settings)
    return SqliteEventStore(path, clock_ms=wall_clock_ms, archive=settings.archive_dir)


@contextmanager
def state_tables(settings: Settings) -> Iterator[StateTables]:
    """The tables of the state rows; of the embedded form where no process runs. Raises StoreBusy where one does."""
    with ExitStack() as stack:
        if settings.form == "embedded":
            events_file(settings)  # else a folder would be made
            folder = Folder(settings.data_dir)
            folder.acquire()
            stack.callback(folder.release)
        yield stack.enter_context(closing(open_events(settings)))


@contextmanager
def commands_of(application: Application, settings: Settings) -> Iterator[CommandBus]:
    """A writer for commands alone, without the flow behind it; of the embedded form where no process runs.

    Raises StoreBusy where one does, StoreUnavailable where there is no event store.
    """
    with ExitStack() as stack:
        if settings.form == "distributed":
            server, tables = mysql_server(settings), application.state_tables()
            store = MysqlEventStore(server, tables, clock_ms=wall_clock_ms, archive=archive_folder(settings))
            events = stack.enter_context(closing(store))
            tenants = tenants_of(settings, application.all_deciders(), events.tenants)
            keys = stack.enter_context(closing(open_keys(settings)))
            commands = command_bus(application, settings, events, tenants=tenants, vault=vault_on(keys, settings))
        else:
            open_events(settings).close()  # else a folder would be made
            whole = embedded(application, settings)
            stack.callback(whole.stop)
            commands = whole.commands
        commands.start()
        stack.callback(commands.stop)
        yield commands


def stored_events(settings: Settings) -> StoredEvents:
    """The same, read only, also where another release is at work: it changes nothing.

    Raises StoreUnavailable or ConfigurationError where there are none.
    """
    if settings.form == "distributed":
        return MysqlEventReader(mysql_server(settings), archive=archive_folder(settings))
    path = events_file(settings)
    return SqliteEventReader(path, archive=settings.archive_dir)


@contextmanager
def open_vault(settings: Settings) -> Iterator[Vault]:
    """What opens personal data, beside a process that runs or without one."""
    with closing(open_keys(settings)) as keys:
        yield vault_on(keys, settings)


def open_log(settings: Settings) -> Log:
    """The log. Raises StoreUnavailable where there is none, StoreCorrupt for a damaged file."""
    if settings.form == "distributed":
        return KafkaLog(kafka_servers(settings), copies=settings.kafka_copies)
    path = settings.data_dir / "log.db"
    if not path.is_file():
        raise StoreUnavailable(f"there is no log.db in the folder {settings.data_dir}")
    return SqliteLog(path)


def open_integrity(settings: Settings, *, read_only: bool = True) -> Integrity:
    """The chain and the seals of the events, to be verified; or to be sealed too.

    Raises StoreUnavailable or ConfigurationError where there are none.
    """
    if settings.form == "distributed":
        return MysqlIntegrity(mysql_server(settings), clock_ms=wall_clock_ms, archive=archive_folder(settings))
    path = events_file(settings)
    return SqliteIntegrity(path, clock_ms=wall_clock_ms, read_only=read_only, archive=settings.archive_dir)
