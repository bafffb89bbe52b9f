"""Embedded capture: the changes of any SQLite client, written by triggers in that client's own transaction."""

import secrets
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw
import msgspec

from mainstem.cdc.envelope import RowImage
from mainstem.cdc.port import Captured, CapturedBatch, Outbox
from mainstem.cdc.triggers import (
    COLUMNS_MAX,
    SCHEMA,
    Shape,
    reading,
    snapshot,
    trigger_count,
    triggers,
    usable,
    widened,
)
from mainstem.errors import ConfigurationError
from mainstem.messages import Change, NewRecord, Source, Transaction, identity_of
from mainstem.sqlite import connect, mapped_errors, transaction

MARK_TRANSACTION = "UPDATE mainstem_capture SET tx = tx + 1"
"""Run first and last in a transaction, it makes the transaction one in the changes' metadata.

SQLite tells a trigger nothing of its transaction, so changes of other clients are told apart by their time only.
"""

_OTHER_CLIENT_S = 0.05
_RELEASE_CHUNK = 5_000


class _Layout:
    """How the values of one shape's rows become a record's key and content."""

    def __init__(self, shape: Shape, captured: Captured) -> None:
        self.captured = captured
        self.width = len(shape.types)
        names = list(shape.types)
        self.image = RowImage(names, list(shape.types.values()))
        self._key = [names.index(name) for name in shape.key or names]
        outbox = captured.outbox
        self.outbox = None if outbox is None else _OutboxLayout(outbox, captured.topic, names)

    def key(self, values: Sequence[Any]) -> str:
        """The key's value as text; of several, or of a blob, the JSON array."""
        found = [values[number] for number in self._key]
        if len(found) == 1 and not isinstance(found[0], bytes):
            return str(found[0])
        return msgspec.json.encode(found).decode()

    def moved(self, before: Sequence[Any], after: Sequence[Any]) -> bool:
        """Whether a row has another key than before; 1 and 1.0 are two keys."""
        for number in self._key:
            old, new = before[number], after[number]
            if old != new or old.__class__ is not new.__class__:
                return True
        return False


class _OutboxLayout:
    """How the values of an outbox table's rows become the messages that they are."""

    def __init__(self, outbox: Outbox, topic: str, names: list[str]) -> None:
        self._topic = topic
        # a change may be older than a column, which it then does not have
        columns = [name for name in outbox.columns if name in names]
        self._columns = [names.index(name) for name in columns]
        self._image = RowImage([*columns, "payload"], [*([""] * len(columns)), msgspec.Raw])
        self._payload, self._key = names.index(outbox.payload), names.index(outbox.key)
        self._timestamp = names.index(outbox.timestamp)

    def record(self, values: Sequence[Any], identity: str) -> NewRecord:
        """The row as its message."""
        content = [values[number] for number in self._columns]
        content.append(msgspec.Raw(values[self._payload].encode()))
        return NewRecord(
            topic=self._topic,
            key=str(values[self._key]),
            value=msgspec.json.encode(self._image.of(content)),
            timestamp_ms=int(values[self._timestamp]),
            identity=identity,
        )


