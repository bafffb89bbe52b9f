"""The analytical store in one DuckDB file: a table for each datasource, and beside them the offsets that made them.

A batch is one transaction: its rows, the rejected records and the offsets become durable together, and the offsets move
only from where this owner believes them to be. So a record is in the table exactly once, whatever is delivered twice,
and whoever dies. The file can always be deleted: it is filled again from the log.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from mainstem.clock import wall_clock_ms
from mainstem.duckdb import INTERRUPT_AGAIN_S, DuckdbFile, append_arrow
from mainstem.duckdb_errors import query_error
from mainstem.errors import ConfigurationError, InvalidQuery, StoreBusy
from mainstem.messages import Record
from mainstem.olap import duckdb_rejected
from mainstem.olap.columns import LATE, Columns, misfit_table
from mainstem.olap.duckdb_keeping import Keeping
from mainstem.olap.duckdb_rollup import merge_facts
from mainstem.olap.duckdb_swap import exchange, forget
from mainstem.olap.port import Answer, Datasource, Place, Rejects, Rest, declaration_of
from mainstem.olap.statement import check_select

_SCHEMA_VERSION = 2
_SCHEMA = """
    CREATE TABLE mainstem_datasource (name VARCHAR PRIMARY KEY, declaration VARCHAR NOT NULL);
    CREATE TABLE mainstem_offset (
        datasource VARCHAR, topic VARCHAR, "partition" INTEGER, next BIGINT NOT NULL,
        PRIMARY KEY (datasource, topic, "partition")
    );
    CREATE TABLE mainstem_rejected (
        datasource VARCHAR NOT NULL, topic VARCHAR NOT NULL, "partition" INTEGER NOT NULL,
        "offset" BIGINT NOT NULL, reason VARCHAR NOT NULL
    );
