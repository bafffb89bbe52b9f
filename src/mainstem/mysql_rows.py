"""Rows of declared tables in MySQL: many to a statement, in pages, by their keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from pymysql.connections import Connection
from pymysql.converters import escape_string
from pymysql.cursors import Cursor

from mainstem.mysql import Row, ask, quoted
from mainstem.table import Table

R = TypeVar("R", bound=Struct)

_STATEMENT_MAX_CHARS = 1_000_000
_PAGE = 1_000
_KEYS_MAX = 500


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bool: lambda value: "1" if value else "0",
    int: str,
    str: lambda value: f"'{escape_string(value)}'",
    bytes: lambda value: f"X'{value.hex()}'",
}
"""What most values are, in the driver's own form: its way there costs more than the text.

Backslashes escape, since every session's `sql_mode` is set, and leaves them to.
"""


def literal(cursor: "Cursor", value: Any) -> str:
    """A value as it stands in a statement."""
    write = _WRITERS.get(type(value))
    return str(cursor.mogrify("%s", (value,))) if write is None else write(value)


def insert_many(connection: "Connection[Any]", into: str, rows: Sequence[Row], conflict: str = "") -> int:
    """Insert rows of equal width in their order, many to a statement; the number of rows the server counts.

    `conflict` is what follows the rows: `ON DUPLICATE KEY UPDATE` counts 0 for a row that it leaves and 2 for one that
    it changes. No statement is longer than about a million characters, unless one row is.
    """
    if not rows:
        return 0
    begin = f"INSERT INTO {into} VALUES "
    counted, gathered, size = 0, list[str](), 0
    with connection.cursor() as cursor:
        for row in rows:
            text = f"({', '.join([literal(cursor, value) for value in row])})"
            gathered.append(text)
            size += len(text)
            if size > _STATEMENT_MAX_CHARS:
                counted += int(cursor.execute(begin + ", ".join(gathered) + conflict))
                gathered, size = [], 0
        if gathered:
            counted += int(cursor.execute(begin + ", ".join(gathered) + conflict))
    return counted


def replacing(columns: Sequence[str], instead: str = "") -> str:
    """What follows the rows of `insert_many` to replace these columns where the key stands; `instead` for none."""
    changes = ", ".join(f"{quoted(name)} = mainstem_new.{quoted(name)}" for name in columns)
    return f" AS mainstem_new ON DUPLICATE KEY UPDATE {changes or instead}"


def markers(count: int, width: int = 1) -> str:
    """What stands for that many values, or rows of them, in parentheses."""
    one = "%s" if width == 1 else f"({', '.join(['%s'] * width)})"
    return f"({', '.join([one] * count)})"


def behind(names: Sequence[str], after: Sequence[Any], descending: bool = False) -> tuple[str, list[Any]]:
    """The condition for rows behind these values in the order of these columns, in the form that uses an index."""
    than = "<" if descending else ">"
    parts, values = list[str](), list[Any]()
    for number, name in enumerate(names):
        same = "".join(f"{quoted(before)} = %s AND " for before in names[:number])
        parts.append(f"({same}{quoted(name)} {than} %s)")
        values += after[: number + 1]
    return f"({' OR '.join(parts)})", values


def in_key_order(connection: "Connection[Any]", table: Table[R]) -> Iterator[R]:
    """All rows, page by page: one picture where the connection is a `picture`."""
    first = f"SELECT {column_names(table)} FROM {quoted(table.name)}"
    order = f" ORDER BY {quoted(*table.key)} LIMIT {_PAGE}"
    rows = [table.from_values(row) for row in ask(connection, first + order)]
    while rows:
        yield from rows
        if len(rows) < _PAGE:
            return
        condition, values = behind(table.key, table.key_of(rows[-1]))
        rows = [table.from_values(row) for row in ask(connection, f"{first} WHERE {condition}{order}", values)]


def by_keys(
    connection: "Connection[Any]", table: Table[R], keys: Sequence[tuple[Any, ...]], lock: str = ""
) -> dict[tuple[Any, ...], R]:
    """The rows under those keys; `lock` is what follows the SELECT."""
    found: dict[tuple[Any, ...], R] = {}
    for start in range(0, len(keys), _KEYS_MAX):
        chunk = keys[start : start + _KEYS_MAX]
        sql = (
            f"SELECT {column_names(table)} FROM {quoted(table.name)} WHERE ({quoted(*table.key)})"
            f" IN {markers(len(chunk), len(table.key))} ORDER BY {quoted(*table.key)}{lock}"
        )
        for row in ask(connection, sql, [value for key in chunk for value in key]):
            typed = table.from_values(row)
            found[table.key_of(typed)] = typed
    return found


def column_names(table: Table[Any]) -> str:
    """The table's columns as SQL lists them."""
    return quoted(*(column.name for column in table.columns))
