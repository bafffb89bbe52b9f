"""Views in one PostgreSQL database, for one process or several: each group's members write what their partitions hold.

Tables are changed in transactions there as rows are, so a rebuilt table takes the live one's place, with the offsets
that made it, in one.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

import psycopg
import structlog
from msgspec import Struct
from psycopg import Connection

from mainstem.errors import InvalidQuery
from mainstem.postgres import Pool, PostgresServer, Row, Writer, ask, definer, execute, lock, picture, quoted
from mainstem.table import Column, Table
from mainstem.view.connected import Connected, ConnectedTransaction, ConnectedViews
from mainstem.view.dialect import Dialect
from mainstem.view.kept import Kept, check_stands
from mainstem.view.port import Place, keeper_mark
from mainstem.view.postgres_schema import create, index, migrate, stands, type_of, words_of

R = TypeVar("R", bound=Struct)

_log = structlog.get_logger(__name__)

_READERS = 4
_ROWS_MAX = 1_000
_KEYS_MAX = 1_000
_PAGE = 1_000
_LOCK_S = 1
"""How long a swap waits for readers: as long new readers of the table wait behind it."""

_LOCK_PAUSE_S = 0.2
_LOCKS_MAX = 10
_KEPT_TYPES = {str: "text", int: "bigint", bytes: "bytea"}
_DIALECT = Dialect(quoted)


class PostgresViews(ConnectedViews):
    """One writer of this process at a time, a few readers beside it.

    Raises CodecError for a text with the character 0, which PostgreSQL has no place for, and for a key or an indexed
    column that is longer than an index takes.
    """

    def __init__(self, server: PostgresServer) -> None:
        super().__init__()
        migrate(server)
        self._server = server
        self._writer = Writer(server)
        self._readers = Pool(server, _READERS)

    def create(self, table: Table[R]) -> None:
        """With its indexes; those no longer declared are dropped."""
        self._readers.check_open()
        with definer(self._server) as connection:
            create(connection, table)

    @contextmanager
    def transaction(self) -> Iterator["_Transaction"]:
        """Readers see all of it or nothing. Raises StoreBusy or WriteConflict where other processes are in the way."""
        with self._writer.transaction() as connection:
            yield _Transaction(connection)
        self._commits.tell()

    @contextmanager
    def reading(self) -> Iterator["_Reader"]:
        """One of the pool."""
        with self._readers.use() as connection:
            yield _Reader(connection)

    @contextmanager
    def picture(self) -> Iterator["_Reader"]:
        """A reading transaction on a connection of its own."""
        self._readers.check_open()
        with picture(self._server) as connection:
            yield _Reader(connection)

    def drop(self, table: Table[R], group: str | None = None) -> None:
        """The table, and what is kept of the group."""
        self._readers.check_open()
        with definer(self._server) as connection:
            connection.execute(f"DROP TABLE IF EXISTS {quoted(table.name)}")
            _Transaction(connection).kept.forget(group, keeper_mark(table))

    def close(self) -> None:
        """Waits for whoever is at work."""
        self._writer.close()
        self._readers.close()


class _Reader(Connected):
    """On one connection."""

    dialect = _DIALECT

    def __init__(self, connection: Connection[Row]) -> None:
        self._connection = connection
        self._scans = count()
        self.kept = Kept(self, told=str.encode, read=bytes.decode, known=lambda key: f"sha256({key})")

    def ask(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Values are marked by `?`."""
        return ask(self._connection, sql, values)

    def insert(self, into: str, rows: Sequence[Row], conflict: str) -> None:
        """Many in one go."""
        arrays = ", ".join(f"?::{_KEPT_TYPES[type(value)]}[]" for value in rows[0])
        sql = f"INSERT INTO {into} SELECT * FROM unnest({arrays}) ON CONFLICT {conflict}"
        execute(self._connection, sql, [list(values) for values in zip(*rows, strict=True)])

    def stands(self, table: str) -> bool:
        """By the catalogue."""
        return stands(self._connection, table)

    def get(self, table: Table[R], keys: Sequence[Row]) -> dict[Row, R]:
        """By primary key."""
        found: list[Row] = []
        columns = _key_columns(table)
        if len(keys) == 1:  # in half of the time that a join with one takes
            condition = " AND ".join(f"{quoted(name)} = ?" for name in table.key)
            found.extend(self.ask(f"{_DIALECT.select(table)} WHERE {condition}", keys[0]))
            keys = ()
        source = f"FROM {quoted(table.name)} JOIN {_unnested(columns)} ON {_matched(table)}"
        for start in range(0, len(keys), _KEYS_MAX):
            values = _arrays(columns, keys[start : start + _KEYS_MAX])
            found.extend(self.ask(f"SELECT {_DIALECT.qualified(table)} {source}", values))
        return {table.key_of(row): row for row in map(table.from_values, found)}

    def scan(self, table: Table[R]) -> Iterator[R]:
        """By a cursor of the server's, which a picture's transaction keeps."""
        with self._connection.cursor(f"mainstem_{next(self._scans)}") as cursor:
            cursor.itersize = _PAGE
            cursor.execute(f"{_DIALECT.select(table)} ORDER BY {quoted(*table.key)}")
            for row in cursor:
                yield table.from_values(row)

    def find(
        self,
        table: Table[R],
        where: Mapping[str, Any],
        *,
        order: Sequence[str] = (),
        descending: bool = False,
        after: Sequence[Any] | None = None,
        limit: int = 100,
    ) -> list[R]:
        """By columns, in pages."""
        if any(isinstance(value, str) and "\0" in value for value in (*where.values(), *(after or ()))):
            raise InvalidQuery(f"PostgreSQL holds no character 0, and so no column of {table.name} does")
        return super().find(table, where, order=order, descending=descending, after=after, limit=limit)

    def matching(self, table: Table[Any], whole: Sequence[str], begins: Sequence[str]) -> tuple[str, list[Any]]:
        """By the index of words."""
        sought = " & ".join([*(f"'{word}'" for word in whole), *(f"'{word}':*" for word in begins)])
        return f"FROM {quoted(table.name)} WHERE {words_of(table)} @@ ?::tsquery", [sought]


