"""What a distributed application needs beside its own processes: tables, topics, the connector, the supervisors."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing

from msgspec.structs import replace

from mainstem.application import Application
from mainstem.assembly.analytics import Analytics
from mainstem.assembly.distributed import distributed
from mainstem.assembly.places import capture_source, connector_name, druid_reading, mysql_server
from mainstem.cdc.connect import Connect
from mainstem.cdc.debezium import connector
from mainstem.mysql import Session, ask
from mainstem.olap.druid_spec import Json, Reading, supervisor_spec
from mainstem.olap.port import Datasource
from mainstem.settings import Settings

Say = Callable[[str], None]

_KEYS = """
    SELECT table_name, column_name FROM information_schema.key_column_usage
    WHERE table_schema = DATABASE() AND constraint_name = 'PRIMARY' ORDER BY table_name, ordinal_position
"""


def deploy(application: Application, settings: Settings, say: Say) -> None:
    """Make or change all of it, and wait until it runs; what stands as declared is left. Says each step and change.

    Raises StoreUnavailable where a part is away or does not come to run, ConfigurationError where one refuses.
    """
    reading = druid_reading(settings)
    capture_source(settings)  # refused before anything is changed
    with ExitStack() as stack:
        whole = replace(settings, roles="api,listeners")  # topics too, whatever this process would be
        process = distributed(application, whole)
        stack.callback(process.stop)
        connect = stack.enter_context(closing(Connect(settings.connect_url, tls_ca=settings.connect_tls_ca)))
        say(f"tables are as declared in {mysql_server(settings)}, database {settings.mysql_database}")
        say(f"topics are as declared: {', '.join(topic.name for topic in application.all_topics(1))}")
        name = connector_name(application)
        put = connect.put(name, connector_config(application, settings))
        say(f"connector {name}: {_done(put.created, put.differences)}")
        if connect.status(name).failed:
            say(f"connector {name}: had failed, is started again")
            connect.restart(name)
        connect.await_running(name, progress=lambda found: say(f"  {found.state} {' '.join(found.tasks)}"))
        for datasource in application.datasources:
            _supervise(datasource, process.analytics, reading, say)
        for datasource in application.datasources:
            name = process.analytics.versioned.live(datasource).name
            process.analytics.supervisors.await_running(name, progress=lambda found: say(f"  {found.state}"))
        say("all of it runs")


def _supervise(datasource: Datasource, analytics: Analytics, reading: Reading, say: Say) -> None:
    """The live version's supervisor. One that makes other rows is left: those that are there would not be made anew."""
    live = analytics.versioned.live(datasource)
    differs = analytics.versioned.olap.differs(live)
    if differs:
        say(f"supervisor {live.name}: stale, and left as it stands: {'; '.join(differs)}")
        say(f"  run `mainstem rebuild {datasource.name}` to fill it as it is declared")
        return
    posted = analytics.supervisors.post(live, reading)
    say(f"supervisor {live.name}: {_done(posted.created, tuple(map(str, posted.differences)))}")
    kept_up = analytics.supervisors.keep_up(live)
    if kept_up or live.compaction is not None or live.keep_days is not None:
        say(f"compaction and retention of {live.name}: {_done(created=False, differences=tuple(map(str, kept_up)))}")


def connector_config(application: Application, settings: Settings) -> dict[str, str]:
    """The connector's configuration; the tables must be there, since their keys are asked for."""
    session = Session(mysql_server(settings))
    keys: dict[str, list[str]] = {}
    try:
        with session.use() as connection:
            for table, column in ask(connection, _KEYS):
                keys.setdefault(table, []).append(column)
    finally:
        session.close()
    return _connector(application, settings, keys)


def declared_connector(application: Application, settings: Settings) -> dict[str, str]:
    """The same without asking MySQL; for an application that captures no tables but its own."""
    keys: dict[str, Sequence[str]] = {"event": ("position",), "refused_command": ("id",)}
    keys |= {table.name: table.key for table in application.state_tables()}
    return _connector(application, settings, keys)


def _connector(application: Application, settings: Settings, keys: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return connector(connector_name(application), application.all_captured(), keys, capture_source(settings))


def supervisor_specs(application: Application, settings: Settings) -> dict[str, Json]:
    """The supervisors' JSON by datasource."""
    return {each.name: supervisor_spec(each, druid_reading(settings)) for each in application.datasources}


def _done(created: bool, differences: tuple[str, ...]) -> str:
    if created:
        return "made"
    return f"changed: {'; '.join(differences)}" if differences else "stands as declared"