class SqliteCapture:
    """Captures tables of one file, which may be mainstem's own or somebody else's."""

    def __init__(self, path: Path, name: str, tables: Sequence[Captured]) -> None:
        self._path = path
        self._name = name
        self._db = path.stem
        self._tables = {captured.table: captured for captured in tables}
        self._layouts: dict[int, _Layout] = {}
        self._width = 0
        self._reading = ""
        self._file = ""
        self._version = version("mainstem")
        self._schema = -1
        self._order: tuple[str, int, dict[str, int]] = ("", 0, {})
        self._read_to = 0
        self._using = threading.RLock()
        self._connection = connect(path)
        self._changed = threading.Condition()
        self._closed = False

    @property
    def history(self) -> str:
        """What this file's history is known by, once it is installed; a backup that is put back keeps it."""
        return self._file

    def install(self) -> None:
        """In one transaction: tables, triggers, and the rows that stand, for each table that is new to the capture."""
        with self._using, transaction(self._connection, self._path):
            self._connection.execute(SCHEMA)
            self._ask(
                "INSERT INTO mainstem_capture SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM mainstem_capture)",
                (secrets.token_hex(4),),
            )
            self._file = str(self._ask("SELECT file FROM mainstem_capture")[0][0])
            shapes = [self._shape_of(captured) for captured in self._tables.values()]
            self._widen(max((len(shape.types) for shape in shapes), default=0))
            for shape in shapes:
                self._install(shape)
            self._learn()

    def _shape_of(self, captured: Captured) -> Shape:
        table = captured.table
        rows = self._ask(f'PRAGMA table_info("{table}")') if usable(table) else []
        if not rows:
            raise ConfigurationError(f"there is no table {table!r} to capture in {self._path.name}")
        if captured.outbox is not None:
            outbox = captured.outbox
            wanted = (outbox.key, outbox.payload, outbox.timestamp, *outbox.columns)
            missing = sorted(set(wanted) - {row[1] for row in rows})
            if missing:
                raise ConfigurationError(f"the outbox {table} has no columns {missing}")
        unusable = [row[1] for row in rows if not usable(row[1])]
        if unusable or len(rows) > COLUMNS_MAX:
            text = f"names that cannot be captured: {unusable}" if unusable else f"{len(rows)} columns"
            raise ConfigurationError(
                f"table {table} has {text}; letters, digits and '_', at most {COLUMNS_MAX} columns"
            )
        key = tuple(row[1] for row in sorted(rows, key=lambda row: row[5]) if row[5])
        return Shape(table, {row[1]: row[2] for row in rows}, key, captured.outbox is not None)

    def _widen(self, wanted: int) -> None:
        for table in ("mainstem_change", "mainstem_replaced"):
            columns = [row[1] for row in self._ask(f"PRAGMA table_info({table})")]
            standing = sum(name.startswith("old_") for name in columns)
            for statement in widened(table, standing, wanted):
                self._connection.execute(statement)
            self._width = max(standing, wanted)
        self._reading = reading(self._width)

    def _install(self, shape: Shape) -> None:
        text = msgspec.json.encode(shape).decode()
        stands = self._ask("SELECT shape FROM mainstem_shape WHERE name = ? AND current", (shape.table,))
        if stands and stands[0][0] == text and self._triggered(shape):
            return
        self._ask("UPDATE mainstem_shape SET current = 0 WHERE name = ?", (shape.table,))
        self._ask("INSERT INTO mainstem_shape (name, shape, current) VALUES (?, ?, 1)", (shape.table, text))
        number = self._connection.last_insert_rowid()
        for statement in triggers(shape, number):
            self._connection.execute(statement)
        if not stands:
            self._connection.execute(snapshot(shape, number))

    def _triggered(self, shape: Shape) -> bool:
        """Whether the triggers stand: a table that was dropped and made again has lost them."""
        sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? AND name GLOB 'mainstem_*'"
        return int(self._ask(sql, (shape.table,))[0][0]) == trigger_count(shape)

    def _learn(self) -> None:
        """Every shape that a change may have, of tables that are captured now."""
        self._layouts = {
            number: _Layout(msgspec.json.decode(shape, type=Shape), self._tables[name])
            for number, name, shape in self._ask("SELECT id, name, shape FROM mainstem_shape")
            if name in self._tables
        }
        self._schema = int(self._ask("PRAGMA schema_version")[0][0])

    def read(self, after: int, limit: int) -> CapturedBatch:
        """The changes behind a position; an altered table is noticed first."""
        with self._using, mapped_errors(self._path):
            if int(self._ask("PRAGMA schema_version")[0][0]) != self._schema:
                self.install()
            rows = self._ask(self._reading, (after, limit))
            if rows and after != self._read_to:
                self._order = self._counted(rows[0][1], rows[0][2], after)
        self._read_to = rows[-1][0] if rows else after
        records = [record for row in rows for record in self._records(row)]
        return CapturedBatch(records, rows[-1][0] if rows else after)

    def _records(self, row: tuple[Any, ...]) -> list[NewRecord]:
        pos, tx, ts_ms, shape, op = row[:5]
        layout = self._layouts.get(shape)
        if layout is None:
            return []
        old, new = row[5 : 5 + layout.width], row[5 + self._width : 5 + self._width + layout.width]
        if layout.outbox is not None:
            return [layout.outbox.record(new, identity_of(self._file, pos))]
        source = Source(
            connector="sqlite",
            name=self._name,
            ts_ms=ts_ms,
            db=self._db,
            table=layout.captured.table,
            file=self._file,
            pos=pos,
            snapshot="true" if op == "r" else "false",
            version=self._version,
        )
        before = old if op in "ud" else None
        after = None if op == "d" else new
        placed = self._placed(tx, ts_ms, layout.captured.table)
        if before is None or after is None or not layout.moved(before, after):
            return [self._record(layout, op, before, after, source, placed)]
        gone = self._record(layout, "d", before, None, source, placed)
        return [gone, self._record(layout, "c", None, after, msgspec.structs.replace(source, row=1), placed)]

    def _record(
        self,
        layout: _Layout,
        op: Any,
        before: Sequence[Any] | None,
        after: Sequence[Any] | None,
        source: Source,
        placed: Transaction,
    ) -> NewRecord:
        change: Change[Any] = Change(
            op=op,
            before=None if before is None else layout.image.of(before),
            after=None if after is None else layout.image.of(after),
            source=source,
            ts_ms=source.ts_ms,
            transaction=placed,
        )
        return NewRecord(
            topic=layout.captured.topic,
            key=layout.key((before if after is None else after) or ()),
            value=msgspec.json.encode(change),
            timestamp_ms=source.ts_ms,
            identity=source.identity,
        )

    def _placed(self, tx: int, ts_ms: int, table: str) -> Transaction:
        name = self._transaction(tx, ts_ms)
        last, total, by_table = self._order
        if name != last:
            total, by_table = 0, {}
        by_table[table] = by_table.get(table, 0) + 1
        self._order = (name, total + 1, by_table)
        return Transaction(id=name, total_order=total + 1, data_collection_order=by_table[table])

    def _counted(self, tx: int, ts_ms: int, after: int) -> tuple[str, int, dict[str, int]]:
        """The order within a transaction, for a reader that begins in the middle of it."""
        sql = (
            "SELECT name, count(*) FROM mainstem_change AS c JOIN mainstem_shape AS s ON s.id = c.shape"
            " WHERE pos <= ? AND tx = ? AND (tx % 2 OR ts_ms = ?) AND NOT s.shape ->> '$.outbox' GROUP BY name"
        )
        by_table = dict(self._ask(sql, (after, tx, ts_ms)))
        return self._transaction(tx, ts_ms), sum(by_table.values()), by_table

    def _transaction(self, tx: int, ts_ms: int) -> str:
        return f"{self._file}:{tx}" if tx % 2 else f"{self._file}:{tx}:{ts_ms}"

    def wait(self, after: int, timeout_s: float) -> bool:
        """Woken by this process; another's changes are looked for twenty times a second."""
        left_s = timeout_s
        while not self._closed:
            if self.lag(after):
                return True
            if left_s <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left_s, _OTHER_CLIENT_S))
            left_s -= _OTHER_CLIENT_S
        return False

    def wake(self) -> None:
        """Wake whoever waits."""
        with self._changed:
            self._changed.notify_all()

    def release(self, position: int) -> None:
        """Delete what is safe in the log."""
        with self._using, transaction(self._connection, self._path):
            oldest = "SELECT pos FROM mainstem_change WHERE pos <= ? ORDER BY pos LIMIT ?"
            sql = f"DELETE FROM mainstem_change WHERE pos IN ({oldest})"
            self._connection.execute(sql, (position, _RELEASE_CHUNK))

    def lag(self, after: int) -> int:
        """Positions are given without gaps, up to rollbacks."""
        with self._using, mapped_errors(self._path):
            if self._closed:
                return 0
            newest = self._ask("SELECT max(pos) FROM mainstem_change")[0][0]
        return 0 if newest is None else max(0, int(newest) - after)

    def oldest_ms(self, after: int) -> int | None:
        """By the position's index."""
        with self._using, mapped_errors(self._path):
            if self._closed:
                return None
            found = self._ask("SELECT ts_ms FROM mainstem_change WHERE pos > ? ORDER BY pos LIMIT 1", (after,))
        return int(found[0][0]) if found else None

    def bounds(self) -> tuple[int, int]:
        """Up to which position changes were released, and the last position that was given to one."""
        with self._using, mapped_errors(self._path):
            given = self._ask("SELECT seq FROM sqlite_sequence WHERE name = 'mainstem_change'")
            oldest = self._ask("SELECT min(pos) FROM mainstem_change")[0][0]
        last = int(given[0][0]) if given else 0
        return (last if oldest is None else int(oldest) - 1), last

    def close(self) -> None:
        """Wakes whoever waits."""
        self._closed = True
        self.wake()
        with self._using:
            self._connection.close()

    def _ask(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        connection: apsw.Connection = self._connection
        return connection.execute(sql, values).fetchall()
