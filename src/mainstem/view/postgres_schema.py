"""Tables of views in PostgreSQL: what is kept beside them, declared tables and their indexes.

All of it can be done within a transaction. Indexes that mainstem made are known by how their names begin, and by what
they are over, since a table that takes another's place brings its own along.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import structlog
from psycopg import Connection

from mainstem.errors import ConfigurationError
from mainstem.postgres import PostgresServer, Row, ask, definer, quoted
from mainstem.table import Column, Table, declared, described

_log = structlog.get_logger(__name__)

_MADE = "mainstem_i_"
_TYPES = {"text": "text", "integer": "bigint", "boolean": "boolean", "real": "double precision", "bytes": "bytea"}
_VERSIONS = "CREATE TABLE IF NOT EXISTS mainstem_schema (kind text PRIMARY KEY, version int NOT NULL)"
_MIGRATIONS = (
    """
    CREATE TABLE mainstem_offset (
        name text COLLATE "C", topic text COLLATE "C", "partition" int, "offset" bigint NOT NULL,
        PRIMARY KEY (name, topic, "partition")
    );
    CREATE TABLE mainstem_position (name text COLLATE "C" NOT NULL, key bytea NOT NULL, version bigint NOT NULL);
    CREATE UNIQUE INDEX ON mainstem_position (name, sha256(key));
    CREATE TABLE mainstem_parked (
        name text COLLATE "C" NOT NULL, key bytea NOT NULL, reason text NOT NULL, since bigint NOT NULL
    );
    CREATE UNIQUE INDEX ON mainstem_parked (name, sha256(key));
    CREATE TABLE mainstem_made (name text COLLATE "C" PRIMARY KEY, made_by text NOT NULL);
    """,
)
"""Keys are bytes, since a text cannot hold every character; and long ones fit no index but by their digest."""


def migrate(server: PostgresServer) -> None:
    """Bring the tables forward: `_MIGRATIONS[n]` leads from version n to n + 1.

    Raises ConfigurationError where a newer release made them, StoreBusy where other processes are at it for too long.
    """
    with definer(server) as connection:
        connection.execute(_VERSIONS)
        found = ask(connection, "SELECT version FROM mainstem_schema WHERE kind = 'views'")
        version = int(found[0][0]) if found else 0
        if version > len(_MIGRATIONS):
            text = f"{server} was used by a newer release (views: schema {version}, known {len(_MIGRATIONS)})"
            raise ConfigurationError(text)
        for number, statement in enumerate(_MIGRATIONS[version:], version + 1):
            _log.info("changing tables", kind="views", version=number)
            connection.execute(statement)
        ask(
            connection,
            "INSERT INTO mainstem_schema VALUES ('views', ?) ON CONFLICT (kind) DO UPDATE SET version = ?",
            (len(_MIGRATIONS), len(_MIGRATIONS)),
        )


def type_of(column: Column) -> str:
    """The column's type, as PostgreSQL itself tells it."""
    return f"numeric(18,{column.places})" if column.kind == "decimal" else _TYPES[column.kind]


def create(connection: Connection[Row], table: Table[Any]) -> None:
    """Make the declared table, or leave it. Raises ConfigurationError where another stands there."""
    columns = ", ".join(_defined(column) for column in table.columns)
    key = f"PRIMARY KEY ({quoted(*table.key)})"
    connection.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} ({columns}, {key})")
    found, wanted = _standing(connection, table.name), declared(table, type_of)
    if found != wanted:
        raise ConfigurationError(f"the view {table.name} stands as {found}, declared is {wanted}; rebuild it")
    index(connection, table)


def stands(connection: Connection[Row], name: str) -> bool:
    """Whether there is such a table."""
    return ask(connection, "SELECT to_regclass(?) IS NOT NULL", (quoted(name),)) == [(True,)]


def words_of(table: Table[Any]) -> str:
    """The column of words as the index of words has it: each as it is, without a language."""
    return f"array_to_tsvector(array_remove(string_to_array({quoted(table.words or '')}, ' '::text), ''::text))"


def index(connection: Connection[Row], table: Table[Any]) -> None:
    """Make the declared indexes, and drop those that mainstem made and that are no longer declared."""
    wanted = {f"btree ({_ordered(table, columns)})" for columns in table.indexes}
    if table.words is not None:
        wanted.add(f"gin ({words_of(table)})")
    statement = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ?"
    for name, definition in ask(connection, statement, (table.name,)):
        using = str(definition).partition(" USING ")[2]
        plain = _plain(using)
        found = next((each for each in wanted if _plain(each) == plain), None)
        if found is not None:
            wanted.remove(found)
        elif str(name).startswith(_MADE):
            connection.execute(f"DROP INDEX {quoted(name)}")
    for using in sorted(wanted):
        name = f"{_MADE}{secrets.token_hex(8)}"
        connection.execute(f"CREATE INDEX {quoted(name)} ON {quoted(table.name)} USING {using}")


def _plain(definition: str) -> str:
    """Without the quotes that PostgreSQL sets where it must."""
    return definition.replace('"', "")


def _ordered(table: Table[Any], columns: Sequence[str]) -> str:
    """NULL comes first, as it does on the other engines."""
    nullable = {column.name for column in table.columns if column.nullable}
    return ", ".join(f"{quoted(name)}{' NULLS FIRST' if name in nullable else ''}" for name in columns)


def _defined(column: Column) -> str:
    """Text is ordered by its code points, on every server alike."""
    collated = ' COLLATE "C"' if column.kind == "text" else ""
    return f"{quoted(column.name)} {type_of(column)}{collated}{'' if column.nullable else ' NOT NULL'}"


def _standing(connection: Connection[Row], name: str) -> list[str]:
    statement = """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
               coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)
        FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
        WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
    """
    return [described(*row) for row in ask(connection, statement, (quoted(name),))]
