"""One writer's transaction in MySQL: what is expected is read at a time, what is written goes many to a statement."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from pymysql.connections import Connection

from mainstem.errors import VersionConflict
from mainstem.eventstore.archive import Archive
from mainstem.eventstore.chain import NOTHING, chained
from mainstem.eventstore.mysql_columns import EVENT, stored
from mainstem.eventstore.mysql_tags import MysqlTags
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
from mainstem.messages import Origin
from mainstem.mysql import Row, ask, execute, quoted
from mainstem.mysql_rows import by_keys, insert_many, markers, replacing
from mainstem.table import Table

SNAPSHOT = "version, occurred_at_ms, fingerprint, taken_at_ms, state, digest"
_STREAMS_MAX = 200
_COLUMNS = {
    "event": EVENT,
    "refused_command": REFUSAL,
    "kept_answer": "`key`, digest, answer, at_ms",
    "retried_refusal": "id, version, at_ms, actor",
}


class MysqlTransaction:
    """On the writer's connection. `appended` names the streams appended to, with the version each was expected at."""

    def __init__(self, connection: "Connection[Any]", now_ms: int, archive: Archive) -> None:
        self._connection = connection
        self._archive = archive
        self._now_ms = now_ms
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._ahead: dict[str, tuple[int, list[StoredEvent] | None, bytes]] = {}
        self._snapshots: dict[tuple[str, str], Snapshot | None] = {}
        self._answers: dict[str, KeptAnswer | None] = {}
        self._retried: dict[int, Retried] = {}
        self._rows: dict[str, list[Row]] = {name: [] for name in _COLUMNS}
        self._states: dict[str, tuple[Table[Any], list[tuple[Struct | None, Struct | None]]]] = {}
        self._tags = MysqlTags(connection, archive)
        self.appended: dict[str, int] = {}

    def expect(self, streams: Sequence[Wanted], keys: Sequence[str]) -> None:
        """Locks and reads the streams before the kept answers: so a key's answer of another process is seen."""
        for start in range(0, len(streams), _STREAMS_MAX):
            self._read_ahead(streams[start : start + _STREAMS_MAX])
        if keys:
            sql = f"SELECT `key`, digest, answer FROM kept_answer WHERE `key` IN {markers(len(keys))}"
            self._answers = dict.fromkeys(keys)
            self._answers.update({key: KeptAnswer(*kept) for key, *kept in ask(self._connection, sql, keys)})

    def _read_ahead(self, streams: Sequence[Wanted]) -> None:
        self._read_snapshots(
            [(each.stream, each.fingerprint) for each in streams if not each.after and each.fingerprint]
        )
        afters = {wanted.stream: self._begin(wanted) for wanted in streams}
        found: dict[str, list[StoredEvent]] = {stream: [] for stream in afters}
        for row in self._locked(list(afters.items())):
            found[row[0]].append(stored(row))
        for stream, after in afters.items():
            events = found[stream]
            events[:0] = self._archive.before(stream, max(after - 1, 0), events, None)
            known = not after or bool(events and events[0].version == after)
            last = (events[-1].hash if events else None) or NOTHING
            self._ahead[stream] = (after, (events[1:] if after else events) if known else None, last)

    def _read_snapshots(self, places: Sequence[tuple[str, str]]) -> None:
        if not places:
            return
        sql = f"SELECT stream, {SNAPSHOT} FROM snapshot WHERE (stream, fingerprint) IN {markers(len(places), 2)}"
        self._snapshots.update(dict.fromkeys(places))
        for stream, *values in ask(self._connection, sql, [word for place in places for word in place]):
            snapshot = Snapshot(*values)
            self._snapshots[stream, snapshot.fingerprint] = snapshot

    def _begin(self, wanted: Wanted) -> int:
        """Where loading begins."""
        snapshot = None if wanted.after else self._snapshots.get((wanted.stream, wanted.fingerprint))
        return wanted.after if snapshot is None else snapshot.version

    def _locked(self, afters: Sequence[tuple[str, int]]) -> Sequence[Row]:
        """The events from those versions on, locked until the end, whose last ones others have to wait for.

        Rows are locked as the index is read, so in the order of streams.
        """
        ranges = " OR ".join(["stream = %s AND version >= %s"] * len(afters))
        sql = f"SELECT {EVENT} FROM event FORCE INDEX (event_stream) WHERE {ranges} ORDER BY stream, version FOR UPDATE"
        return ask(self._connection, sql, [value for pair in afters for value in pair])

    def load(self, stream: str, after: int) -> Sequence[StoredEvent] | None:
        """What was expected is there already; anything else is read, and locked, now."""
        ahead = self._ahead.pop(stream, None)
        if ahead is None or ahead[0] != after:
            self.flush()
            self._read_ahead([Wanted(stream, after, "")])
            ahead = self._ahead.pop(stream)
        events = ahead[1]
        if events is None:
            return None
        self._heads[stream] = (events[-1].version if events else after, ahead[2])
        return events

    def expect_tags(self, tags: Collection[str]) -> None:
        """Locks them, behind the streams: so nobody who holds a tag waits for a stream."""
        self._tags.lock(tags)

    def load_tagged(self, after: Mapping[str, int]) -> Sequence[TaggedEvent] | None:
        """Of this transaction too."""
        if self._rows["event"]:
            self.flush()
        return self._tags.load(after)

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
        """The version is that of the locked stream; of a stream without events the unique key decides."""
        if stream not in self._heads:
            sql = "SELECT version, hash FROM event WHERE stream = %s ORDER BY version DESC LIMIT 1 FOR UPDATE"
            rows = ask(self._connection, sql, (stream,))
            self._heads[stream] = (int(rows[0][0]), rows[0][1] or NOTHING) if rows else (0, NOTHING)
        stands, last = self._heads[stream]
        if stands != expected:
            raise VersionConflict(stream, expected, stands)
        if standing:
            self._tags.check(standing)
        recorded_at_ms = max(self._now_ms, occurred_at_ms)  # the transaction began before its events occurred
        times = (occurred_at_ms, recorded_at_ms)
        rows, last = chained(last, stream, expected, events, times, origin, self._tags.add)
        self._rows["event"].extend(rows)
        self.appended.setdefault(stream, expected)
        self._heads[stream] = (expected + len(events), last)
        self._ahead.pop(stream, None)

    def snapshot(self, stream: str, fingerprint: str) -> Snapshot | None:
        """By primary key."""
        if (stream, fingerprint) not in self._snapshots:
            self._read_snapshots([(stream, fingerprint)])
        return self._snapshots[stream, fingerprint]

    def put_state(self, table: Table[Any], before: Struct | None, after: Struct | None) -> None:
        """Gathered until the end."""
        if before is not None or after is not None:
            self._states.setdefault(table.name, (table, []))[1].append((before, after))

    def kept_answer(self, key: str) -> KeptAnswer | None:
        """By primary key."""
        if key not in self._answers:
            rows = ask(self._connection, "SELECT digest, answer FROM kept_answer WHERE `key` = %s", (key,))
            self._answers[key] = KeptAnswer(*rows[0]) if rows else None
        return self._answers[key]

    def keep_answer(self, key: str, kept: KeptAnswer, at_ms: int) -> None:
        """Gathered until the end; a key that another process has answered meanwhile is a WriteConflict."""
        self._rows["kept_answer"].append((key, kept.digest, kept.answer, at_ms))
        self._answers[key] = kept

    def keep_refusal(self, refusal: Refusal) -> None:
        """Kept in order of the refusals."""
        self._rows["refused_command"].append(refusal_row(refusal))

    def retried(self, number: int) -> Retried | None:
        """Of this transaction too."""
        if number in self._retried:
            return self._retried[number]
        sql = "SELECT version, at_ms, actor FROM retried_refusal WHERE id = %s"
        rows = ask(self._connection, sql, (number,))
        return Retried(*rows[0]) if rows else None

    def keep_retried(self, number: int, retried: Retried) -> None:
        """Gathered until the end; one that another process has retried meanwhile is a WriteConflict."""
        self._rows["retried_refusal"].append((number, *msgspec.structs.astuple(retried)))
        self._retried[number] = retried

    def flush(self) -> None:
        """Write what was gathered. Raises StateDrift where a state row does not stand as it was left."""
        gathered, self._rows = self._rows, {name: [] for name in _COLUMNS}
        for name, rows in gathered.items():
            insert_many(self._connection, f"{name} ({_COLUMNS[name]})", rows)
        self._tags.flush()
        states, self._states = self._states, {}
        for table, changes in states.values():
            _put(self._connection, table, changes)


