"""How captured changes of one shape are read, and how they become a table's changes or an outbox's messages."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mainstem.cdc.envelope import RowImage
from mainstem.cdc.port import Captured, Outbox
from mainstem.cdc.triggers import Shape, names, reading
from mainstem.messages import Change, NewRecord, Source, Transaction, identity_of

Row = tuple[Any, ...]
Made = tuple[str, str, Change[Any]]
"""A topic, a key, and the change that goes there."""

_ENCODER = msgspec.json.Encoder()


class File(Struct, frozen=True):
    """What all changes of a file have in common."""

    name: str
    db: str
    file: str
    version: str


class Order(Struct):
    """How many changes a transaction has had, in all and by table."""

    name: str
    total: int = 0
    by_table: dict[str, int] = {}


class ChangeLayout:
    """Of a table whose changes go into the envelope.

    Its rows: position, transaction, time in milliseconds, shape, operation, the old values, the new ones.
    """

    def __init__(self, shape: Shape, captured: Captured, file: File) -> None:
        columns = list(shape.types)
        width = len(columns)
        self.table = captured.table
        self.reading = reading(["pos", "tx", "ts_ms", "shape", "op", *names("old", width), *names("new", width)])
        self._topic = captured.topic
        self._file = file
        self._image = RowImage(columns, list(shape.types.values()))
        self._old, self._new = slice(5, 5 + width), slice(5 + width, 5 + 2 * width)
        self._old_key = [5 + columns.index(name) for name in shape.key or columns]
        self._new_key = [width + number for number in self._old_key]
        self._keys = list(zip(self._old_key, self._new_key, strict=True))

    def changes(self, row: Row, transaction: Transaction) -> Sequence[Made]:
        """One; two of a row that has another key than before, where 1 and 1.0 are two keys."""
        op, image = row[4], self._image
        before = None if op in "cr" else image.row(*image.values(row[self._old]))
        after = None if op == "d" else image.row(*image.values(row[self._new]))
        if op == "u":
            for old, new in self._keys:
                if row[old] != row[new] or row[old].__class__ is not row[new].__class__:
                    gone = self._made(row, "d", before, None, transaction)
                    return (gone, self._made(row, "c", None, after, transaction))
        return (self._made(row, op, before, after, transaction),)

    def _made(self, row: Row, op: Any, before: Struct | None, after: Struct | None, transaction: Transaction) -> Made:
        file, ts_ms = self._file, row[2]
        source = Source(
            connector="sqlite",
            name=file.name,
            ts_ms=ts_ms,
            db=file.db,
            table=self.table,
            file=file.file,
            pos=row[0],
            row=1 if op == "c" and row[4] == "u" else 0,
            snapshot="true" if op == "r" else "false",
            version=file.version,
        )
        change = Change(op=op, before=before, after=after, source=source, ts_ms=ts_ms, transaction=transaction)
        return self._topic, _text(row, self._old_key if after is None else self._new_key), change


class OutboxLayout:
    """Of an outbox, whose rows are messages: position, payload, key, timestamp, the other columns."""

    def __init__(self, shape: Shape, captured: Captured, outbox: Outbox, file: File) -> None:
        self._topic = captured.topic
        self._file = file.file
        numbers = {name: number for number, name in enumerate(shape.types)}
        # a change may be older than a column, which it then does not have
        columns = [name for name in outbox.columns if name in numbers]
        asked = (outbox.payload, outbox.key, outbox.timestamp, *columns)
        self.reading = reading(["pos", *(f"new_{numbers[name]}" for name in asked)])
        self._image = RowImage([*columns, "payload"], [""] * len(columns))

    def records(self, rows: Sequence[Row]) -> list[NewRecord]:
        """Each row as its message."""
        image = self._image
        return [
            NewRecord(
                topic=self._topic,
                key=str(key),
                value=_ENCODER.encode(image.row(*image.values(content), msgspec.Raw(payload.encode()))),
                timestamp_ms=int(timestamp_ms),
                identity=identity_of(self._file, pos),
            )
            for pos, payload, key, timestamp_ms, *content in rows
        ]


def records_of(made: Sequence[Made]) -> list[NewRecord]:
    """Of changes in order: they are encoded in one call, which takes half as long as one for each."""
    values = _ENCODER.encode_lines([change for _, _, change in made]).split(b"\n")  # JSON's texts escape theirs
    return [
        NewRecord(topic=topic, key=key, value=value, timestamp_ms=change.ts_ms, identity=change.source.identity)
        for (topic, key, change), value in zip(made, values, strict=False)
    ]


def _text(row: Row, key: Sequence[int]) -> str:
    """The key's value as text; of several, or of a blob, the JSON array."""
    found = row[key[0]]
    if len(key) == 1 and found.__class__ is not bytes:
        return str(found)
    return _ENCODER.encode([row[number] for number in key]).decode()
