"""Tables in MySQL: versioned migrations that run forward by themselves, and declared tables."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pymysql
import structlog
from pymysql.connections import Connection
from pymysql.constants import ER

from mainstem.errors import ConfigurationError, StoreBusy
from mainstem.mysql import MysqlServer, Session, ask, code_of, execute, quoted
from mainstem.table import Column, Table, declared, described

_log = structlog.get_logger(__name__)

_MIGRATION_S = 600
_TURN_S = 60
_NAME_MAX = 64
_WORDS = "mainstem_words"
_TYPES = {"text": "mediumtext", "integer": "bigint", "boolean": "tinyint(1)", "real": "double", "bytes": "longblob"}
_LIMITED = {"text": "varchar(255)", "bytes": "varbinary(255)"}
_OPTIONS = "ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
_VERSIONS = f"""
    CREATE TABLE IF NOT EXISTS mainstem_schema (
        kind VARCHAR(63) NOT NULL PRIMARY KEY, version INT NOT NULL
    ) {_OPTIONS}
"""


def migrate(server: MysqlServer, kind: str, statements: Sequence[str]) -> None:
    """Bring the tables of one kind forward: `statements[n]` leads from version n to n + 1.

    MySQL commits each change of a table by itself, so each must be able to run a second time; one that adds a column
    which is there has run. Processes that start together take turns. Raises ConfigurationError where a newer release
    made the tables, StoreBusy where the turn does not come.
    """
    with definer(server) as connection, one_at_a_time(connection, f"{server.database}.{kind}"):
        execute(connection, _VERSIONS)
        found = ask(connection, "SELECT version FROM mainstem_schema WHERE kind = %s", (kind,))
        version = int(found[0][0]) if found else 0
        if version > len(statements):
            text = f"{server} was used by a newer release ({kind}: schema {version}, known {len(statements)})"
            raise ConfigurationError(text)
        for number, statement in enumerate(statements[version:], version + 1):
            _log.info("changing tables", kind=kind, version=number)
            _change(connection, f"{statement.rstrip()} {_OPTIONS}" if "CREATE TABLE" in statement else statement)
            sql = "INSERT INTO mainstem_schema VALUES (%s, %s) ON DUPLICATE KEY UPDATE version = %s"
            execute(connection, sql, (kind, number, number))


def _change(connection: "Connection[Any]", statement: str) -> None:
    try:
        execute(connection, statement)
    except pymysql.MySQLError as error:
        if code_of(error) != ER.DUP_FIELDNAME:
            raise


@contextmanager
def definer(server: MysqlServer) -> "Iterator[Connection[Any]]":
    """A connection of its own for statements that change tables, which may take long."""
    session = Session(server, call_s=_MIGRATION_S)
    try:
        with session.use() as connection:
            yield connection
    finally:
        session.close()


@contextmanager
def one_at_a_time(connection: "Connection[Any]", what: str, turn_s: int = _TURN_S) -> Iterator[None]:
    """Let one process of all that use the server in. Raises StoreBusy where the turn does not come."""
    lock = f"mainstem.{hashlib.sha256(what.encode()).hexdigest()[:40]}"
    if ask(connection, "SELECT GET_LOCK(%s, %s)", (lock, turn_s)) != ((1,),):
        raise StoreBusy(f"another process is changing the tables of {what} for more than {turn_s} s")
    try:
        yield
    finally:
        with suppress(pymysql.MySQLError, OSError):  # a lost connection has lost its lock
            execute(connection, "SELECT RELEASE_LOCK(%s)", (lock,))


def create(connection: "Connection[Any]", table: Table[Any], hint: str = "") -> None:
    """Make the declared table, or leave it; indexes are made and dropped as declared.

    Raises ConfigurationError, with the hint, where a table of other columns, types or key stands there.
    """
    execute(connection, _definition(table))
    stands, wanted = _both(connection, table)
    if not _agree(stands, wanted):
        raise ConfigurationError(f"the table {table.name} stands as {stands}, declared is {wanted}{hint}")
    if stands != wanted:
        _limit(connection, table)
    _index(connection, table)


def differing(connection: "Connection[Any]", table: Table[Any]) -> tuple[list[str], list[str]] | None:
    """A table's columns as they stand and as they are declared; None where they agree, or none stands."""
    stands, wanted = _both(connection, table)
    return None if not stands or _agree(stands, wanted) else (stands, wanted)