def _put(
    connection: "Connection[Any]", table: Table[Any], changes: Sequence[tuple[Struct | None, Struct | None]]
) -> None:
    """Each change holds only where the row stands as the one before has left it; each is a row change of its own.

    Rows are compared here while they are locked, since a statement for each row would cost as much as all the rest.
    """
    keyed = [tuple(None if row is None else table.key_of(row) for row in change) for change in changes]
    keys = {key: None for pair in keyed for key in pair if key is not None}
    stands = by_keys(connection, table, list(keys), " FOR UPDATE")
    writing = _StateWriter(connection, table)
    for (before, after), (old, new) in zip(changes, keyed, strict=True):
        if (old and stands.get(old) != before) or (new and new != old and new in stands):
            raise drifted(f"{table.name} of {' '.join(map(str, old or new or ()))}")
        if old and old != new:
            writing.delete(old)
            del stands[old]
        if after is not None and new:
            writing.write(new in stands, table.values(after))
            stands[new] = after
    writing.flush()


class _StateWriter:
    """Rows in their order, those of one kind beside each other in one statement."""

    def __init__(self, connection: "Connection[Any]", table: Table[Any]) -> None:
        self._connection = connection
        self._table = table
        self._names = [column.name for column in table.columns]
        self._replacing = False
        self._rows: list[Row] = []

    def write(self, replacing: bool, values: Row) -> None:
        if replacing != self._replacing:
            self.flush()
            self._replacing = replacing
        self._rows.append(values)

    def delete(self, key: Row) -> None:
        self.flush()
        condition = " AND ".join(f"{quoted(name)} = %s" for name in self._table.key)
        execute(self._connection, f"DELETE FROM {quoted(self._table.name)} WHERE {condition}", key)

    def flush(self) -> None:
        """A row that replaces is locked and so still there; a new one must not be there, which INSERT alone holds."""
        rows, self._rows = self._rows, []
        into = f"{quoted(self._table.name)} ({quoted(*self._names)})"
        insert_many(self._connection, into, rows, replacing(self._names) if self._replacing else "")
