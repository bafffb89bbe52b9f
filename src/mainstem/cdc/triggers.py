"""The SQL of embedded capture: triggers that write each row change in the writer's own transaction.

They use only what old SQLite libraries know, since they run inside whatever client makes the change. A value is kept as
tagged JSON, because JSON alone cannot tell SQLite's types: text is ``T...``, a blob ``X`` and hex, a real ``R`` and 17
digits; integers and NULL are themselves.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

SCHEMA = """
CREATE TABLE IF NOT EXISTS mainstem_capture (file TEXT NOT NULL, tx INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS mainstem_captured (name TEXT PRIMARY KEY, columns TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mainstem_change (
    pos INTEGER PRIMARY KEY AUTOINCREMENT, tx INTEGER NOT NULL, ts_ms INTEGER NOT NULL,
    name TEXT NOT NULL, op TEXT NOT NULL, old TEXT, new TEXT
);
CREATE TABLE IF NOT EXISTS mainstem_replaced (name TEXT PRIMARY KEY, old TEXT NOT NULL);
"""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_NOW = "CAST((julianday('now') - 2440587.5) * 86400000 + 0.5 AS INTEGER)"
_TX = "(SELECT tx FROM mainstem_capture)"


@dataclass(frozen=True)
class Columns:
    """A captured table's columns: names with their declared types, and the primary key's names in its order."""

    types: dict[str, str]
    key: tuple[str, ...]


def usable(name: str) -> bool:
    """Whether a table or column name can be captured."""
    return _NAME.fullmatch(name) is not None


def triggers(table: str, columns: Columns, *, outbox: bool) -> Sequence[str]:
    """The statements that make the table's triggers, the older ones dropped first."""
    made = [f'DROP TRIGGER IF EXISTS "mainstem_{table}_{when}"' for when in ("before", "insert", "update", "delete")]
    old, new = image("OLD", columns), image("NEW", columns)
    if outbox:
        refuse = f"SELECT RAISE(ABORT, 'rows of {table} are facts: they are never changed or removed')"
        made.append(_trigger(table, "insert", "AFTER INSERT", _change(table, "'c'", "NULL", new)))
        made.append(_trigger(table, "update", "BEFORE UPDATE", refuse))
        made.append(_trigger(table, "delete", "BEFORE DELETE", refuse))
        return made
    made.append(_trigger(table, "insert", "AFTER INSERT", *_inserted(table, new)))
    made.append(_trigger(table, "update", "AFTER UPDATE", _change(table, "'u'", old, new)))
    made.append(_trigger(table, "delete", "AFTER DELETE", _change(table, "'d'", old, "NULL")))
    if columns.key:
        made.append(_trigger(table, "before", "BEFORE INSERT", *_remember(table, columns)))
    return made


def snapshot(table: str, columns: Columns) -> str:
    """The statement that captures the rows that stand."""
    return (
        f"INSERT INTO mainstem_change (tx, ts_ms, name, op, old, new)"
        f" SELECT {_TX}, {_NOW}, '{table}', 'r', NULL, {image('t', columns)} FROM \"{table}\" AS t"
    )


def image(row: str, columns: Columns) -> str:
    """The expression of a row's tagged JSON."""
    pairs = [f"'{name}', {_tagged(row, name)}" for name in columns.types]
    return f"json_object({', '.join(pairs)})"


def _tagged(row: str, name: str) -> str:
    value = f'{row}."{name}"'
    return (
        f"CASE typeof({value}) WHEN 'text' THEN 'T' || {value} WHEN 'blob' THEN 'X' || hex({value})"
        f" WHEN 'real' THEN 'R' || printf('%!.17g', {value}) ELSE {value} END"
    )


def _trigger(table: str, name: str, when: str, *statements: str) -> str:
    body = " ".join(f"{statement};" for statement in statements)
    return f'CREATE TRIGGER "mainstem_{table}_{name}" {when} ON "{table}" FOR EACH ROW BEGIN {body} END'


def _change(table: str, op: str, old: str, new: str) -> str:
    values = f"{_TX}, {_NOW}, '{table}', {op}, {old}, {new}"
    return f"INSERT INTO mainstem_change (tx, ts_ms, name, op, old, new) VALUES ({values})"


def _remember(table: str, columns: Columns) -> tuple[str, str]:
    """INSERT OR REPLACE fires no delete trigger: the row that it would replace is put aside before."""
    same = " AND ".join(f't."{name}" = NEW."{name}"' for name in columns.key)
    remember = (
        f"INSERT INTO mainstem_replaced SELECT '{table}', {image('t', columns)} FROM \"{table}\" AS t WHERE {same}"
    )
    return f"DELETE FROM mainstem_replaced WHERE name = '{table}'", remember


def _inserted(table: str, new: str) -> tuple[str, str]:
    old = f"(SELECT old FROM mainstem_replaced WHERE name = '{table}')"
    op = f"CASE WHEN {old} IS NULL THEN 'c' ELSE 'u' END"
    return _change(table, op, old, new), f"DELETE FROM mainstem_replaced WHERE name = '{table}'"