def _both(connection: "Connection[Any]", table: Table[Any]) -> tuple[list[str], list[str]]:
    return _standing(connection, table.name), declared(table, partial(_type_of, table))


def _agree(stands: Sequence[str], wanted: Sequence[str]) -> bool:
    return list(map(_unlimited, stands)) == list(map(_unlimited, wanted))


def _unlimited(described: str) -> str:
    """A column that is indexed has a limit, which it had not before."""
    for kind, limited in _LIMITED.items():
        described = described.replace(f" {limited}", f" {_TYPES[kind]}")
    return described


def _limit(connection: "Connection[Any]", table: Table[Any]) -> None:
    _log.info("changing the columns that are indexed", table=table.name)
    for index in _standing_indexes(connection, table.name):
        execute(connection, f"DROP INDEX {quoted(index)} ON {quoted(table.name)}")
    changes = (f"MODIFY {_column(table, column)}" for column in table.columns if column.kind in _LIMITED)
    execute(connection, f"ALTER TABLE {quoted(table.name)} {', '.join(changes)}")


def _definition(table: Table[Any]) -> str:
    columns = ", ".join(_column(table, column) for column in table.columns)
    key = f"PRIMARY KEY ({quoted(*table.key)})"
    return f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} ({columns}, {key}) {_OPTIONS}"


def _column(table: Table[Any], column: Column) -> str:
    return f"{quoted(column.name)} {_type_of(table, column)}{'' if column.nullable else ' NOT NULL'}"


def _type_of(table: Table[Any], column: Column) -> str:
    """The column's type. Text and bytes of a key or an index have a limit of 255 characters or bytes."""
    if column.kind == "decimal":
        return f"decimal(18,{column.places})"
    if column.name in table.key or any(column.name in index for index in table.indexes):
        return _LIMITED.get(column.kind) or _TYPES[column.kind]
    return _TYPES[column.kind]


def _standing(connection: "Connection[Any]", name: str) -> list[str]:
    sql = """
        SELECT c.column_name, c.column_type, c.is_nullable, k.ordinal_position
        FROM information_schema.columns c LEFT JOIN information_schema.key_column_usage k
          ON k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.column_name = c.column_name
          AND k.constraint_name = 'PRIMARY'
        WHERE c.table_schema = DATABASE() AND c.table_name = %s ORDER BY c.ordinal_position
    """
    rows = ask(connection, sql, (name,))
    return [described(column, _plain(kind), nullable == "YES", key or 0) for column, kind, nullable, key in rows]


def _plain(kind: str | bytes) -> str:
    return kind.decode() if isinstance(kind, bytes) else kind


def _index(connection: "Connection[Any]", table: Table[Any]) -> None:
    wanted = {_index_name(columns): columns for columns in table.indexes}
    standing = _standing_indexes(connection, table.name)
    for name in sorted(standing - set(wanted)):
        execute(connection, f"DROP INDEX {quoted(name)} ON {quoted(table.name)}")
    for name in sorted(set(wanted) - standing):
        execute(connection, f"CREATE INDEX {quoted(name)} ON {quoted(table.name)} ({quoted(*wanted[name])})")
    _index_words(connection, table)


def _index_words(connection: "Connection[Any]", table: Table[Any]) -> None:
    sql = """
        SELECT 1 FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = %s AND index_name = %s
    """
    stands = bool(ask(connection, sql, (table.name, _WORDS)))
    if stands and table.words is None:
        execute(connection, f"DROP INDEX {_WORDS} ON {quoted(table.name)}")
    elif table.words is not None and not stands:
        execute(connection, f"CREATE FULLTEXT INDEX {_WORDS} ON {quoted(table.name)} ({quoted(table.words)})")


def _standing_indexes(connection: "Connection[Any]", table: str) -> set[str]:
    sql = """
        SELECT DISTINCT index_name FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = %s AND left(index_name, 3) = 'i__'
    """
    return {name for (name,) in ask(connection, sql, (table,))}


def _index_name(columns: Sequence[str]) -> str:
    """By which an index that mainstem made is known; of names that are too long together, by their digest."""
    name = "__".join(("i", *columns))
    return name if len(name) <= _NAME_MAX else f"i__{hashlib.sha256(name.encode()).hexdigest()[:32]}"
