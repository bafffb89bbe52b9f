"""Views in one DuckDB file, which one process owns: rows in columns, for views that are asked to be counted and summed.

A commit is on the disk when it returns. One thread writes at a time, so no two transactions are in each other's way,
and readers see the last commit. Only keys are indexed: DuckDB scans whatever else it is asked for.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
from msgspec import Struct

from mainstem.duckdb import Cursor, DuckdbFile, insert_arrow
from mainstem.errors import CodecError, ConfigurationError
from mainstem.table import Column, Table, declared, described, quoted
from mainstem.view.connected import Connected, ConnectedTransaction, ConnectedViews
from mainstem.view.dialect import Dialect
from mainstem.view.kept import Kept
from mainstem.view.port import keeper_mark

R = TypeVar("R", bound=Struct)
_Row = tuple[Any, ...]

_VERSION = 1
_SCHEMA = """
    CREATE TABLE mainstem_offset (
        name VARCHAR, topic VARCHAR, "partition" INTEGER, "offset" BIGINT NOT NULL,
        PRIMARY KEY (name, topic, "partition")
    );
    CREATE TABLE mainstem_position (name VARCHAR, key VARCHAR, version BIGINT NOT NULL, PRIMARY KEY (name, key));
    CREATE TABLE mainstem_parked (
        name VARCHAR, key VARCHAR, reason VARCHAR NOT NULL, since BIGINT NOT NULL, PRIMARY KEY (name, key)
    );
    CREATE TABLE mainstem_made (name VARCHAR PRIMARY KEY, made_by VARCHAR NOT NULL);
"""
_THREADS, _MEMORY_MB = 1, 512
_PAGE = 10_000
_KEYS_MAX = 1_000
_DIALECT = Dialect(compares_rows=False)
_TYPES = {"text": "VARCHAR", "integer": "BIGINT", "boolean": "BOOLEAN", "real": "DOUBLE", "bytes": "BLOB"}
_ARROW = {"text": pa.string(), "integer": pa.int64(), "boolean": pa.bool_(), "real": pa.float64(), "bytes": pa.binary()}
_MISFITS = (duckdb.ConstraintException, duckdb.DataError, pa.ArrowException, UnicodeEncodeError, OverflowError)


class DuckdbViews(ConnectedViews):
    """One writer at a time, any number of readers beside it."""

    def __init__(self, path: Path, *, threads: int = _THREADS, memory_limit_mb: int = _MEMORY_MB) -> None:
        super().__init__()
        self._file = DuckdbFile(path, _SCHEMA, _VERSION, threads=threads, memory_limit_mb=memory_limit_mb)

    def create(self, table: Table[R]) -> None:
        """With its key alone."""
        with self._write() as cursor:
            columns = ", ".join(
                f"{quoted(c.name)} {_type_of(c)}{'' if c.nullable else ' NOT NULL'}" for c in table.columns
            )
            key = f"PRIMARY KEY ({quoted(*table.key)})"
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {quoted(table.name)} ({columns}, {key})")
            found, wanted = _standing(cursor, table.name), declared(table, _type_of)
            if found != wanted:
                raise ConfigurationError(f"the view {table.name} stands as {found}, declared is {wanted}; rebuild it")

    @contextmanager
    def transaction(self) -> Iterator["_Transaction"]:
        """The writer's; readers see all of it or nothing."""
        with self._write() as cursor:
            yield _Transaction(cursor)
        self._commits.tell()

    @contextmanager
    def reading(self) -> Iterator["_Reader"]:
        """A cursor of its own."""
        with self._file.session() as cursor, self._file.mapped():
            yield _Reader(cursor)

    @contextmanager
    def picture(self) -> Iterator["_Reader"]:
        """A transaction on a cursor of its own."""
        with self.reading() as reader:
            reader.ask("BEGIN TRANSACTION READ ONLY")
            reader.ask("SELECT count(*) FROM mainstem_made")  # the moment is that of the first question
            yield reader

    def drop(self, table: Table[R], group: str | None = None) -> None:
        """The table, and what is kept of the group."""
        with self._write() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {quoted(table.name)}")
            _Transaction(cursor).kept.forget(group, keeper_mark(table))

    def close(self) -> None:
        """Waits for the writer; readers are interrupted."""
        self._file.close()

    @contextmanager
    def _write(self) -> Iterator[Cursor]:
        with self._file.turn():
            with self._file.writer() as cursor:
                yield cursor
            self._file.bound_wal()


