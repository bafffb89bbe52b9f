"""The event store in MySQL: events, snapshots, state rows, kept answers and refused commands of one database.

Several processes write at once. Each locks the last events of the streams that it is about to load, in the order of
the streams' names, so that writers of one stream take turns and none waits for another that waits for it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pymysql
from msgspec import Struct
from pymysql.constants import ER

from mainstem.errors import ConfigurationError, VersionConflict, WriteConflict
from mainstem.eventstore.archive import Archive, ArchivedEvent
from mainstem.eventstore.archived import merged
from mainstem.eventstore.holding import holding
from mainstem.eventstore.mysql_archive import ARCHIVE_TABLES, archive_of, marked
from mainstem.eventstore.mysql_columns import EVENT, LATER, PLACE, stored
from mainstem.eventstore.mysql_tags import TAG_TABLES, tagged_page
from mainstem.eventstore.mysql_transaction import SNAPSHOT, MysqlTransaction
from mainstem.eventstore.port import KeptSnapshot, Snapshot, StoredEvent, TaggedEvent
from mainstem.eventstore.putting import REPAIR
from mainstem.eventstore.refused import LATER as REFUSAL_LATER
from mainstem.eventstore.refused import Ask, RefusedCommands
from mainstem.eventstore.tenants import TenantStreams
from mainstem.mysql import MysqlServer, Pool, Row, Writer, ask, code_of, execute, picture, quoted
from mainstem.mysql_rows import in_key_order, insert_many, replacing
from mainstem.mysql_schema import create, definer, differing, migrate, one_at_a_time
from mainstem.table import Table

R = TypeVar("R", bound=Struct)

_READERS = 4
_PAGE = 1_000
_NEVER_MS = 2**62
_MIGRATIONS = (
    """
    CREATE TABLE IF NOT EXISTS event (
        position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        stream VARCHAR(255) NOT NULL,
        version BIGINT NOT NULL,
        type VARCHAR(255) NOT NULL,
        payload MEDIUMTEXT NOT NULL,
        occurred_at_ms BIGINT NOT NULL,
        recorded_at_ms BIGINT NOT NULL,
        actor VARCHAR(255) NOT NULL,
        correlation_id VARCHAR(255),
        CONSTRAINT event_stream UNIQUE (stream, version),
        CHECK (version > 0)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS snapshot (
        stream VARCHAR(255) NOT NULL PRIMARY KEY,
        version BIGINT NOT NULL,
        occurred_at_ms BIGINT NOT NULL,
        fingerprint VARCHAR(255) NOT NULL,
        state LONGBLOB NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS kept_answer (
        `key` VARCHAR(255) NOT NULL PRIMARY KEY,
        digest VARBINARY(255) NOT NULL,
        answer MEDIUMBLOB NOT NULL,
        at_ms BIGINT NOT NULL,
        INDEX kept_answer_at (at_ms)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS refused_command (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        stream VARCHAR(255) NOT NULL,
        command VARCHAR(255) NOT NULL,
        content MEDIUMTEXT NOT NULL,
        reason VARCHAR(255) NOT NULL,
        text TEXT NOT NULL,
        refused_at_ms BIGINT NOT NULL,
        actor VARCHAR(255) NOT NULL,
        correlation_id VARCHAR(255),
        INDEX refused_command_stream (stream, id)
    )
    """,
    "DROP TABLE IF EXISTS snapshot",
    """
    CREATE TABLE IF NOT EXISTS snapshot (
        stream VARCHAR(255) NOT NULL,
        fingerprint VARCHAR(255) NOT NULL,
        version BIGINT NOT NULL,
        occurred_at_ms BIGINT NOT NULL,
        taken_at_ms BIGINT NOT NULL DEFAULT 0,
        state LONGBLOB NOT NULL,
        digest VARBINARY(255) NOT NULL DEFAULT '',
        PRIMARY KEY (stream, fingerprint),
        INDEX snapshot_fingerprint (fingerprint, taken_at_ms)
    )
    """,
    "ALTER TABLE event ADD COLUMN schema_version INT NOT NULL DEFAULT 1",
    "ALTER TABLE event ADD COLUMN causation_id VARCHAR(255)",
    "ALTER TABLE refused_command ADD COLUMN causation_id VARCHAR(255)",
    """
    CREATE TABLE IF NOT EXISTS retried_refusal (
        id BIGINT NOT NULL PRIMARY KEY,
        version BIGINT NOT NULL,
        at_ms BIGINT NOT NULL,
        actor VARCHAR(255) NOT NULL
    )
    """,
    """
    ALTER TABLE refused_command ADD COLUMN retry_of BIGINT,
        DROP INDEX refused_command_stream,
        ADD INDEX refused_command_stream (stream, refused_at_ms),
        ADD INDEX refused_command_reason (reason, refused_at_ms),
        ADD INDEX refused_command_command (command, refused_at_ms),
        ADD INDEX refused_command_actor (actor, refused_at_ms),
        ADD INDEX refused_command_time (refused_at_ms),
        ADD INDEX refused_command_retry (retry_of)
    """,
    "ALTER TABLE event ADD COLUMN hash BINARY(32)",
    """
    CREATE TABLE IF NOT EXISTS event_seal (
        number BIGINT NOT NULL PRIMARY KEY,
        first_position BIGINT NOT NULL,
        last_position BIGINT NOT NULL,
        sealed_to BIGINT NOT NULL,
        events INT NOT NULL,
        root BINARY(32) NOT NULL,
        previous BINARY(32) NOT NULL,
        head BINARY(32) NOT NULL,
        sealed_at_ms BIGINT NOT NULL,
        content MEDIUMBLOB NOT NULL,
        INDEX event_seal_last (last_position)
    )
    """,
    *TAG_TABLES,
    *ARCHIVE_TABLES,
    "ALTER TABLE event ADD COLUMN tags TEXT",
)


class MysqlEventStore:
    """Events in one database. Raises StoreUnavailable where the server is away, and goes on when it is back.

    Raises ConfigurationError where a table of `states` stands with other columns.
    """

    def __init__(
        self,
        server: MysqlServer,
        states: Sequence[Table[Any]] = (),
        *,
        clock_ms: Callable[[], int],
        archive: Path | None = None,
    ) -> None:
        migrate(server, "events", _MIGRATIONS)
        self._server = server
        self._clock_ms = clock_ms
        self._writer = Writer(server, tables_stand=True)
        self._readers = Pool(server, _READERS)
        self._folder = archive
        self._archive = Archive(_asking(self._readers), archive)
        with self._readers.use() as connection:
            for table in states:
                create(connection, table, f"; {REPAIR}")

    @contextmanager
    def transaction(self) -> Iterator[MysqlTransaction]:
        """One of this process at a time; those of other processes meanwhile raise no refusal of their own here."""
        writing: MysqlTransaction | None = None
        try:
            with self._writer.transaction() as connection:
                writing = MysqlTransaction(connection, self._clock_ms(), archive_of(connection, self._folder))
                yield writing
                writing.flush()
        except Exception as error:
            duplicate = writing is not None and _is_duplicate(error)
            if writing is None or not duplicate:
                raise
            raise self._conflict(writing) from error

    def _conflict(self, writing: MysqlTransaction) -> WriteConflict:
        """Which stream has moved on; where none has, it was a key's answer."""
        for stream, expected in writing.appended.items():
            rows = self._readers.ask("SELECT coalesce(max(version), 0) FROM event WHERE stream = %s", (stream,))
            if rows[0][0] > expected:
                return VersionConflict(stream, expected, int(rows[0][0]))
        return WriteConflict("another process has written the same at the same time")

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
        """A page of one stream."""
        sql = f"SELECT {EVENT} FROM event WHERE stream = %s AND version > %s ORDER BY version LIMIT %s"
        rows = [stored(row) for row in self._readers.ask(sql, (stream, after, limit))]
        before = self._archive.before(stream, after, rows, limit)
        return [*before, *rows][:limit] if before else rows

    def read_tagged(self, tag: str, after: int = 0, limit: int = 1000) -> Sequence[TaggedEvent]:
        """A page of one tag."""
        return tagged_page(self._readers.ask, self._archive, EVENT, tag, after, limit)

    def read_all(self, batch: int = 1000) -> Iterator[Sequence[StoredEvent]]:
        """All events by position, on a connection of its own."""
        self._readers.check_open()
        sql = f"SELECT {EVENT}, position FROM event WHERE position > %s ORDER BY position LIMIT %s"
        with picture(self._server) as connection:
            yield from merged(
                lambda after: _placed(ask(connection, sql, (after, batch))), archive_of(connection, self._folder), batch
            )

    def waiting(self, after: int) -> tuple[int, int | None]:
        """How many events have a position behind that one, and when the first of them was recorded."""
        sql = "SELECT count(*), min(recorded_at_ms) FROM event WHERE position > %s"
        count, oldest_ms = self._readers.ask(sql, (after,))[0]
        return count, oldest_ms

    def states(self, table: Table[R]) -> Iterator[R]:
        """All rows of a state table, in key order."""
        self._readers.check_open()
        with picture(self._server) as connection:
            yield from in_key_order(connection, table)

    def make_anew(self, table: Table[Any], *, dry_run: bool = False) -> tuple[Sequence[str], Sequence[str]] | None:
        """In two statements, which MySQL commits one by one; a start makes the table that a crash leaves out."""
        with definer(self._server) as connection, one_at_a_time(connection, f"{self._server.database}.{table.name}"):
            differs = differing(connection, table)
            if differs and not dry_run:
                execute(connection, f"DROP TABLE {quoted(table.name)}")
                create(connection, table)
        return differs

    @property
    def refusals(self) -> RefusedCommands:
        """Asked on the readers' connections."""
        return RefusedCommands(_asking(self._readers))

    @property
    def tenants(self) -> TenantStreams:
        """Asked on the readers' connections."""
        return TenantStreams(_asking(self._readers))

    def holding(self, text: str) -> Mapping[str, int]:
        """Asked on the readers' connections."""
        return holding(_asking(self._readers), text)

    def forget_answers(self, before_ms: int, limit: int = 1000) -> int:
        """Drop the oldest kept answers."""
        with self._writer.transaction() as connection:
            return execute(
                connection, "DELETE FROM kept_answer WHERE at_ms < %s ORDER BY at_ms LIMIT %s", (before_ms, limit)
            )

    def keep_snapshots(self, snapshots: Sequence[tuple[str, Snapshot]]) -> None:
        """In the order of their keys, so that processes which keep the same do not wait for each other in a ring."""
        rows = sorted((stream, *msgspec.structs.astuple(snapshot)) for stream, snapshot in snapshots)
        with self._readers.use() as connection:
            insert_many(connection, f"snapshot (stream, {SNAPSHOT})", rows, replacing(SNAPSHOT.split(", ")))

    def kept_snapshots(self, stream: str | None = None) -> Iterator[KeptSnapshot]:
        """In pages, so that no call takes long."""
        columns = "stream, fingerprint, version, occurred_at_ms, taken_at_ms, length(state)"
        last, found = ("", ""), _PAGE
        of_one = "stream = %s AND " if stream is not None else ""
        sql = (
            f"SELECT {columns} FROM snapshot WHERE {of_one}(stream > %s OR (stream = %s AND fingerprint > %s))"
            f" ORDER BY stream, fingerprint LIMIT {_PAGE}"
        )
        while found == _PAGE:
            values = (*(() if stream is None else (stream,)), last[0], *last)
            rows = [KeptSnapshot(*row) for row in self._readers.ask(sql, values)]
            yield from rows
            found = len(rows)
            last = (rows[-1].stream, rows[-1].fingerprint) if rows else last

    def drop_snapshots(self, *, keep: Collection[str] = (), before_ms: int | None = None, limit: int = 1000) -> int:
        """One fingerprint after another, each found by the index."""
        gone, sql = 0, "DELETE FROM snapshot WHERE fingerprint = %s AND taken_at_ms < %s LIMIT %s"
        with self._readers.use() as connection:
            for (fingerprint,) in ask(connection, "SELECT DISTINCT fingerprint FROM snapshot"):
                if fingerprint not in keep and gone < limit:
                    before = _NEVER_MS if before_ms is None else before_ms
                    gone += execute(connection, sql, (fingerprint, before, limit - gone))
        return gone

    def close(self) -> None:
        """Waits for whoever is at work."""
        self._writer.close()
        self._readers.close()


class MysqlEventReader:
    """The events of a database, read only: it changes nothing, also where an older release is at work.

    Raises ConfigurationError where there are no events.
    """

    def __init__(self, server: MysqlServer, *, archive: Path | None = None) -> None:
        self._server = server
        self._readers = Pool(server, 1)
        self._folder = archive
        sql = (
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name IN"
            " ('event', 'event_tag', 'refused_command', 'archived_stream')"
        )
        columns = set(self._readers.ask(sql))
        if not columns:
            self._readers.close()
            raise ConfigurationError(f"{server}, database {server.database}, has no events")
        self._tagged = ("event_tag", "tag") in columns
        archived = ("archived_stream", "stream") in columns
        self._archive = Archive(_asking(self._readers), archive) if archived else None
        later = (name if ("event", name) in columns else missing for name, missing in LATER.items())
        self._columns = ", ".join((PLACE, *later))
        lacking = {name for name in REFUSAL_LATER if ("refused_command", name) not in columns}
        self.refusals = RefusedCommands(_asking(self._readers), lacking)
        self.tenants = TenantStreams(_asking(self._readers))

    def count(self) -> int:
        """By position, of which a few may be missing: a transaction that was taken back leaves its own unused."""
        return int(self._readers.ask("SELECT coalesce(max(position), 0) FROM event")[0][0])

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
        """A page of one stream."""
        sql = f"SELECT {self._columns} FROM event WHERE stream = %s AND version > %s ORDER BY version LIMIT %s"
        rows = [stored(row) for row in self._readers.ask(sql, (stream, after, limit))]
        before = () if self._archive is None else self._archive.before(stream, after, rows, limit)
        return [*before, *rows][:limit] if before else rows

    def read_tagged(self, tag: str, after: int = 0, limit: int = 1000) -> Sequence[TaggedEvent]:
        """A page of one tag; an older release gave none."""
        return tagged_page(self._readers.ask, self._archive, self._columns, tag, after, limit) if self._tagged else ()

    def read_all(self, batch: int = 1000) -> Iterator[Sequence[StoredEvent]]:
        """All events by position, as one picture."""
        sql = f"SELECT {self._columns}, position FROM event WHERE position > %s ORDER BY position LIMIT %s"
        with picture(self._server) as connection:
            yield from merged(
                lambda after: _placed(ask(connection, sql, (after, batch))),
                self._archive and archive_of(connection, self._folder),
                batch,
            )

    def close(self) -> None:
        """Closing twice is allowed."""
        self._readers.close()


def _placed(rows: Sequence[Row]) -> list[ArchivedEvent]:
    return [ArchivedEvent(row[-1], stored(row[:-1])) for row in rows]


def _asking(readers: Pool) -> Ask:
    return lambda sql, values: readers.ask(marked(sql), values)


def _is_duplicate(error: Exception) -> bool:
    return isinstance(error.__cause__, pymysql.IntegrityError) and code_of(error.__cause__) == ER.DUP_ENTRY