class _Transaction(_Reader, ConnectedTransaction):
    """On the writer's connection."""

    def add(self, table: Table[R], rows: Sequence[R]) -> int:
        """Many to a statement."""
        return self._insert(table, table.all_values(rows), "DO NOTHING")

    def put(self, table: Table[R], rows: Sequence[R]) -> None:
        """Many to a statement; a statement cannot change a row twice, so of one key the last goes in alone."""
        others = [column.name for column in table.columns if column.name not in table.key]
        changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
        last = {table.key_of(row): row for row in rows}
        conflict = f"({quoted(*table.key)}) DO {f'UPDATE SET {changes}' if changes else 'NOTHING'}"
        self._insert(table, table.all_values(list(last.values())), conflict)

    def _insert(self, table: Table[Any], rows: Sequence[Row], conflict: str) -> int:
        sql = (
            f"INSERT INTO {quoted(table.name)} ({_DIALECT.names(table)})"
            f" SELECT * FROM {_unnested(table.columns)} ON CONFLICT {conflict}"
        )
        counted = 0
        for start in range(0, len(rows), _ROWS_MAX):
            counted += execute(self._connection, sql, _arrays(table.columns, rows[start : start + _ROWS_MAX]))
        return counted

    def remove(self, table: Table[R], keys: Sequence[Row]) -> None:
        """By primary key."""
        columns = _key_columns(table)
        sql = f"DELETE FROM {quoted(table.name)} USING {_unnested(columns)} WHERE {_matched(table)}"
        for start in range(0, len(keys), _KEYS_MAX):
            execute(self._connection, sql, _arrays(columns, keys[start : start + _KEYS_MAX]))

    def check(self, group: str, offsets: Mapping[Place, int | None]) -> None:
        """The rows of the group's places are locked until the end; of a place that has none yet, the group itself.

        Else two members that begin it at once would both find that nobody has.
        """
        if None in offsets.values():
            lock(self._connection, f"group {group}")
        places = sorted(offsets)
        marks = ", ".join(["(?, ?)"] * len(places))
        if places:
            sql = f' AND (topic, "partition") IN ({marks}) ORDER BY topic, "partition" FOR UPDATE'
            check_stands(group, self.kept.offsets(group, sql, [each for place in places for each in place]), offsets)

    def hold(self, group: str) -> Mapping[Place, int]:
        """The group itself is locked, and the rows of all its places."""
        lock(self._connection, f"group {group}")
        return self.kept.offsets(group, ' ORDER BY topic, "partition" FOR UPDATE')

    def park(self, group: str, keys: Mapping[str, str], since: Mapping[str, int]) -> None:
        """A reason is for people: what it cannot hold is left out."""
        super().park(
            group, {key: reason.replace("\0", "\N{REPLACEMENT CHARACTER}") for key, reason in keys.items()}, since
        )

    def swap(self, live: Table[R], built: Table[R], group: str, keep: Table[R] | None = None) -> None:
        """Tables are renamed in the transaction, once no reader is at the live one."""
        if self.stands(live.name):
            self._lock_table(live.name)
        self.kept.exchange(self._rename, live.name, built.name, group, keep)
        index(self._connection, live)

    def _rename(self, name: str, to: str) -> None:
        self._connection.execute(f"ALTER TABLE {quoted(name)} RENAME TO {quoted(to)}")

    def _lock_table(self, name: str) -> None:
        """A reader that is long at the table must not make all others wait behind the swap: it is tried again."""
        for attempt in range(1, _LOCKS_MAX + 1):
            try:
                with self._connection.transaction():
                    self._connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_S}s'")
                    self._connection.execute(f"LOCK TABLE {quoted(name)} IN ACCESS EXCLUSIVE MODE")
            except psycopg.errors.LockNotAvailable:
                if attempt == _LOCKS_MAX:
                    raise
                _log.info("readers are at a table that is to be replaced", table=name, attempt=attempt)
                time.sleep(_LOCK_PAUSE_S)
            else:
                return


def _key_columns(table: Table[Any]) -> list[Column]:
    named = {column.name: column for column in table.columns}
    return [named[name] for name in table.key]


def _unnested(columns: Sequence[Column]) -> str:
    """Rows of these columns, one array for each: the text is the same however many there are."""
    arrays = ", ".join(f"?::{type_of(column)}[]" for column in columns)
    return f"unnest({arrays}) AS mainstem_new ({quoted(*(column.name for column in columns))})"


def _matched(table: Table[Any]) -> str:
    return " AND ".join(f"{quoted(table.name)}.{quoted(name)} = mainstem_new.{quoted(name)}" for name in table.key)


def _arrays(columns: Sequence[Column], rows: Sequence[Row]) -> list[list[Any]]:
    """A list for each column; truth values as such."""
    return [
        [None if value is None else bool(value) for value in values] if column.kind == "boolean" else list(values)
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
