"""The event store in one SQLite file: events, snapshots, state rows, kept answers and refused commands."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec
from msgspec import Struct

from mainstem.errors import StateDrift, VersionConflict
from mainstem.eventstore.chain import NOTHING, link, who_of
from mainstem.eventstore.port import (
    NONE_STANDING,
    KeptAnswer,
    KeptSnapshot,
    NewEvent,
    Refusal,
    Retried,
    Snapshot,
    StoredEvent,
    TaggedEvent,
    Wanted,
)
from mainstem.eventstore.putting import put_view
from mainstem.eventstore.refused import REFUSAL, RefusedCommands, refusal_row
from mainstem.eventstore.sqlite_tags import TAGS, SqliteTags, tagged_page
from mainstem.messages import Origin
from mainstem.sqlite import check_kind, connect, insert_many, mapped_errors, prepare, table_definition, transaction
from mainstem.table import Table, quoted

R = TypeVar("R", bound=Struct)

MIGRATIONS = (
    """
    CREATE TABLE event (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version > 0),
        type TEXT NOT NULL,
        payload TEXT NOT NULL,
        occurred_at_ms INTEGER NOT NULL,
        recorded_at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL,
        correlation_id TEXT,
        UNIQUE (stream, version)
    ) STRICT;
    CREATE TABLE snapshot (
        stream TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        occurred_at_ms INTEGER NOT NULL,
        fingerprint TEXT NOT NULL,
        state BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE kept_answer (
        key TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        answer BLOB NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX kept_answer_at ON kept_answer (at_ms);
    CREATE TABLE refused_command (
        id INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        command TEXT NOT NULL,
        content TEXT NOT NULL,
        reason TEXT NOT NULL,
        text TEXT NOT NULL,
        refused_at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL,
        correlation_id TEXT
    ) STRICT;
    CREATE INDEX refused_command_stream ON refused_command (stream, id);
    """,
    """
    DROP TABLE snapshot;
    CREATE TABLE snapshot (
        stream TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        version INTEGER NOT NULL,
        occurred_at_ms INTEGER NOT NULL,
        taken_at_ms INTEGER NOT NULL,
        state BLOB NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (stream, fingerprint)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX snapshot_fingerprint ON snapshot (fingerprint, taken_at_ms);
    """,
    "ALTER TABLE event ADD COLUMN schema_version INTEGER NOT NULL DEFAULT 1 CHECK (schema_version > 0)",
    """
    ALTER TABLE event ADD COLUMN causation_id TEXT;
    ALTER TABLE refused_command ADD COLUMN causation_id TEXT;
    """,
    """
    ALTER TABLE refused_command ADD COLUMN retry_of INTEGER;
    CREATE TABLE retried_refusal (
        id INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL
    ) STRICT;
    DROP INDEX refused_command_stream;
    CREATE INDEX refused_command_stream ON refused_command (stream, refused_at_ms);
    CREATE INDEX refused_command_reason ON refused_command (reason, refused_at_ms);
    CREATE INDEX refused_command_command ON refused_command (command, refused_at_ms);
    CREATE INDEX refused_command_actor ON refused_command (actor, refused_at_ms);
    CREATE INDEX refused_command_time ON refused_command (refused_at_ms);
    CREATE INDEX refused_command_retry ON refused_command (retry_of) WHERE retry_of IS NOT NULL;
    """,
    """
    ALTER TABLE event ADD COLUMN hash BLOB CHECK (length(hash) = 32);
    CREATE TABLE event_seal (
        number INTEGER PRIMARY KEY,
        first_position INTEGER NOT NULL,
        last_position INTEGER NOT NULL,
        sealed_to INTEGER NOT NULL,
        events INTEGER NOT NULL,
        root BLOB NOT NULL,
        previous BLOB NOT NULL,
        head BLOB NOT NULL,
        sealed_at_ms INTEGER NOT NULL,
        content BLOB NOT NULL
    ) STRICT;
    CREATE INDEX event_seal_last ON event_seal (last_position);
    """,
    TAGS,
)

_PLACE = "stream, version, type, payload, occurred_at_ms, recorded_at_ms, actor, correlation_id"
EVENT = f"{_PLACE}, schema_version, causation_id, hash"
_LATER = {"schema_version": (3, "1"), "causation_id": (4, "NULL"), "hash": (6, "NULL")}
"""Columns that were added later: from which schema on, and what stands for it before."""

_TAGGED_SINCE = MIGRATIONS.index(TAGS) + 1

_SNAPSHOT = "version, occurred_at_ms, fingerprint, taken_at_ms, state, digest"
_REPLACED = ", ".join(f"{n} = excluded.{n}" for n in ("version", "occurred_at_ms", "taken_at_ms", "state", "digest"))
_SINCE = {"causation_id": 4, "retry_of": 5}
"""The schema from which on a refusal has that column."""

_LAST = "SELECT version, hash FROM event WHERE stream = ? ORDER BY version DESC LIMIT 1"


_NEVER_MS = 2**62


class SqliteEventStore:
    """Events in one file. `mark` is a statement run first and last in each transaction, for a capture to tell it."""

    def __init__(
        self, path: Path, states: Sequence[Table[Any]] = (), *, clock_ms: Callable[[], int], mark: str = ""
    ) -> None:
        prepare(path, "events", MIGRATIONS)
        self._path = path
        self._clock_ms = clock_ms
        self._mark = mark
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._writer = connect(path)
        self._side = connect(path, durable=False)
        self._reader = connect(path, read_only=True)
        with transaction(self._writer, path):
            for table in states:
                self._writer.execute(table_definition(table))
                self._writer.execute(put_view(table))

    @property
    def turn(self) -> AbstractContextManager[Any]:
        """To be held while another connection of this process writes to the file."""
        return self._writing

    @contextmanager
    def transaction(self) -> Iterator["_Transaction"]:
        """The writer's transaction; a second thread waits for the first."""
        with self._writing, transaction(self._writer, self._path):
            if self._mark:
                self._writer.execute(self._mark)
            writing = _Transaction(self._writer, self._clock_ms())
            yield writing
            writing.flush()
            if self._mark:
                self._writer.execute(self._mark)

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
        """A page of one stream."""
        sql = f"SELECT {EVENT} FROM event WHERE stream = ? AND version > ? ORDER BY version LIMIT ?"
        with self._reading, mapped_errors(self._path):
            return [stored(row) for row in self._reader.execute(sql, (stream, after, limit))]

    def read_tagged(self, tag: str, after: int = 0, limit: int = 1000) -> Sequence[TaggedEvent]:
        """A page of one tag."""
        return tagged_page(self._ask, EVENT, tag, after, limit)

    def read_all(self, batch: int = 1000) -> Iterator[Sequence[StoredEvent]]:
        """All events in commit order, on a connection of their own, so that nobody waits for a slow reader."""
        connection = connect(self._path, read_only=True)
        try:
            with mapped_errors(self._path):
                cursor = connection.execute(f"SELECT {EVENT} FROM event ORDER BY position")
                while rows := [stored(row) for _, row in zip(range(batch), cursor, strict=False)]:
                    yield rows
        finally:
            connection.close()

    def states(self, table: Table[R]) -> Iterator[R]:
        """All rows of a state table, in key order."""
        connection = connect(self._path, read_only=True)
        names = quoted(*(column.name for column in table.columns))
        sql = f"SELECT {names} FROM {quoted(table.name)} ORDER BY {quoted(*table.key)}"
        try:
            with mapped_errors(self._path):
                for row in connection.execute(sql):
                    yield table.from_values(row)
        finally:
            connection.close()

    @property
    def refusals(self) -> RefusedCommands:
        """Each question is asked on a connection of its own, so that nobody waits for a count."""
        return RefusedCommands(self._ask)

    def _ask(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with closing(connect(self._path, read_only=True)) as connection, mapped_errors(self._path):
            return connection.execute(sql, values).fetchall()

    def forget_answers(self, before_ms: int, limit: int = 1000) -> int:
        """Drop the oldest kept answers."""
        sql = "DELETE FROM kept_answer WHERE key IN (SELECT key FROM kept_answer WHERE at_ms < ? LIMIT ?)"
        with self._writing, transaction(self._writer, self._path):
            self._writer.execute(sql, (before_ms, limit))
            return self._writer.changes()

    def keep_snapshots(self, snapshots: Sequence[tuple[str, Snapshot]]) -> None:
        """Not flushed to the disk: the log keeps the order, so that none is there without its events."""
        rows = [(stream, *msgspec.structs.astuple(snapshot)) for stream, snapshot in snapshots]
        with self._writing, transaction(self._side, self._path):
            insert_many(
                self._side, f"snapshot (stream, {_SNAPSHOT})", rows, f"(stream, fingerprint) DO UPDATE SET {_REPLACED}"
            )

    def kept_snapshots(self, stream: str | None = None) -> Iterator[KeptSnapshot]:
        """On a connection of its own."""
        connection = connect(self._path, read_only=True)
        sql = "SELECT stream, fingerprint, version, occurred_at_ms, taken_at_ms, length(state) FROM snapshot"
        where, values = ("", ()) if stream is None else (" WHERE stream = ?", (stream,))
        try:
            with mapped_errors(self._path):
                for row in connection.execute(f"{sql}{where} ORDER BY stream, fingerprint", values):
                    yield KeptSnapshot(*row)
        finally:
            connection.close()

    def drop_snapshots(self, *, keep: Collection[str] = (), before_ms: int | None = None, limit: int = 1000) -> int:
        """One fingerprint after another, each found by the index."""
        gone = 0
        with self._writing, transaction(self._side, self._path):
            for fingerprint in self._fingerprints():
                if fingerprint not in keep and gone < limit:
                    sql = (
                        "DELETE FROM snapshot WHERE (stream, fingerprint) IN (SELECT stream, fingerprint FROM snapshot"
                        " WHERE fingerprint = ? AND taken_at_ms < ? LIMIT ?)"
                    )
                    self._side.execute(sql, (fingerprint, _NEVER_MS if before_ms is None else before_ms, limit - gone))
                    gone += self._side.changes()
        return gone

    def _fingerprints(self) -> Iterator[str]:
        found: str | None = ""
        while found is not None:
            if found:
                yield found
            rows: list[Any] = self._side.execute(
                "SELECT min(fingerprint) FROM snapshot WHERE fingerprint > ?", (found,)
            ).fetchall()
            found = rows[0][0]

    def close(self) -> None:
        """Close all connections; the last one to close brings the write-ahead log home."""
        with self._writing, self._reading:
            self._reader.close()
            self._side.close()
            self._writer.close()


class SqliteEventReader:
    """The events of a file, read only: another process may be writing to it, and may be of an older release.

    Raises StoreUnavailable where there is no file, StoreCorrupt for another kind, ConfigurationError for one of a newer
    release.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path, read_only=True)
        with mapped_errors(path):
            schema = check_kind(self._connection, path, "events", len(MIGRATIONS))
        self._tagged = schema >= _TAGGED_SINCE
        later = (name if schema >= since else missing for name, (since, missing) in _LATER.items())
        self._columns = ", ".join((_PLACE, *later))
        self.refusals = RefusedCommands(self._ask, {name for name, since in _SINCE.items() if schema < since})

    def _ask(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with mapped_errors(self._path):
            return self._connection.execute(sql, values).fetchall()

    def count(self) -> int:
        """Events are never removed, so the last position tells."""
        with mapped_errors(self._path):
            rows: list[Any] = self._connection.execute("SELECT coalesce(max(position), 0) FROM event").fetchall()
        return int(rows[0][0])

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
        """A page of one stream."""
        sql = f"SELECT {self._columns} FROM event WHERE stream = ? AND version > ? ORDER BY version LIMIT ?"
        with mapped_errors(self._path):
            return [stored(row) for row in self._connection.execute(sql, (stream, after, limit))]

    def read_tagged(self, tag: str, after: int = 0, limit: int = 1000) -> Sequence[TaggedEvent]:
        """A page of one tag; an older release gave none."""
        return tagged_page(self._ask, EVENT, tag, after, limit) if self._tagged else ()

    def read_all(self, batch: int = 1000) -> Iterator[Sequence[StoredEvent]]:
        """By position, page by page: what is appended meanwhile is read too."""
        sql = f"SELECT {self._columns}, position FROM event WHERE position > ? ORDER BY position LIMIT ?"
        last: Any = 0
        with mapped_errors(self._path):
            while rows := self._connection.execute(sql, (last, batch)).fetchall():
                last = rows[-1][-1]
                yield [stored(row[:-1]) for row in rows]

    def close(self) -> None:
        """Closing twice is allowed."""
        self._connection.close()


class _Transaction:
    """One writer's transaction. Events and state rows are written at its end, many to a statement.

    A statement gives the interpreter to the other threads while it runs, and has to wait to get it back; so the fewer
    statements a batch of commands takes, the less it waits under load.
    """

    def __init__(self, connection: apsw.Connection, now_ms: int) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._now_ms = now_ms
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._events: list[tuple[Any, ...]] = []
        self._states: dict[str, tuple[Table[Any], list[tuple[Any, ...]]]] = {}
        self._tags = SqliteTags(connection)

    def expect(self, streams: Sequence[Wanted], keys: Sequence[str]) -> None:
        """Nobody else writes meanwhile, and reading is a call of this process: nothing is read before its time."""

    def load(self, stream: str, after: int) -> Sequence[StoredEvent] | None:
        """Reads from `after` itself on, so that a stream which never got there is not taken for one without news."""
        if self._events:
            self.flush()
        sql = f"SELECT {EVENT} FROM event WHERE stream = ? AND version >= ? ORDER BY version"
        rows = self._execute(sql, (stream, after)).fetchall()
        if after and (not rows or rows[0][1] != after):
            return None
        self._heads[stream] = _head(rows[-1][1], rows[-1][-1]) if rows else (0, NOTHING)
        return [stored(row) for row in (rows[1:] if after else rows)]

    def expect_tags(self, tags: Collection[str]) -> None:
        """Nobody else writes meanwhile."""

    def load_tagged(self, after: Mapping[str, int]) -> Sequence[TaggedEvent] | None:
        """Of this transaction too."""
        if self._events:
            self.flush()
        return self._tags.load(after, EVENT)

    def append(
        self,
        stream: str,
        expected: int,
        events: Sequence[NewEvent],
        *,
        occurred_at_ms: int,
        origin: Origin,
        standing: Mapping[str, int] = NONE_STANDING,
    ) -> None:
        """The version is that of this transaction, in which nobody else writes; the unique key holds it once more."""
        head = self._heads.get(stream)
        if head is None:
            rows: list[Any] = self._execute(_LAST, (stream,)).fetchall()
            head = _head(*rows[0]) if rows else (0, NOTHING)
        stands, last = head
        if stands != expected:
            raise VersionConflict(stream, expected, stands)
        if standing:
            self._tags.check(standing)
        recorded_at_ms = max(self._now_ms, occurred_at_ms)  # the transaction began before its events occurred
        times, who = (occurred_at_ms, recorded_at_ms), who_of(origin)
        for version, event in enumerate(events, expected + 1):
            fields = (stream, version, event.type, event.schema_version, event.payload, *times, *who)
            last = link(last, fields)
            values = (stream, version, event.type, event.payload.decode(), *times, *who[:2])
            self._events.append((*values, event.schema_version, origin.causation_id, last))
            if event.tags:
                self._tags.add(event.tags, stream, version)
        self._heads[stream] = (expected + len(events), last)

    def put_state(self, table: Table[Any], before: Struct | None, after: Struct | None) -> None:
        """Insert, update or delete; an update or delete holds only where the row stands exactly as in `before`."""
        nothing = (None,) * len(table.columns)
        old = nothing if before is None else table.values(before)
        new = nothing if after is None else table.values(after)
        if before is not None or after is not None:
            op = "i" if before is None else "d" if after is None else "u"
            self._states.setdefault(table.name, (table, []))[1].append((op, *old, *new))

    def flush(self) -> None:
        """Write what was gathered. Raises StateDrift where a state row does not stand as it was left."""
        events, self._events = self._events, []
        insert_many(self._connection, f"event ({EVENT})", events)
        self._tags.flush()
        states, self._states = self._states, {}
        for table, rows in states.values():
            try:
                insert_many(self._connection, f"mainstem_put_{table.name}", rows)
            except apsw.ConstraintError as error:
                text = f"{table.name} of {rows[0][1]}" if len(rows) == 1 else table.name
                raise StateDrift(f"a row of {text} was made, changed or removed by somebody else: {error}") from error

    def snapshot(self, stream: str, fingerprint: str) -> Snapshot | None:
        """By primary key."""
        sql = f"SELECT {_SNAPSHOT} FROM snapshot WHERE stream = ? AND fingerprint = ?"
        rows: list[Any] = self._execute(sql, (stream, fingerprint)).fetchall()
        return Snapshot(*rows[0]) if rows else None

    def kept_answer(self, key: str) -> KeptAnswer | None:
        """By primary key."""
        rows: list[Any] = self._execute("SELECT digest, answer FROM kept_answer WHERE key = ?", (key,)).fetchall()
        return KeptAnswer(*rows[0]) if rows else None

    def keep_answer(self, key: str, kept: KeptAnswer, at_ms: int) -> None:
        """A key that has an answer already is an error of the caller's."""
        self._execute("INSERT INTO kept_answer VALUES (?, ?, ?, ?)", (key, kept.digest, kept.answer, at_ms))

    def keep_refusal(self, refusal: Refusal) -> None:
        """Kept in order of the refusals."""
        self._execute(
            f"INSERT INTO refused_command ({REFUSAL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", refusal_row(refusal)
        )

    def retried(self, number: int) -> Retried | None:
        """By primary key."""
        sql = "SELECT version, at_ms, actor FROM retried_refusal WHERE id = ?"
        rows: list[Any] = self._execute(sql, (number,)).fetchall()
        return Retried(*rows[0]) if rows else None

    def keep_retried(self, number: int, retried: Retried) -> None:
        """A refusal that has one already is an error of the caller's."""
        values = (number, *msgspec.structs.astuple(retried))
        self._execute("INSERT INTO retried_refusal (id, version, at_ms, actor) VALUES (?, ?, ?, ?)", values)


def _head(version: Any, link: Any) -> tuple[int, bytes]:
    return int(version), NOTHING if link is None else bytes(link)


def stored(row: tuple[Any, ...]) -> StoredEvent:
    """The event of a row of its columns."""
    stream, version, type_, payload, *rest = row
    return StoredEvent(stream, version, type_, payload.encode(), *rest)
