"""Views in one SQLite file.

A commit is not flushed to the disk by itself (synchronous=NORMAL): rows and the offsets that made them are in one file,
so a power cut takes the last of both together, and the listener reads again from there.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any, TypeVar

import apsw
import structlog
from msgspec import Struct

from mainstem.errors import CodecError, ConfigurationError, Fenced, StoreBusy, StoreUnavailable
from mainstem.messages import Position
from mainstem.sqlite import connect, insert_many, mapped_errors, prepare, table_definition, transaction
from mainstem.table import Table, quoted
from mainstem.view.port import Place
from mainstem.view.question import Question, question
from mainstem.view.sqlite_swap import KEPT, exchange, index
from mainstem.view.sqlite_words import drop_unused, matching
from mainstem.words import asked_words

R = TypeVar("R", bound=Struct)

_log = structlog.get_logger(__name__)
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
_OFFSETS = "(name, topic, partition) DO UPDATE SET offset = excluded.offset"
_EARLIEST = "DO UPDATE SET reason = excluded.reason, since = excluded.since WHERE excluded.since < since"
_POSITIONS = "(name, key) DO UPDATE SET version = excluded.version WHERE excluded.version > version"


class SqliteViews:
    """One writer at a time, a few readers beside it."""

    def __init__(self, path: Path) -> None:
        prepare(path, "views", _MIGRATIONS)
        self._path = path
        self._writing = threading.Lock()
        self._writer = connect(path, durable=False)
        self._readers: LifoQueue[apsw.Connection] = LifoQueue()
        for _ in range(_READERS):
            self._readers.put(connect(path, read_only=True))
        self._listeners: list[Callable[[], None]] = []
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
        for listener in tuple(self._listeners):
            try:
                listener()
            except Exception:
                _log.exception("a listener of commits failed")

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """By primary key."""
        with self._reader() as reader:
            return _get(reader, table, keys)

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
        sql, values = _statement_of(table, question(table, where, order, after), descending=descending)
        with self._reader() as reader:
            return [table.from_values(row) for row in reader.execute(sql, (*values, limit))]

    def search(
        self,
        table: Table[R],
        text: str,
        *,
        within: str | None = None,
        after: Sequence[Any] | None = None,
        limit: int = 100,
    ) -> list[R]:
        """By the index of words; of what these find, the last by key are picked."""
        asked = question(table, {}, (), after)
        words = asked_words(text, within)
        with self._reader() as reader:
            source, sought = matching(reader, table, *words)
            values: list[Any] = [sought]
            names = ", ".join(f"{quoted(table.name)}.{quoted(column.name)}" for column in table.columns)
            sql = f"SELECT {names} FROM {source}"
            if asked.after is not None:
                sql += f" AND ({quoted(*table.key)}) < ({', '.join('?' * len(table.key))})"
                values.extend(asked.after)
            sql += f" ORDER BY {', '.join(f'{quoted(name)} DESC' for name in table.key)} LIMIT ?"
            return [table.from_values(row) for row in reader.execute(sql, (*values, limit))]

    def scan(self, table: Table[R]) -> Iterator[R]:
        """On a connection of its own."""
        with self.picture() as picture:
            yield from picture.scan(table)

    @contextmanager
    def picture(self) -> Iterator["_Picture"]:
        """A transaction on a connection of its own."""
        self._check_open()
        connection = connect(self._path, read_only=True)
        try:
            with mapped_errors(self._path):
                connection.execute("BEGIN")
                connection.execute("SELECT 1 FROM mainstem_made").fetchall()  # it begins with the first question
                yield _Picture(connection)
        finally:
            connection.close()

    def count(self, table: Table[R]) -> int:
        """Counted, not estimated."""
        return int(self._ask(f"SELECT count(*) FROM {quoted(table.name)}", ())[0][0])

    def offsets(self, group: str) -> Mapping[Place, int]:
        """By topic and partition."""
        with self._reader() as reader:
            return _offsets(reader, group)

    def made_by(self, group: str) -> str | None:
        """As it was marked."""
        rows = self._ask("SELECT made_by FROM mainstem_made WHERE name = ?", (group,))
        return str(rows[0][0]) if rows else None

    def reached(self, group: str, key: str) -> int:
        """By key."""
        rows = self._ask("SELECT version FROM mainstem_position WHERE name = ? AND key = ?", (group, key))
        return int(rows[0][0]) if rows else 0

    def parked(self, group: str) -> Mapping[str, str]:
        """By key."""
        return dict(self._ask("SELECT key, reason FROM mainstem_parked WHERE name = ?", (group,)))

    def parked_since(self, group: str) -> Mapping[str, int]:
        """By key."""
        return dict(self._ask("SELECT key, since FROM mainstem_parked WHERE name = ?", (group,)))

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """In the thread that commits, after the commit."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def drop(self, table: Table[R], group: str | None = None) -> None:
        """The table, and what is kept of the group."""
        with self._write():
            self._writer.execute(f"DROP TABLE IF EXISTS {quoted(table.name)}")
            drop_unused(self._writer)
            for kept in KEPT:
                self._writer.execute(f"DELETE FROM {kept} WHERE name = ?", (group,))

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
    def _reader(self) -> Iterator[apsw.Connection]:
        self._check_open()
        try:
            reader = self._readers.get(timeout=_WAIT_S)
        except Empty:
            raise StoreBusy(f"{self._path.name} is being read by too many for more than {_WAIT_S:.0f} s") from None
        try:
            self._check_open()
            with mapped_errors(self._path):
                yield reader
        finally:
            self._readers.put(reader)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path.name} is closed")

    def _ask(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with self._reader() as reader:
            return reader.execute(sql, values).fetchall()


class _Transaction:
    """On the writer's connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """By primary key."""
        return _get(self._connection, table, keys)

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
        """As the store does."""
        sql, values = _statement_of(table, question(table, where, order, after), descending=descending)
        return [table.from_values(row) for row in self._connection.execute(sql, (*values, limit))]

    def add(self, table: Table[R], rows: Sequence[R]) -> int:
        """Many to a statement."""
        return self._insert(table, rows, "DO NOTHING")

    def put(self, table: Table[R], rows: Sequence[R]) -> None:
        """Many to a statement."""
        others = [column.name for column in table.columns if column.name not in table.key]
        changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
        action = f"UPDATE SET {changes}" if changes else "NOTHING"
        conflict = f"({quoted(*table.key)}) DO {action}"
        self._insert(table, rows, conflict)

    def _insert(self, table: Table[R], rows: Sequence[R], conflict: str) -> int:
        try:
            return insert_many(self._connection, quoted(table.name), list(map(table.values, rows)), conflict)
        except apsw.ConstraintError as error:
            raise CodecError(f"a row does not fit {table.name}: {error}") from error

    def remove(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> None:
        """By primary key."""
        condition = " AND ".join(f"{quoted(name)} = ?" for name in table.key)
        self._connection.executemany(f"DELETE FROM {quoted(table.name)} WHERE {condition}", keys)

    def check(self, group: str, offsets: Mapping[Place, int | None]) -> None:
        """By the offsets as this transaction sees them."""
        stands = _offsets(self._connection, group)
        for place, offset in offsets.items():
            if stands.get(place) != offset:
                text = f"{group} stands at {stands.get(place)} of {place[0]}/{place[1]}, not at {offset}"
                raise Fenced(f"{text}: another member of the group has taken it over")

    def save(self, group: str, offsets: Mapping[Place, int], positions: Sequence[Position] = ()) -> None:
        """Of several positions of one key the highest is written."""
        rows = [(group, topic, partition, offset) for (topic, partition), offset in offsets.items()]
        insert_many(self._connection, "mainstem_offset", rows, _OFFSETS)
        highest: dict[str, int] = {}
        for position in positions:
            if position.version > highest.get(position.key, 0):
                highest[position.key] = position.version
        reached = [(group, key, version) for key, version in highest.items()]
        insert_many(self._connection, "mainstem_position", reached, _POSITIONS)

    def park(self, group: str, keys: Mapping[str, str], since: Mapping[str, int]) -> None:
        """A row for each key."""
        sql = f"INSERT INTO mainstem_parked (name, key, reason, since) VALUES (?, ?, ?, ?) ON CONFLICT {_EARLIEST}"
        self._connection.executemany(sql, [(group, key, reason, since[key]) for key, reason in keys.items()])

    def release(self, group: str, key: str) -> None:
        """Nothing where it is not parked."""
        self._connection.execute("DELETE FROM mainstem_parked WHERE name = ? AND key = ?", (group, key))

    def hold(self, group: str) -> Mapping[Place, int]:
        """Nobody else writes meanwhile."""
        return _offsets(self._connection, group)

    def mark(self, group: str, made_by: str) -> None:
        """In the place of what was kept."""
        self._connection.execute("INSERT OR REPLACE INTO mainstem_made (name, made_by) VALUES (?, ?)", (group, made_by))

    def swap(self, live: Table[R], built: Table[R], group: str, keep: Table[R] | None = None) -> None:
        """Tables are renamed in the transaction."""
        exchange(self._connection, live, built, group, keep)


class _Picture:
    """On a connection that is in a reading transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """By primary key."""
        return _get(self._connection, table, keys)

    def scan(self, table: Table[R]) -> Iterator[R]:
        """By a cursor of its own."""
        order = f"SELECT {_names(table)} FROM {quoted(table.name)} ORDER BY {quoted(*table.key)}"
        for row in self._connection.execute(order):
            yield table.from_values(row)

    def offsets(self, group: str) -> Mapping[Place, int]:
        """By topic and partition."""
        return _offsets(self._connection, group)


def _offsets(connection: apsw.Connection, group: str) -> dict[Place, int]:
    rows: Any = connection.execute("SELECT topic, partition, offset FROM mainstem_offset WHERE name = ?", (group,))
    return {(topic, partition): offset for topic, partition, offset in rows}


def _get(connection: apsw.Connection, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
    found: dict[tuple[Any, ...], R] = {}
    one = f"({', '.join('?' * len(table.key))})"
    for start in range(0, len(keys), _KEYS_MAX):
        chunk = keys[start : start + _KEYS_MAX]
        sql = (
            f"SELECT {_names(table)} FROM {quoted(table.name)} WHERE ({quoted(*table.key)})"
            f" IN (VALUES {', '.join([one] * len(chunk))})"
        )
        for row in connection.execute(sql, [value for key in chunk for value in key]):
            typed = table.from_values(row)
            found[table.key_of(typed)] = typed
    return found


def _statement_of(table: Table[Any], asked: Question, *, descending: bool) -> tuple[str, list[Any]]:
    """The statement, and what is bound before its limit."""
    conditions = [f"{quoted(name)} IS ?" for name, _ in asked.where]
    values = [value for _, value in asked.where]
    if asked.after is not None:
        marks = ", ".join("?" * len(asked.order))
        conditions.append(f"({quoted(*asked.order)}) {'<' if descending else '>'} ({marks})")
        values.extend(asked.after)
    direction = " DESC" if descending else ""
    sql = f"SELECT {_names(table)} FROM {quoted(table.name)}"
    if conditions:
        sql += f" WHERE {' AND '.join(conditions)}"
    sql += f" ORDER BY {', '.join(quoted(name) + direction for name in asked.order)} LIMIT ?"
    return sql, values


def _names(table: Table[Any]) -> str:
    return quoted(*(column.name for column in table.columns))
