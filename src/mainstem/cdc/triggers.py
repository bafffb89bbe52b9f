"""The SQL of embedded capture: triggers that write each row change in the writer's own transaction.

They use only what old SQLite libraries know, since they run inside whatever client makes the change. A row's values are
kept as they are, in columns without a type, which SQLite leaves alone: nothing is encoded and nothing can be lost. The
columns `old_0, new_0, old_1, new_1...` hold any table's rows; a change names the shape that tells them apart.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

SCHEMA = """
CREATE TABLE IF NOT EXISTS mainstem_capture (file TEXT NOT NULL, tx INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS mainstem_shape (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, shape TEXT NOT NULL, current INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS mainstem_change (
    pos INTEGER PRIMARY KEY AUTOINCREMENT, tx INTEGER NOT NULL, ts_ms INTEGER NOT NULL,
    shape INTEGER NOT NULL, op TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS mainstem_replaced (name TEXT PRIMARY KEY);
"""

COLUMNS_MAX = 900
"""The most columns of a captured table: SQLite's own limit for a table is 2000, and a change holds each twice."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_NOW = "CAST((julianday('now') - 2440587.5) * 86400000 + 0.5 AS INTEGER)"
_FIXED = ("tx", "ts_ms", "shape", "op")
_WHEN = ("before", "insert", "update", "delete")


class Shape(Struct, frozen=True):
    """What a table was when changes of it were written: names with declared types, the primary key, outbox or not."""

    table: str
    types: dict[str, str]
    key: tuple[str, ...]
    outbox: bool = False


def usable(name: str) -> bool:
    """Whether a table or column name can be captured."""
    return _NAME.fullmatch(name) is not None


def widened(table: str, standing: int, width: int) -> Sequence[str]:
    """The statements that give a table of changes room for rows of `width` columns, where `standing` have it."""
    kinds = ("old", "new") if table == "mainstem_change" else ("old",)
    return [f"ALTER TABLE {table} ADD COLUMN {kind}_{n}" for n in range(standing, width) for kind in kinds]


PAGE = (
    "SELECT shape, max(pos) FROM (SELECT pos, shape FROM mainstem_change WHERE pos > ? ORDER BY pos LIMIT ?)"
    " GROUP BY shape ORDER BY shape"
)
"""The shapes of so many changes behind a position, each with the position of its last one."""


def reading(columns: Sequence[str]) -> str:
    """The question for the changes of one shape behind a position, up to another: only columns that it has."""
    return f"SELECT {', '.join(columns)} FROM mainstem_change WHERE pos > ? AND pos <= ? AND shape = ? ORDER BY pos"


def triggers(shape: Shape, number: int) -> Sequence[str]:
    """The statements that make the table's triggers, the older ones dropped first."""
    table = shape.table
    made = [f'DROP TRIGGER IF EXISTS "mainstem_{table}_{when}"' for when in _WHEN]
    if shape.outbox:
        refuse = f"SELECT RAISE(ABORT, 'rows of {table} are facts: they are never changed or removed')"
        made.append(_trigger(table, "insert", "AFTER INSERT", _change(shape, number, "'c'", new="NEW")))
        made.append(_trigger(table, "update", "BEFORE UPDATE", refuse))
        made.append(_trigger(table, "delete", "BEFORE DELETE", refuse))
        return made
    made.append(_trigger(table, "update", "AFTER UPDATE", _change(shape, number, "'u'", old="OLD", new="NEW")))
    made.append(_trigger(table, "delete", "AFTER DELETE", *_deleted(shape, number)))
    if shape.key:
        made.append(_trigger(table, "before", "BEFORE INSERT", *_remember(shape)))
        made.append(_trigger(table, "insert", "AFTER INSERT", *_inserted(shape, number)))
    else:
        made.append(_trigger(table, "insert", "AFTER INSERT", _change(shape, number, "'c'", new="NEW")))
    return made


def trigger_count(shape: Shape) -> int:
    """How many triggers the table has."""
    return sum(statement.startswith("CREATE") for statement in triggers(shape, 0))


def snapshot(shape: Shape, number: int) -> str:
    """The statement that captures the rows that stand."""
    return _change(shape, number, "'r'", new="t", rows=f', "{shape.table}" AS t')


def _trigger(table: str, name: str, when: str, *statements: str) -> str:
    body = " ".join(f"{statement};" for statement in statements)
    return f'CREATE TRIGGER "mainstem_{table}_{name}" {when} ON "{table}" FOR EACH ROW BEGIN {body} END'


def _change(shape: Shape, number: int, op: str, *, old: str = "", new: str = "", rows: str = "") -> str:
    width = len(shape.types)
    into, values = list(_FIXED), ["c.tx", _NOW, str(number), op]
    for kind, row in (("old", old), ("new", new)):
        if row:
            into += names(kind, width)
            values += names("old", width, f"{row}.") if row == "r" else [f'{row}."{name}"' for name in shape.types]
    return (
        f"INSERT INTO mainstem_change ({', '.join(into)}) SELECT {', '.join(values)} FROM mainstem_capture AS c{rows}"
    )


def names(kind: str, width: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{kind}_{number}" for number in range(width)]


def _remember(shape: Shape) -> tuple[str, str]:
    """INSERT OR REPLACE fires no delete trigger: the row that it would replace is put aside before."""
    same = " AND ".join(f't."{name}" = NEW."{name}"' for name in shape.key)
    into = ", ".join(("name", *names("old", len(shape.types))))
    values = ", ".join((f"'{shape.table}'", *(f't."{name}"' for name in shape.types)))
    remember = f'INSERT INTO mainstem_replaced ({into}) SELECT {values} FROM "{shape.table}" AS t WHERE {same}'
    return f"DELETE FROM mainstem_replaced WHERE name = '{shape.table}'", remember


def _deleted(shape: Shape, number: int) -> Sequence[str]:
    """With PRAGMA recursive_triggers a replaced row is deleted first: then nothing is put aside any more."""
    deleted = _change(shape, number, "'d'", old="OLD")
    return (deleted, f"DELETE FROM mainstem_replaced WHERE name = '{shape.table}'")


def _inserted(shape: Shape, number: int) -> tuple[str, str]:
    """What was put aside counts only under the key that was really inserted: a generated key is not known before."""
    columns = list(shape.types)
    same = "".join(f' AND r.old_{columns.index(name)} = NEW."{name}"' for name in shape.key)
    replaced = f" LEFT JOIN mainstem_replaced AS r ON r.name = '{shape.table}'{same}"
    op = "CASE WHEN r.name IS NULL THEN 'c' ELSE 'u' END"
    forget = f"DELETE FROM mainstem_replaced WHERE name = '{shape.table}'"
    return _change(shape, number, op, old="r", new="NEW", rows=replaced), forget
