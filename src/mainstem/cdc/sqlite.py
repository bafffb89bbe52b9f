"""Embedded capture: the changes of any SQLite client, written by triggers in that client's own transaction."""

import secrets
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw
import msgspec

from mainstem.cdc.envelope import RowImage, untagged
from mainstem.cdc.port import Captured, CapturedBatch, Outbox
from mainstem.cdc.triggers import SCHEMA, Columns, snapshot, triggers, usable
from mainstem.errors import ConfigurationError
from mainstem.messages import Change, NewRecord, Source, Transaction
from mainstem.sqlite import connect, mapped_errors, transaction

MARK_TRANSACTION = "UPDATE mainstem_capture SET tx = tx + 1"
"""Run first and last in a transaction, it makes the transaction one in the changes' metadata.

SQLite tells a trigger nothing of its transaction, so changes of other clients are told apart by their time only.
"""

_OTHER_CLIENT_S = 0.05
_RELEASE_CHUNK = 5_000
_READ = "SELECT pos, tx, ts_ms, name, op, old, new FROM mainstem_change WHERE pos > ? ORDER BY pos LIMIT ?"
_JSON = msgspec.json.Decoder()


class SqliteCapture:
    """Captures tables of one file, which may be mainstem's own or somebody else's."""

    def __init__(self, path: Path, name: str, tables: Sequence[Captured]) -> None:
        self._path = path
        self._name = name
        self._tables = {captured.table: captured for captured in tables}
        self._columns: dict[str, Columns] = {}
        self._images: dict[str, RowImage] = {}
        self._file = ""
        self._version = version("mainstem")
        self._schema = -1
        self._order: tuple[str, int, dict[str, int]] = ("", 0, {})
        self._using = threading.RLock()
        self._connection = connect(path)
        self._changed = threading.Condition()
        self._count = 0
        self._closed = False

    def install(self) -> None:
        """In one transaction: tables, triggers, and the rows that stand, for each table that is new to the capture."""
        with self._using, transaction(self._connection, self._path):
            execute = self._connection.execute
            execute(SCHEMA)
            execute(
                "INSERT INTO mainstem_capture SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM mainstem_capture)",
                (secrets.token_hex(4),),
            )
            self._file = str(self._ask("SELECT file FROM mainstem_capture")[0][0])
            for table, captured in self._tables.items():
                self._install(table, captured)
            self._schema = int(self._ask("PRAGMA schema_version")[0][0])

    def _install(self, table: str, captured: Captured) -> None:
        columns = self._columns_of(table)
        self._columns[table], self._images[table] = columns, RowImage(columns)
        text = repr((columns.types, columns.key, captured.outbox is not None))
        stands = self._ask("SELECT columns FROM mainstem_captured WHERE name = ?", (table,))
        if stands and stands[0][0] == text:
            return
        for statement in triggers(table, columns, outbox=captured.outbox is not None):
            self._connection.execute(statement)
        if not stands:
            self._connection.execute(snapshot(table, columns))
        self._connection.execute("INSERT OR REPLACE INTO mainstem_captured VALUES (?, ?)", (table, text))

    def _columns_of(self, table: str) -> Columns:
        rows = self._ask(f'PRAGMA table_info("{table}")') if usable(table) else []
        if not rows:
            raise ConfigurationError(f"there is no table {table!r} to capture in {self._path.name}")
        unusable = [row[1] for row in rows if not usable(row[1])]
        if unusable:
            raise ConfigurationError(f"columns of {table} have names that cannot be captured: {unusable}")
        key = tuple(row[1] for row in sorted(rows, key=lambda row: row[5]) if row[5])
        return Columns({row[1]: row[2] for row in rows}, key)

    def read(self, after: int, limit: int) -> CapturedBatch:
        """The changes behind a position; an altered table is noticed first."""
        with self._using, mapped_errors(self._path):
            if int(self._ask("PRAGMA schema_version")[0][0]) != self._schema:
                self.install()
            rows = self._ask(_READ, (after, limit))
        records = [record for row in rows for record in self._records(row)]
        return CapturedBatch(records, rows[-1][0] if rows else after)

    def _records(self, row: tuple[Any, ...]) -> list[NewRecord]:
        pos, tx, ts_ms, table, op, old, new = row
        captured = self._tables.get(table)
        if captured is None:
            return []
        before = None if old is None else _JSON.decode(old)
        after = None if new is None else _JSON.decode(new)
        source = Source(
            connector="sqlite",
            name=self._name,
            ts_ms=ts_ms,
            db=self._path.stem,
            table=table,
            file=self._file,
            pos=pos,
            snapshot="true" if op == "r" else "false",
            version=self._version,
        )
        if captured.outbox is not None:
            return [_outbox_record(captured, captured.outbox, source, after)]
        placed = self._placed(tx, ts_ms, table)
        parts = [(op, before, after)]
        if op == "u" and self._key(table, before) != self._key(table, after):
            parts = [("d", before, None), ("c", None, after)]
        return [
            self._record(captured, part, msgspec.structs.replace(source, row=number), placed)
            for number, part in enumerate(parts)
        ]

    def _record(self, captured: Captured, part: Any, source: Source, placed: Transaction) -> NewRecord:
        op, before, after = part
        image = self._images[captured.table]
        change: Change[Any] = Change(
            op=op,
            before=image.of(before),
            after=image.of(after),
            source=source,
            ts_ms=source.ts_ms,
            transaction=placed,
        )
        return NewRecord(
            topic=captured.topic,
            key=self._key(captured.table, before if after is None else after),
            value=msgspec.json.encode(change),
            timestamp_ms=source.ts_ms,
            identity=source.identity,
        )

    def _key(self, table: str, tagged: Any) -> str:
        names = self._columns[table].key or tuple(self._columns[table].types)
        values = [untagged(tagged[name]) for name in names]
        if len(values) == 1 and not isinstance(values[0], bytes):
            return str(values[0])
        return msgspec.json.encode(values).decode()

    def _placed(self, tx: int, ts_ms: int, table: str) -> Transaction:
        name = f"{self._file}:{tx}" if tx % 2 else f"{self._file}:{tx}:{ts_ms}"
        last, total, by_table = self._order
        if name != last:
            total, by_table = 0, {}
        by_table[table] = by_table.get(table, 0) + 1
        self._order = (name, total + 1, by_table)
        return Transaction(id=name, total_order=total + 1, data_collection_order=by_table[table])

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

    def close(self) -> None:
        """Wakes whoever waits."""
        self._closed = True
        self.wake()
        with self._using:
            self._connection.close()

    def _ask(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        connection: apsw.Connection = self._connection
        return connection.execute(sql, values).fetchall()


def _outbox_record(captured: Captured, outbox: Outbox, source: Source, row: Any) -> NewRecord:
    content = {name: untagged(row[name]) for name in outbox.columns}
    content["payload"] = msgspec.Raw(untagged(row[outbox.payload]).encode())
    return NewRecord(
        topic=captured.topic,
        key=str(untagged(row[outbox.key])),
        value=msgspec.json.encode(content),
        timestamp_ms=int(row[outbox.timestamp]),
        identity=source.identity,
    )
