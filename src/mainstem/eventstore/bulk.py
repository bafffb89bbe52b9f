"""Many rows to a statement: fewer statements than rows, and each row still held against what stood before it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import apsw

from mainstem.table import Table

_SIZES = (64, 16, 4, 1)


def insert_many(connection: apsw.Connection, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows of equal width, in their order, in as few statements as a few fixed sizes allow."""
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            part = rows[start : start + size]
            connection.execute(_insert(into, len(part[0]), size), [value for row in part for value in row])
            start += size


@cache
def _insert(into: str, width: int, size: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * size)}"


def put_view(table: Table[Any]) -> str:
    """The statements that make, for one connection, the view through which rows of a state table are put.

    A row of it is what to do (i, u, d), the old values and the new ones. An update or delete finds only the row that
    stands exactly as the old values, and an insert only a place that is free; where it does not, the statement aborts.
    """
    names = [column.name for column in table.columns]
    view, name = f"mainstem_put_{table.name}", table.name
    columns = ", ".join(("op", *(f"old_{n}" for n in names), *(f"new_{n}" for n in names)))
    nothing = ", ".join(["NULL"] * (1 + 2 * len(names)))
    same = " AND ".join(f"{n} IS NEW.old_{n}" for n in names)
    changes = ", ".join(f"{n} = NEW.new_{n}" for n in names)
    values = ", ".join(f"NEW.new_{n}" for n in names)
    insert = f"INSERT INTO {name} ({', '.join(names)}) VALUES ({values})"
    statements = [f"CREATE TEMP VIEW {view} ({columns}) AS SELECT {nothing}"]
    for op, change in (("i", insert), ("u", f"UPDATE {name} SET {changes} WHERE {same}"), ("d", _delete(name, same))):
        held = "SELECT RAISE(ABORT, 'not as it was left') WHERE changes() <> 1"
        trigger = f"CREATE TEMP TRIGGER {view}_{op} INSTEAD OF INSERT ON {view} WHEN NEW.op = '{op}'"
        statements.append(f"{trigger} BEGIN {change}; {held}; END")
    return "; ".join(statements)


def _delete(name: str, same: str) -> str:
    return f"DELETE FROM {name} WHERE {same}"