"""
_CHECKED_MAX = 256
_TURN_S = 600.0
"""A swap that fills what is missing may take long."""


@dataclass
class _Feed:
    """A datasource as this process knows it; `next` is None while the store has to be asked."""

    columns: Columns
    keeping: Keeping
    next: dict[int, int] | None = field(default=None)


class DuckdbOlap:
    """Datasources in one file that this process owns. `threads` and `memory_limit_mb` bound what DuckDB takes.

    Facts that are no longer kept, by the time that `now_ms` tells, go while the datasource is fed.

    Timestamps come back as naive `datetime`s in UTC, decimals as `Decimal`. Raises StoreBusy where another process has
    the file, StoreCorrupt where it is damaged or foreign, StoreUnavailable, or ConfigurationError.
    """

    def __init__(
        self, path: Path, *, threads: int = 1, memory_limit_mb: int = 512, now_ms: Callable[[], int] = wall_clock_ms
    ) -> None:
        self._path = path
        self._now_ms = now_ms
        self._file = DuckdbFile(path, _SCHEMA, _SCHEMA_VERSION, threads=threads, memory_limit_mb=memory_limit_mb)
        self._feeds: dict[str, _Feed] = {}
        self._checked: set[str] = set()

    def create(self, datasource: Datasource) -> None:
        """The declaration is kept beside the table, so that another one is noticed."""
        feed = self._feed_of(datasource)
        with self._file.turn(_TURN_S):
            with self._file.writer() as cursor:
                self._declare(cursor, datasource, feed.columns)
            stood = self._feeds.get(datasource.name)
            self._feeds[datasource.name] = feed if stood is None else replace(feed, next=stood.next)

    def _declare(self, cursor: duckdb.DuckDBPyConnection, datasource: Datasource, columns: Columns) -> None:
        declaration = declaration_of(datasource)
        sql = "SELECT declaration FROM mainstem_datasource WHERE lower(name) = lower(?)"
        stands = cursor.execute(sql, [datasource.name]).fetchone()
        if stands is None:
            cursor.execute("INSERT INTO mainstem_datasource VALUES (?, ?)", [datasource.name, declaration])
            cursor.execute(f'CREATE TABLE "{datasource.name}" ({columns.definition})')
        elif stands[0] != declaration:
            raise ConfigurationError(
                f"datasource {datasource.name} stands as {stands[0]}, declared is {declaration}; while the application"
                f" is stopped, `mainstem rebuild {datasource.name}`; or give it another name"
            )

    def ingest(self, datasource: Datasource, records: Sequence[Record]) -> int:
        """How many facts were added: neither records that were there, nor rejected ones, nor those that are too old.

        In one transaction: 1. the rows, 2. some of those that are no longer kept go, 3. the rejected records, 4. the
        offsets. Raises StoreError.
        """
        with self._file.turn(_TURN_S):
            feed = self._feed(datasource)
            try:
                return self._ingest(datasource, feed, records)
            except BaseException:
                feed.next = None
                raise

    def _ingest(self, datasource: Datasource, feed: _Feed, records: Sequence[Record]) -> int:
        if feed.next is None:
            feed.next = {place[1]: offset for place, offset in self.offsets(datasource).items()}
        fresh, ahead = _beyond(datasource, feed.next, records)
        if not fresh:
            return 0
        rows, misfits = feed.columns.sort_out(fresh)
        rows = feed.keeping.young(rows)
        with self._file.writer() as cursor:
            if rows.num_rows and datasource.rollup is not None:
                merge_facts(cursor, datasource, datasource.rollup, rows)
            elif rows.num_rows:
                append_arrow(cursor, datasource.name, rows)
            clear_of = feed.keeping.clear(cursor)
            if misfits:
                append_arrow(cursor, "mainstem_rejected", misfit_table(datasource.name, misfits))
            self._advance(cursor, datasource, feed.next, ahead)
        feed.next.update(ahead)
        feed.keeping.cleared(clear_of)
        self._file.bound_wal()
        return int(rows.num_rows)

    def _advance(
        self,
        cursor: duckdb.DuckDBPyConnection,
        datasource: Datasource,
        before: Mapping[int, int],
        ahead: dict[int, int],
    ) -> None:
        for partition in ahead.keys() - before.keys():
            sql = "INSERT INTO mainstem_offset VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING"
            cursor.execute(sql, [datasource.name, datasource.topic, partition])
        # One UPDATE with CASE takes DuckDB half the time of one that joins the new offsets.
        case = " ".join(["WHEN ? THEN ?"] * len(ahead))
        stands = " OR ".join(['("partition" = ? AND next = ?)'] * len(ahead))
        sql = (
            f'UPDATE mainstem_offset SET next = CASE "partition" {case} END'
            f" WHERE datasource = ? AND topic = ? AND ({stands})"
        )
        values = [value for place in ahead.items() for value in place]
        unmoved = [value for partition in ahead for value in (partition, before.get(partition, 0))]
        moved = cursor.execute(sql, [*values, datasource.name, datasource.topic, *unmoved]).fetchone()
        if moved != (len(ahead),):
            raise StoreBusy(f"another owner has filled datasource {datasource.name} of {self._path.name} meanwhile")

    def offsets(self, datasource: Datasource) -> Mapping[Place, int]:
        """By topic and partition, the first offset that is not in the datasource."""
        self._feed(datasource)
        return self.reached(datasource.name)

    def reached(self, name: str) -> Mapping[Place, int]:
        """The same of one that need not be declared as it stands; empty where there is none."""
        sql = 'SELECT topic, "partition", next FROM mainstem_offset WHERE datasource = ?'
        with self._file.session() as cursor, self._file.mapped():
            rows = cursor.execute(sql, [name]).fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def declared(self, name: str) -> str | None:
        """The declaration that one stands by; None where there is none."""
        sql = "SELECT declaration FROM mainstem_datasource WHERE name = ?"
        with self._file.session() as cursor, self._file.mapped():
            row = cursor.execute(sql, [name]).fetchone()
        return None if row is None else str(row[0])

    def drop(self, name: str) -> None:
        """The table, and what is kept of it."""
        with self._file.turn(_TURN_S), self._file.writer() as cursor:
            cursor.execute(f'DROP TABLE IF EXISTS "{name}"')
            forget(cursor, name)
        self._feeds.pop(name, None)

    def swap(
        self, live: Datasource, built: Datasource, keep: str | None, rest: Rest, seen: Callable[[], None] = lambda: None
    ) -> None:
        """Nobody else writes meanwhile; the exchange is one transaction."""
        if keep is not None:
            self.drop(keep)
        with self._file.turn(_TURN_S):
            feed = self._feed(built)
            ends = self.reached(live.name)
            try:
                for records in rest(ends):
                    self._ingest(built, feed, records)
                if {place: offset for place, offset in self.reached(built.name).items() if offset} != {
                    place: offset for place, offset in ends.items() if offset
                }:
                    raise StoreBusy(f"{built.name} has not come to where {live.name} is")
                seen()
                with self._file.writer() as cursor:
                    exchange(cursor, live, built.name, keep)
            finally:
                feed.next = None
            self._feeds[live.name] = self._feed_of(live)
            self._feeds.pop(built.name, None)

    def rejected(self, datasource: Datasource) -> int:
        """The rows of `mainstem_rejected`, which has topic, partition, offset and reason of each."""
        return self._rejected(datasource, "%")

    def late(self, datasource: Datasource) -> int:
        """The rows of `mainstem_rejected` whose reason begins with `late:`."""
        return self._rejected(datasource, f"{LATE}%")

    def _rejected(self, datasource: Datasource, reason: str) -> int:
        self._feed(datasource)
        with self._file.session() as cursor, self._file.mapped():
            return duckdb_rejected.count(cursor, datasource.name, reason)

    def misfits(self, datasource: Datasource, beyond: int = 0) -> Rejects:
        """The rows of `mainstem_rejected` with another reason, in the order in which they came."""
        self._feed(datasource)
        with self._file.session() as cursor, self._file.mapped():
            return duckdb_rejected.misfits(cursor, datasource.name, beyond)

    def misfits_beside(self, built: str, live: str) -> Rejects:
        """By topic, partition and offset."""
        with self._file.session() as cursor, self._file.mapped():
            return duckdb_rejected.misfits_beside(cursor, built, live)

    def ask(
        self, sql: str, parameters: Sequence[Any] = (), *, row_limit: int = 10_000, timeout_s: float = 10.0
    ) -> Answer:
        """On a cursor of its own in a read-only transaction, from any thread; no SQL reaches files or the network."""
        if row_limit < 1 or timeout_s <= 0:
            raise InvalidQuery(f"a limit of {row_limit} rows and {timeout_s} s leaves nothing to answer")
        with self._file.session() as cursor, _time_limit(cursor, timeout_s) as expired:
            try:
                answer = self._answer(cursor, sql, parameters, row_limit)
            except (duckdb.Error, TypeError, ValueError, OverflowError, RuntimeError) as error:
                self._file.note(error)
                if expired.is_set():
                    raise InvalidQuery(f"the question took longer than {timeout_s} s") from error
                raise query_error(self._path, error) from error
        if len(answer.rows) > row_limit:
            raise InvalidQuery(f"the answer has more than {row_limit} rows")
        return answer

    def approx_quantile(self, column: str, percent: int, only: str) -> str:
        """By a t-digest; of doubles, since that of integers is rounded to one."""
        return quantile_sql(column, percent, only)

    def _answer(self, cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any], row_limit: int) -> Answer:
        if sql not in self._checked:
            check_select(cursor, sql)
            if len(self._checked) >= _CHECKED_MAX:
                self._checked.clear()
            self._checked.add(sql)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        cursor.execute(sql, list(parameters))
        columns = cursor.description or []
        for name, kind, *_ in columns:
            if "TIME ZONE" in str(kind):
                raise InvalidQuery(f"column {name} is a time with a zone: cast it to TIMESTAMP")
        return Answer(tuple(column[0] for column in columns), cursor.fetchmany(row_limit + 1))

    def close(self) -> None:
        """Let a batch finish, interrupt the questions, bring the write-ahead log home. Closing twice is allowed."""
        self._file.close()

    def _feed_of(self, datasource: Datasource) -> _Feed:
        return _Feed(Columns(datasource), Keeping(datasource, self._now_ms))

    def _feed(self, datasource: Datasource) -> _Feed:
        feed = self._feeds.get(datasource.name)
        if feed is None:
            raise ConfigurationError(f"datasource {datasource.name} has not been created")
        return feed


def quantile_sql(column: str, percent: int, only: str) -> str:
    """What `approx_quantile` of a store answers."""
    digest = f"approx_quantile(CAST({column} AS DOUBLE), {percent / 100}){only}"
    # The digest believes that its highest value is above zero, and tells one where all are below.
    return f"least(max({column}){only}, {digest})"


def _beyond(
    datasource: Datasource, stands: Mapping[int, int], records: Sequence[Record]
) -> tuple[list[Record], dict[int, int]]:
    ahead: dict[int, int] = {}
    fresh = []
    for record in records:
        partition = record.partition
        if record.topic != datasource.topic:
            raise ConfigurationError(f"a record of topic {record.topic} for datasource {datasource.name}")
        if record.offset >= (ahead[partition] if partition in ahead else stands.get(partition, 0)):
            fresh.append(record)
            ahead[partition] = record.offset + 1
    return fresh, ahead


@contextmanager
def _time_limit(cursor: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[threading.Event]:
    done, expired = threading.Event(), threading.Event()

    def watch() -> None:
        if done.wait(timeout_s):
            return
        expired.set()
        # An interrupt that comes between two statements is forgotten by the engine, so it is given until it is heard.
        while not done.wait(INTERRUPT_AGAIN_S):
            cursor.interrupt()

    watcher = threading.Thread(target=watch, name="olap-time-limit", daemon=True)
    watcher.start()
    try:
        yield expired
    finally:
        done.set()
        watcher.join()
