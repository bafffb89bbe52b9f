"""The event store in one SQLite file: events, snapshots, state rows, kept answers and refused commands."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from mainstem.eventstore.archive import Archive, ArchivedEvent
from mainstem.eventstore.archived import merged
from mainstem.eventstore.holding import holding
from mainstem.eventstore.port import (
    KeptSnapshot,
    Snapshot,
    StoredEvent,
    TaggedEvent,
)
from mainstem.eventstore.putting import misfit, put_view
from mainstem.eventstore.refused import RefusedCommands
from mainstem.eventstore.sqlite_archive import fetched, folder_of
from mainstem.eventstore.sqlite_columns import stored
from mainstem.eventstore.sqlite_schema import (
    ARCHIVED_SINCE,
    EVENT,
    LATER,
    MIGRATIONS,
    PLACE,
    REFUSAL_SINCE,
    SNAPSHOT,
    TAGGED_SINCE,
)
from mainstem.eventstore.sqlite_tags import tagged_page
from mainstem.eventstore.sqlite_transaction import SqliteTransaction
from mainstem.eventstore.tenants import TenantStreams
from mainstem.sqlite import (
    check_kind,
    connect,
    differing,
    insert_many,
    mapped_errors,
    prepare,
    table_definition,
    transaction,
)
from mainstem.table import Table, quoted

R = TypeVar("R", bound=Struct)


_REPLACED = ", ".join(f"{n} = excluded.{n}" for n in ("version", "occurred_at_ms", "taken_at_ms", "state", "digest"))
_NEVER_MS = 2**62


class SqliteEventStore:
    """Events in one file. `mark` is a statement run first and last in each transaction, for a capture to tell it.

    Raises ConfigurationError where a table of `states` stands with other columns.
    """

    def __init__(
        self,
        path: Path,
        states: Sequence[Table[Any]] = (),
        *,
        clock_ms: Callable[[], int],
        mark: str = "",
        archive: Path | None = None,
    ) -> None:
        prepare(path, "events", MIGRATIONS)
        self._path = path
        self._folder = archive or folder_of(path)
        self._clock_ms = clock_ms
        self._mark = mark
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._writer = connect(path)
        self._side = connect(path, durable=False)
        self._reader = connect(path, read_only=True)
        self._archive = Archive(self._ask, self._folder)
        self._written = Archive(partial(fetched, self._writer), self._folder)
        try:
            with transaction(self._writer, path):
                for table in states:
                    self._make(table)
        except BaseException:
            self.close()
            raise

    def _make(self, table: Table[Any]) -> None:
        self._writer.execute(table_definition(table))
        if differs := differing(self._writer, table):
            raise misfit(table, *differs)
        self._writer.execute(put_view(table))

    @property
    def turn(self) -> AbstractContextManager[Any]:
        """To be held while another connection of this process writes to the file."""
        return self._writing

    @contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """The writer's transaction; a second thread waits for the first."""
        with self._writing, transaction(self._writer, self._path):
            if self._mark:
                self._writer.execute(self._mark)
            writing = SqliteTransaction(self._writer, self._clock_ms(), self._written)
            yield writing
            writing.flush()
            if self._mark:
                self._writer.execute(self._mark)

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
        """A page of one stream."""
        sql = f"SELECT {EVENT} FROM event WHERE stream = ? AND version > ? ORDER BY version LIMIT ?"
        with self._reading, mapped_errors(self._path):
            rows = [stored(row) for row in self._reader.execute(sql, (stream, after, limit))]
        before = self._archive.before(stream, after, rows, limit)
        return [*before, *rows][:limit] if before else rows

    def read_tagged(self, tag: str, after: int = 0, limit: int = 1000) -> Sequence[TaggedEvent]:
        """A page of one tag."""
        return tagged_page(self._ask, self._archive, EVENT, tag, after, limit)

    def read_all(self, batch: int = 1000) -> Iterator[Sequence[StoredEvent]]:
        """All events in commit order, on a connection of their own, so that nobody waits for a slow reader."""
        connection = connect(self._path, read_only=True)
        try:
            with mapped_errors(self._path):
                cursor = connection.execute(f"SELECT {EVENT}, position FROM event ORDER BY position")
                archive = Archive(partial(fetched, connection), self._folder)
                yield from merged(lambda _: _placed(list(islice(cursor, batch))), archive, batch)
        finally:
            connection.close()

    def states(self, table: Table[R]) -> Iterator[R]:
        """All rows of a state table, in key order."""
        connection = connect(self._path, read_only=True)
        name = quoted(table.name)
        # named with its table: SQLite takes a name in quotes that no column has for a text
        names = ", ".join(f"{name}.{quoted(column.name)}" for column in table.columns)
        keys = ", ".join(f"{name}.{quoted(each)}" for each in table.key)
        sql = f"SELECT {names} FROM {name} ORDER BY {keys}"
        try:
            with mapped_errors(self._path):
                for row in connection.execute(sql):
                    yield table.from_values(row)
        finally:
            connection.close()

    def make_anew(self, table: Table[Any], *, dry_run: bool = False) -> tuple[Sequence[str], Sequence[str]] | None:
        """In one transaction. Its triggers go with the old one: a capture makes them again when it is installed."""
        with self._writing, transaction(self._writer, self._path):
            differs = differing(self._writer, table)
            if differs and not dry_run:
                self._writer.execute(f"DROP TABLE {quoted(table.name)}")
                self._writer.execute(table_definition(table))
        return differs

    @property
    def refusals(self) -> RefusedCommands:
        """Each question is asked on a connection of its own, so that nobody waits for a count."""
        return RefusedCommands(self._ask)

    @property
    def tenants(self) -> TenantStreams:
        """In the same way."""
        return TenantStreams(self._ask)

    def _ask(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with closing(connect(self._path, read_only=True)) as connection, mapped_errors(self._path):
            return connection.execute(sql, values).fetchall()

    def holding(self, text: str) -> Mapping[str, int]:
        """On connections of its own."""
        return holding(self._ask, text)

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
                self._side, f"snapshot (stream, {SNAPSHOT})", rows, f"(stream, fingerprint) DO UPDATE SET {_REPLACED}"
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

    def __init__(self, path: Path, *, archive: Path | None = None) -> None:
        self._path = path
        self._connection = connect(path, read_only=True)
        with mapped_errors(path):
            schema = check_kind(self._connection, path, "events", len(MIGRATIONS))
        self._tagged = schema >= TAGGED_SINCE
        self._archive = Archive(self._ask, archive or folder_of(path)) if schema >= ARCHIVED_SINCE else None
        later = (name if schema >= since else missing for name, (since, missing) in LATER.items())
        self._columns = ", ".join((PLACE, *later))
        self.refusals = RefusedCommands(self._ask, {name for name, since in REFUSAL_SINCE.items() if schema < since})
        self.tenants = TenantStreams(self._ask)

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
            rows = [stored(row) for row in self._connection.execute(sql, (stream, after, limit))]
        before = () if self._archive is None else self._archive.before(stream, after, rows, limit)
        return [*before, *rows][:limit] if before else rows

    def read_tagged(self, tag: str, after: int = 0, limit: int = 1000) -> Sequence[TaggedEvent]:
        """A page of one tag; an older release gave none."""
        return tagged_page(self._ask, self._archive, self._columns, tag, after, limit) if self._tagged else ()

    def read_all(self, batch: int = 1000) -> Iterator[Sequence[StoredEvent]]:
        """By position, page by page: what is appended meanwhile is read too."""
        sql = f"SELECT {self._columns}, position FROM event WHERE position > ? ORDER BY position LIMIT ?"
        with mapped_errors(self._path):
            yield from merged(lambda after: _placed(self._ask(sql, (after, batch))), self._archive, batch)

    def close(self) -> None:
        """Closing twice is allowed."""
        self._connection.close()


def _placed(rows: Sequence[Any]) -> list[ArchivedEvent]:
    return [ArchivedEvent(row[-1], stored(row[:-1])) for row in rows]
