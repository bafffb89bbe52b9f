"""Embedded capture: the changes of any SQLite client, written by triggers in that client's own transaction."""

import secrets
import threading
from collections.abc import Sequence
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw
import msgspec

from mainstem.cdc.layouts import ChangeLayout, File, Made, Order, OutboxLayout, Row, records_of
from mainstem.cdc.port import Captured, CapturedBatch
from mainstem.cdc.triggers import (
    COLUMNS_MAX,
    PAGE,
    SCHEMA,
    Shape,
    snapshot,
    trigger_count,
    triggers,
    usable,
    widened,
)
from mainstem.errors import ConfigurationError
from mainstem.messages import Transaction
from mainstem.sqlite import connect, mapped_errors, transaction

MARK_TRANSACTION = "UPDATE mainstem_capture SET tx = tx + 1"
"""Run first and last in a transaction, it makes the transaction one in the changes' metadata.

SQLite tells a trigger nothing of its transaction, so changes of other clients are told apart by their time only.
"""

_OTHER_CLIENT_S = 0.05
_RELEASE_CHUNK = 5_000
_POSITION = itemgetter(0)


class SqliteCapture:
    """Captures tables of one file, which may be mainstem's own or somebody else's."""

    def __init__(self, path: Path, name: str, tables: Sequence[Captured]) -> None:
        self._path = path
        self._name = name
        self._db = path.stem
        self._tables = {captured.table: captured for captured in tables}
        self._layouts: dict[int, ChangeLayout | OutboxLayout] = {}
        self._file = ""
        self._version = version("mainstem")
        self._schema = -1
        self._order: Order | None = None
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
        file = File(self._name, self._db, self._file, self._version)
        self._layouts = {
            number: self._layout(msgspec.json.decode(shape, type=Shape), self._tables[name], file)
            for number, name, shape in self._ask("SELECT id, name, shape FROM mainstem_shape")
            if name in self._tables
        }
        self._schema = int(self._ask("PRAGMA schema_version")[0][0])

    def _layout(self, shape: Shape, captured: Captured, file: File) -> ChangeLayout | OutboxLayout:
        if captured.outbox is None:
            return ChangeLayout(shape, captured, file)
        return OutboxLayout(shape, captured, captured.outbox, file)

    def read(self, after: int, limit: int) -> CapturedBatch:
        """The changes behind a position; an altered table is noticed first."""
        with self._using, mapped_errors(self._path):
            if int(self._ask("PRAGMA schema_version")[0][0]) != self._schema:
                self.install()
            page = self._ask(PAGE, (after, limit))
            last = max([reached for _, reached in page], default=after)
            messages, changes = self._rows([shape for shape, _ in page], after, last)
            if after != self._read_to:
                self._order = None
            if changes and self._order is None:
                self._order = self._counted(*changes[0][:3])
        self._read_to = last
        records = [record for layout, rows in messages for record in layout.records(rows)]
        return CapturedBatch(records + records_of([made for row in changes for made in self._made(row)]), last)

    def _rows(
        self, shapes: Sequence[int], after: int, last: int
    ) -> tuple[list[tuple[OutboxLayout, list[Row]]], list[Row]]:
        """Those of outboxes, and those of changes, in order. What stands up to a position stands for ever."""
        messages, changes = [], []
        for shape in shapes:
            layout = self._layouts.get(shape)
            if isinstance(layout, OutboxLayout):
                messages.append((layout, self._ask(layout.reading, (after, last, shape))))
            elif layout is not None:
                changes += self._ask(layout.reading, (after, last, shape))
        changes.sort(key=_POSITION)
        return messages, changes

    def _made(self, row: Row) -> Sequence[Made]:
        layout: ChangeLayout = self._layouts[row[3]]  # type: ignore[assignment]
        return layout.changes(row, self._placed(row[1], row[2], layout.table))

    def _placed(self, tx: int, ts_ms: int, table: str) -> Transaction:
        name, order = self._transaction(tx, ts_ms), self._order
        if order is None or name != order.name:
            order = self._order = Order(name)
        order.total += 1
        number = order.by_table[table] = order.by_table.get(table, 0) + 1
        return Transaction(id=name, total_order=order.total, data_collection_order=number)

    def _counted(self, before: int, tx: int, ts_ms: int) -> Order:
        """The order within a transaction, for a reader that begins in the middle of it."""
        sql = (
            "SELECT name, count(*) FROM mainstem_change AS c JOIN mainstem_shape AS s ON s.id = c.shape"
            " WHERE pos < ? AND tx = ? AND (tx % 2 OR ts_ms = ?) AND NOT s.shape ->> '$.outbox' GROUP BY name"
        )
        by_table = dict(self._ask(sql, (before, tx, ts_ms)))
        return Order(self._transaction(tx, ts_ms), sum(by_table.values()), by_table)

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
