"""One writer's transaction on an event store in SQLite."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from mainstem.errors import CodecError, VersionConflict
from mainstem.eventstore.archive import Archive
from mainstem.eventstore.chain import NOTHING, chained
from mainstem.eventstore.port import (
    NONE_STANDING,
    KeptAnswer,
    NewEvent,
    Refusal,
    Retried,
    Snapshot,
    StoredEvent,
    TaggedEvent,
    Wanted,
)
from mainstem.eventstore.putting import drifted
from mainstem.eventstore.refused import REFUSAL, refusal_row
from mainstem.eventstore.sqlite_columns import stored
from mainstem.eventstore.sqlite_schema import EVENT, SNAPSHOT
from mainstem.eventstore.sqlite_tags import SqliteTags
from mainstem.messages import Origin
from mainstem.sqlite import insert_many
from mainstem.table import Table

_LAST = "SELECT version, hash FROM event WHERE stream = ? ORDER BY version DESC LIMIT 1"
_EXPECTED_MAX = 64
"""Streams to a question."""


class SqliteTransaction:
    """One writer's transaction. Events and state rows are written at its end, many to a statement.

    A statement gives the interpreter to the other threads while it runs, and has to wait to get it back; so the fewer
    statements a batch of commands takes, the less it waits under load.
    """

    def __init__(self, connection: apsw.Connection, now_ms: int, archive: Archive) -> None:
        self._connection = connection
        self._archive = archive
        self._execute = connection.execute
        self._now_ms = now_ms
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._expected: dict[str, tuple[int, bytes]] = {}
        self._events: list[tuple[Any, ...]] = []
        self._states: dict[str, tuple[Table[Any], list[tuple[Any, ...]]]] = {}
        self._tags = SqliteTags(connection, archive)

    def expect(self, streams: Sequence[Wanted], keys: Sequence[str]) -> None:  # noqa: ARG002 - each has a question
        """Nobody else writes meanwhile, so where remembered streams stand is read for many at a time."""
        remembered = [(wanted.stream, wanted.after) for wanted in streams if wanted.after]
        for start in range(0, len(remembered), _EXPECTED_MAX):
            part = remembered[start : start + _EXPECTED_MAX]
            values = [value for wanted in part for value in wanted]
            rows: list[Any] = self._execute(_standing(len(part)), values).fetchall()
            self._expected.update((stream, _head(version, link)) for stream, version, link in rows)

    def load(self, stream: str, after: int) -> Sequence[StoredEvent] | None:
        """Reads from `after` itself on, so that a stream which never got there is not taken for one without news."""
        if stream in self._heads:
            self.flush()
        elif after and (head := self._expected.get(stream)) is not None and head[0] == after:
            self._heads[stream] = head
            return []
        sql = f"SELECT {EVENT} FROM event WHERE stream = ? AND version >= ? ORDER BY version"
        events = [stored(row) for row in self._execute(sql, (stream, after)).fetchall()]
        events[:0] = self._archive.before(stream, max(after - 1, 0), events, None)
        if after and (not events or events[0].version != after):
            return None
        self._heads[stream] = _head(events[-1].version, events[-1].hash) if events else (0, NOTHING)
        return events[1:] if after else events

    def expect_tags(self, tags: Collection[str]) -> None:
        """Nobody else writes meanwhile."""

    def load_tagged(self, after: Mapping[str, int]) -> Sequence[TaggedEvent] | None:
        """Of this transaction too."""
        if self._tags.waits(after):
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
        times = (occurred_at_ms, recorded_at_ms)
        rows, last = chained(last, stream, expected, events, times, origin, self._tags.add)
        self._events.extend(rows)
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
        """Write what was gathered. Raises StateDrift where a state row does not stand as it was left.

        Raises CodecError for one without a value that its column must have.
        """
        events, self._events = self._events, []
        insert_many(self._connection, f"event ({EVENT})", events)
        self._tags.flush()
        states, self._states = self._states, {}
        for table, rows in states.values():
            try:
                insert_many(self._connection, f"mainstem_put_{table.name}", rows)
            except apsw.ConstraintError as error:
                if str(error).startswith("NOT NULL"):
                    raise CodecError(f"a row of {table.name} lacks a value: {error}") from error
                raise drifted(_named(table, rows), str(error)) from error

    def snapshot(self, stream: str, fingerprint: str) -> Snapshot | None:
        """By primary key."""
        sql = f"SELECT {SNAPSHOT} FROM snapshot WHERE stream = ? AND fingerprint = ?"
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


def _named(table: Table[Any], rows: Sequence[tuple[Any, ...]]) -> str:
    """The table, and of a single row its key: which of several it is SQLite does not say."""
    if len(rows) > 1:
        return table.name
    op, *values = rows[0]
    first = len(table.columns) if op == "i" else 0
    found = {column.name: values[number] for number, column in enumerate(table.columns, first)}
    return f"{table.name} of {' '.join(str(found[name]) for name in table.key)}"


@cache
def _standing(streams: int) -> str:
    """Every event of these streams from a version on; the last of a stream comes last."""
    wanted = ", ".join(["(?, ?)"] * streams)
    return (
        f"WITH wanted (name, reached) AS (VALUES {wanted}) SELECT stream, version, hash FROM wanted CROSS JOIN event"
        " ON stream = name AND version >= reached ORDER BY stream, version"
    )


def _head(version: Any, link: Any) -> tuple[int, bytes]:
    return int(version), NOTHING if link is None else bytes(link)