class _Reader(Connected):
    """On one cursor."""

    dialect = _DIALECT

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.kept = Kept(self)

    def ask(self, sql: str, values: Sequence[Any] = ()) -> Sequence[_Row]:
        """Fetched to the end."""
        return self._cursor.execute(sql, list(values)).fetchall()

    def insert(self, into: str, rows: Sequence[_Row], conflict: str) -> None:
        """Many in one go."""
        columns = zip(*rows, strict=True)
        arrow = pa.table([pa.array(values) for values in columns], names=[f"c{n}" for n in range(len(rows[0]))])
        insert_arrow(self._cursor, into, arrow, conflict)

    def stands(self, table: str) -> bool:
        """By the catalogue."""
        return bool(self.ask("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", (table,)))

    def get(self, table: Table[R], keys: Sequence[_Row]) -> dict[_Row, R]:
        """By primary key."""
        found: dict[_Row, R] = {}
        for start in range(0, len(keys), _KEYS_MAX):
            condition, values = _of_keys(table, keys[start : start + _KEYS_MAX])
            for row in self.ask(f"{_DIALECT.select(table)} WHERE {condition}", values):
                typed = table.from_values(row)
                found[table.key_of(typed)] = typed
        return found

    def scan(self, table: Table[R]) -> Iterator[R]:
        """In pages."""
        sql, end = _DIALECT.select(table), _DIALECT.order(table, table.key, descending=False)
        rows = [table.from_values(row) for row in self.ask(f"{sql}{end}", (_PAGE,))]
        while rows:
            yield from rows
            if len(rows) < _PAGE:
                return
            condition, values = _DIALECT.behind(table, table.key, table.key_of(rows[-1]), descending=False)
            found = self.ask(f"{sql} WHERE {condition}{end}", (*values, _PAGE))
            rows = [table.from_values(row) for row in found]

    def matching(self, table: Table[Any], whole: Sequence[str], begins: Sequence[str]) -> tuple[str, list[Any]]:
        """In the text itself: DuckDB's own full text is an extension, which would have to be fetched."""
        text = f"(' ' || {quoted(table.words or '')} || ' ')"
        sought = [*(f" {word} " for word in whole), *(f" {word}" for word in begins)]
        return f"FROM {quoted(table.name)} WHERE {' AND '.join([f'contains({text}, ?)'] * len(sought))}", list(sought)


class _Transaction(_Reader, ConnectedTransaction):
    """On the writer's cursor."""

    def add(self, table: Table[R], rows: Sequence[R]) -> int:
        """All in one statement."""
        return self._insert(table, table.all_values(rows), "DO NOTHING")

    def put(self, table: Table[R], rows: Sequence[R]) -> None:
        """All in one statement, which cannot change a row twice: of one key the last goes in alone."""
        last = {table.key_of(row): row for row in rows}
        others = [column.name for column in table.columns if column.name not in table.key]
        changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
        conflict = f"({quoted(*table.key)}) DO {f'UPDATE SET {changes}' if changes else 'NOTHING'}"
        self._insert(table, table.all_values(list(last.values())), conflict)

    def _insert(self, table: Table[Any], rows: Sequence[_Row], conflict: str) -> int:
        if not rows:
            return 0
        try:
            columns = zip(table.columns, zip(*rows, strict=True), strict=True)
            arrow = pa.table([_array(column, values) for column, values in columns], names=_names(table))
            return insert_arrow(self._cursor, f"{quoted(table.name)} ({_DIALECT.names(table)})", arrow, conflict)
        except _MISFITS as error:
            raise CodecError(f"a row does not fit {table.name}: {error}") from error

    def remove(self, table: Table[R], keys: Sequence[_Row]) -> None:
        """By primary key."""
        for start in range(0, len(keys), _KEYS_MAX):
            condition, values = _of_keys(table, keys[start : start + _KEYS_MAX])
            self.ask(f"DELETE FROM {quoted(table.name)} WHERE {condition}", values)

    def swap(self, live: Table[R], built: Table[R], group: str, keep: Table[R] | None = None) -> None:
        """Tables are renamed in the transaction."""
        self.kept.exchange(self._rename, live.name, built.name, group, keep)

    def _rename(self, name: str, to: str) -> None:
        self.ask(f"ALTER TABLE {quoted(name)} RENAME TO {quoted(to)}")


def _names(table: Table[Any]) -> list[str]:
    return [column.name for column in table.columns]


def _of_keys(table: Table[Any], keys: Sequence[_Row]) -> tuple[str, list[Any]]:
    """The condition for rows under these keys: a list of values for each column costs half of a mark for each value."""
    if len(keys) == 1:
        return " AND ".join(f"{quoted(name)} = ?" for name in table.key), list(keys[0])
    types = {column.name: _type_of(column) for column in table.columns}
    lists = ", ".join(f"unnest(?::{types[name]}[])" for name in table.key)
    return f"({quoted(*table.key)}) IN (SELECT {lists})", [list(values) for values in zip(*keys, strict=True)]


def _type_of(column: Column) -> str:
    return f"DECIMAL(18,{column.places})" if column.kind == "decimal" else _TYPES[column.kind]


def _array(column: Column, values: Sequence[Any]) -> Any:
    if column.kind == "decimal":
        numbers = [None if value is None else Decimal(value) for value in values]
        return pa.array(numbers, pa.decimal128(18, column.places))
    if column.kind == "boolean":
        return pa.array([None if value is None else bool(value) for value in values], _ARROW["boolean"])
    return pa.array(values, _ARROW[column.kind])


def _standing(cursor: Cursor, name: str) -> list[str]:
    keys = cursor.execute(
        "SELECT constraint_column_names FROM duckdb_constraints()"
        " WHERE table_name = ? AND constraint_type = 'PRIMARY KEY'",
        [name],
    ).fetchall()
    key = list(keys[0][0]) if keys else []
    columns = cursor.execute(
        "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
        [name],
    ).fetchall()
    return [described(c, kind, null, key.index(c) + 1 if c in key else 0) for c, kind, null in columns]
