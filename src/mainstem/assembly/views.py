"""Where views live: the engine that the settings name. An engine's driver is imported where it is chosen alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mainstem.errors import ConfigurationError, StoreUnavailable
from mainstem.listener.binding import Binding
from mainstem.rebuild.versions import mark_made
from mainstem.settings import Settings
from mainstem.table import Table
from mainstem.view.keeper import check_keeper, keep_keeper
from mainstem.view.port import ViewStore

_ENGINES = {"embedded": ("sqlite", "duckdb", "postgres"), "distributed": ("mysql", "postgres")}
_HISTORY = "mainstem history"
_FILES = {"sqlite": "views.db", "duckdb": "views.duckdb"}


def engine_of(settings: Settings) -> str:
    """sqlite, duckdb, postgres or mysql. Raises ConfigurationError for one that the form cannot have."""
    able = _ENGINES[settings.form]
    engine = settings.views or able[0]
    if engine not in able:
        raise ConfigurationError(f"views of the {settings.form} form live in {' or '.join(able)}, not in {engine}")
    return engine


def place_of(settings: Settings) -> str:
    """What a message calls the place."""
    engine = engine_of(settings)
    return _FILES.get(engine) or f"the views' tables in the database {settings.postgres_database} of PostgreSQL"


def make_views(settings: Settings) -> ViewStore:
    """The views, made where there are none. Raises what the adapter raises; ConfigurationError without its driver."""
    engine = engine_of(settings)
    if engine == "mysql":
        from mainstem.assembly.places import mysql_server
        from mainstem.view.mysql import MysqlViews

        return MysqlViews(mysql_server(settings))
    if engine == "postgres":
        return _postgres(settings)
    return _in_file(engine, settings.data_dir / _FILES[engine])


def check_views(settings: Settings) -> None:
    """Raises StoreUnavailable where views that live in a file have none."""
    name = _FILES.get(engine_of(settings))
    if name is not None and not (settings.data_dir / name).is_file():
        raise StoreUnavailable(f"there is no {name} in the folder {settings.data_dir}")


def open_views(settings: Settings) -> ViewStore:
    """The views. Raises StoreUnavailable where there are none, StoreCorrupt for a damaged file."""
    check_views(settings)
    return make_views(settings)


def check_own(views: ViewStore, settings: Settings, history: str) -> None:
    """Whether a server holds the views of this history, which is marked where they begin: a folder cannot say so.

    Raises ConfigurationError where they are another's.
    """
    if engine_of(settings) != "postgres":
        return
    stands = views.made_by(_HISTORY)
    if stands is None:
        with views.transaction() as transaction:
            transaction.mark(_HISTORY, history)
    elif stands != history:
        place = f"the database {settings.postgres_database} of PostgreSQL holds the views of another events.db"
        raise ConfigurationError(f"{place} than that of {settings.data_dir}: name another, or empty it")


def create_views(views: ViewStore, bindings: Sequence[Binding[Any]]) -> None:
    """Make the listeners' tables, or leave them; by whom and by which code each is kept is known from then on.

    Raises ConfigurationError where another group keeps one, before anything is made.
    """
    check_keepers(views, bindings)
    for binding, table in _kept(bindings):
        views.create(table)
        keep_keeper(views, table, binding.group)
        mark_made(views, binding)


def check_keepers(views: ViewStore, bindings: Sequence[Binding[Any]]) -> None:
    """Raises ConfigurationError where another group than the listeners' keeps one of their tables."""
    for binding, table in _kept(bindings):
        check_keeper(views, table, binding.group)


def _kept(bindings: Sequence[Binding[Any]]) -> list[tuple[Binding[Any], Table[Any]]]:
    return [(each, each.projection.table) for each in bindings if each.projection is not None]


def scratch_views(folder: Path) -> ViewStore:
    """Views for a while, in a folder that goes afterwards."""
    return _in_file("sqlite", folder / _FILES["sqlite"])


def _in_file(engine: str, path: Path) -> ViewStore:
    if engine == "duckdb":
        from mainstem.view.duckdb import DuckdbViews

        return DuckdbViews(path)
    from mainstem.view.sqlite import SqliteViews

    return SqliteViews(path)


def _postgres(settings: Settings) -> ViewStore:
    try:
        from mainstem.postgres import PostgresServer
        from mainstem.view.postgres import PostgresViews
    except ImportError as error:
        text = "views in PostgreSQL need its driver: pip install 'mainstem[postgres]'"
        raise ConfigurationError(f"{text} ({error})") from error
    server = PostgresServer(
        settings.postgres_host,
        settings.postgres_port,
        settings.postgres_user,
        "" if settings.postgres_password is None else settings.postgres_password.value,
        settings.postgres_database,
        tls_ca=settings.postgres_tls_ca,
    )
    return PostgresViews(server)
