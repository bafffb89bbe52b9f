"""Views in one SQLite file.

A commit is not flushed to the disk by itself (synchronous=NORMAL): rows and the offsets that made them are in one file,
so a power cut takes the last of both together, and the listener reads again from there.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any, TypeVar

import apsw
from msgspec import Struct

from mainstem.errors import CodecError, ConfigurationError, StoreBusy, StoreUnavailable
from mainstem.sqlite import connect, insert_many, mapped_errors, prepare, table_definition, transaction
from mainstem.table import Table, quoted
from mainstem.view.connected import Connected, ConnectedTransaction, ConnectedViews
from mainstem.view.dialect import Dialect, grouped
from mainstem.view.kept import Kept
from mainstem.view.port import keeper_mark
from mainstem.view.sqlite_index import index
from mainstem.view.sqlite_words import drop_unused, matching

R = TypeVar("R", bound=Struct)

_READERS = 4
_WAIT_S = 30.0
"""How long anybody waits for the writer's or a reader's connection."""

_KEYS_MAX = 500
_MIGRATIONS = (
    """
    CREATE TABLE mainstem_offset (
        name TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
        PRIMARY KEY (name, topic, partition)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE mainstem_position (
        name TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (name, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE mainstem_parked (
        name TEXT NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (name, key)
    ) STRICT, WITHOUT ROWID;
    """,
    "ALTER TABLE mainstem_parked ADD COLUMN since INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE mainstem_made (name TEXT NOT NULL PRIMARY KEY, made_by TEXT NOT NULL) STRICT, WITHOUT ROWID",
)
_DECLARED = "mainstem_declared"
_DIALECT = Dialect(decimals=False, nulls_first=True)


class SqliteViews(ConnectedViews):
    """One writer at a time, a few readers beside it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        prepare(path, "views", _MIGRATIONS)
        self._path = path
        self._writing = threading.Lock()
        self._writer = connect(path, durable=False)
        self._readers: LifoQueue[apsw.Connection] = LifoQueue()
        for _ in range(_READERS):
            self._readers.put(connect(path, read_only=True))
        self._closed = False

    def create(self, table: Table[R]) -> None:
        """With its indexes; those no longer declared are dropped."""
        with self._write():
            self._writer.execute(table_definition(table))
            self._writer.execute(table_definition(table, _DECLARED))
            stands, declared = self._columns(table.name), self._columns(_DECLARED)
            self._writer.execute(f"DROP TABLE {_DECLARED}")
            if stands != declared:
                text = f"the view {table.name} stands as {stands}, declared is {declared}"
                raise ConfigurationError(f"{text}; rebuild it")
            index(self._writer, table)

    def _columns(self, name: str) -> list[str]:
        rows: Any = self._writer.execute(f"PRAGMA table_info({quoted(name)})").fetchall()
        return [
            f"{column} {kind}{' NOT NULL' * needed}{f' KEY {key}' if key else ''}"
            for _, column, kind, needed, _, key in rows
        ]

    @contextmanager
    def transaction(self) -> Iterator["_Transaction"]:
        """The writer's; readers see all of it or nothing."""
        with self._write():
            yield _Transaction(self._writer)
        self._commits.tell()

    @contextmanager
    def picture(self) -> Iterator["_Reader"]:
        """A transaction on a connection of its own."""
        self._check_open()
        connection = connect(self._path, read_only=True)
        try:
            with mapped_errors(self._path):
                connection.execute("BEGIN")
                connection.execute("SELECT 1 FROM mainstem_made").fetchall()  # it begins with the first question
                yield _Reader(connection)
        finally:
            connection.close()

    def drop(self, table: Table[R], group: str | None = None) -> None:
        """The table, and what is kept of the group."""
        with self._write():
            self._writer.execute(f"DROP TABLE IF EXISTS {quoted(table.name)}")
            drop_unused(self._writer)
            _Reader(self._writer).kept.forget(group, keeper_mark(table))

    def close(self) -> None:
        """Waits for readers that are at work; those that come later are told that it is closed."""
        with self._writing:
            if self._closed:
                return
            self._closed = True
            readers = [self._readers.get() for _ in range(_READERS)]
            for reader in (*readers, self._writer):
                reader.close()
            for reader in readers:  # whoever waits for one gets it, and sees that it is closed
                self._readers.put(reader)

    @contextmanager
    def _write(self) -> Iterator[None]:
        if not self._writing.acquire(timeout=_WAIT_S):
            raise StoreBusy(f"{self._path.name} is being written by another for more than {_WAIT_S:.0f} s")
        try:
            self._check_open()
            with transaction(self._writer, self._path):
                yield
        finally:
            self._writing.release()

    @contextmanager
    def reading(self) -> Iterator["_Reader"]:
        """One of a few."""
        self._check_open()
        try:
            reader = self._readers.get(timeout=_WAIT_S)
        except Empty:
            raise StoreBusy(f"{self._path.name} is being read by too many for more than {_WAIT_S:.0f} s") from None
        try:
            self._check_open()
            with mapped_errors(self._path):
                yield _Reader(reader)
        finally:
            self._readers.put(reader)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path.name} is closed")


class _Reader(Connected):
    """On one connection."""

    dialect = _DIALECT

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.kept = Kept(self)

    def ask(self, sql: str, values: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
        """All rows."""
        return self._connection.execute(sql, values).fetchall()

    def insert(self, into: str, rows: Sequence[tuple[Any, ...]], conflict: str) -> None:
        """Many to a statement."""
        insert_many(self._connection, into, rows, conflict)

    def stands(self, table: str) -> bool:
        """By the schema."""
        return bool(self.ask("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)))

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """By primary key."""
        found: dict[tuple[Any, ...], R] = {}
        one = f"({', '.join('?' * len(table.key))})"
        for start in range(0, len(keys), _KEYS_MAX):
            chunk = keys[start : start + _KEYS_MAX]
            sql = f"{_DIALECT.select(table)} WHERE ({quoted(*table.key)}) IN (VALUES {', '.join([one] * len(chunk))})"
            for row in self._connection.execute(sql, [value for key in chunk for value in key]):
                typed = table.from_values(row)
                found[table.key_of(typed)] = typed
        return found

    def find_each(
        self,
        table: Table[R],
        keys: Sequence[tuple[Any, ...]],
        *,
        descending: bool = False,
        after: Any = None,
        limit: int = 1,
    ) -> dict[tuple[Any, ...], list[R]]:
        """Of each key all up to the last that is asked for: a sixth of what a question for each takes."""
        found, end = list[tuple[Any, ...]](), () if after is None else (after,)
        for start in range(0, len(keys), _KEYS_MAX):
            part = keys[start : start + _KEYS_MAX]
            values = [*(value for key in part for value in key), *end, limit - 1, *end]
            found += self.ask(
                _of_each(table, len(part), begins_behind=after is not None, descending=descending), values
            )
        return grouped(table, keys, found, descending=descending)

    def scan(self, table: Table[R]) -> Iterator[R]:
        """By a cursor of its own."""
        for row in self._connection.execute(f"{_DIALECT.select(table)} ORDER BY {quoted(*table.key)}"):
            yield table.from_values(row)

    def matching(self, table: Table[Any], whole: Sequence[str], begins: Sequence[str]) -> tuple[str, list[Any]]:
        """By the index of words, which comes first, whatever the planner thinks of the order."""
        source, sought = matching(self._connection, table, whole, begins)
        return source, [sought]


class _Transaction(_Reader, ConnectedTransaction):
    """On the writer's connection."""

    def add(self, table: Table[R], rows: Sequence[R]) -> int:
        """Many to a statement."""
        return self._insert(table, rows, "DO NOTHING")

    def put(self, table: Table[R], rows: Sequence[R]) -> None:
        """Many to a statement."""
        others = [column.name for column in table.columns if column.name not in table.key]
        changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
        action = f"UPDATE SET {changes}" if changes else "NOTHING"
        self._insert(table, rows, f"({quoted(*table.key)}) DO {action}")

    def _insert(self, table: Table[R], rows: Sequence[R], conflict: str) -> int:
        try:
            return insert_many(self._connection, quoted(table.name), table.all_values(rows), conflict)
        except apsw.ConstraintError as error:
            raise CodecError(f"a row does not fit {table.name}: {error}") from error

    def remove(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> None:
        """By primary key."""
        condition = " AND ".join(f"{quoted(name)} = ?" for name in table.key)
        self._connection.executemany(f"DELETE FROM {quoted(table.name)} WHERE {condition}", keys)

    def swap(self, live: Table[R], built: Table[R], group: str, keep: Table[R] | None = None) -> None:
        """Tables are renamed in the transaction."""
        self.kept.exchange(self._rename, live.name, built.name, group, keep)
        index(self._connection, live)

    def _rename(self, name: str, to: str) -> None:
        self._connection.execute(f"ALTER TABLE {quoted(name)} RENAME TO {quoted(to)}")


def _of_each(table: Table[Any], keys: int, *, begins_behind: bool, descending: bool) -> str:
    """The statement of `find_each`; a key may be of no column, but what stands in VALUES may not."""
    *first, last = table.key
    name, own, other = quoted(table.name), f"own.{quoted(last)}", f"other.{quoted(last)}"
    behind, until, order, beyond = ("<", ">=", " DESC", -(2**63)) if descending else (">", "<=", "", 2**63 - 1)
    of_key = [f"{quoted(column)} = k.column{number}" for number, column in enumerate(first, 2)]
    others = [f"other.{each}" for each in of_key] + [f"{other} {behind} ?"] * begins_behind
    where = f" WHERE {' AND '.join(others)}" if others else ""
    furthest = f"SELECT {other} FROM {name} AS other{where} ORDER BY {other}{order} LIMIT 1 OFFSET ?"
    owns = [f"own.{each}" for each in of_key] + [f"{own} {until} ifnull(({furthest}), {beyond})"]
    owns += [f"{own} {behind} ?"] * begins_behind
    columns = ", ".join(f"own.{quoted(column.name)}" for column in table.columns)
    values = ", ".join([f"({', '.join(['0', *'?' * len(first)])})"] * keys)
    return f"SELECT {columns} FROM (VALUES {values}) AS k CROSS JOIN {name} AS own ON {' AND '.join(owns)}"
