"""Full text of a view in SQLite: an FTS5 table beside the view's, which triggers keep in step.

Which one belongs to a table stands in its triggers' names, so a table that takes another's place brings its own along;
one that no trigger names is dropped. It holds the words alone, by the row's rowid, which nothing changes but VACUUM.
"""

from collections.abc import Sequence
from typing import Any

import apsw

from mainstem.errors import InvalidQuery
from mainstem.table import Table, quoted

_MARK = "__words"
_ADDED, _GONE, _CHANGED = "__added", "__gone", "__changed"


def keep_words(connection: apsw.Connection, table: Table[Any]) -> None:
    """Make the index of the table's words, or leave it, or drop it where none is declared any more."""
    standing = words_table(connection, table.name)
    if table.words is None and standing is not None:
        for kind in (_ADDED, _GONE, _CHANGED):
            connection.execute(f"DROP TRIGGER {quoted(standing + kind)}")
    elif table.words is not None and standing is None:
        _make(connection, table.name, table.words)
    drop_unused(connection)


def words_table(connection: apsw.Connection, name: str) -> str | None:
    """The FTS5 table that belongs to a table, if any."""
    sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? AND name LIKE ?"
    found: Any = connection.execute(sql, (name, f"%{_ADDED}")).fetchall()
    return next((text.removesuffix(_ADDED) for (text,) in found if _MARK in text), None)


def drop_unused(connection: apsw.Connection) -> None:
    """Those of tables that are gone."""
    sql = f"""
        SELECT name FROM sqlite_schema
        WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%' AND name LIKE '%{_MARK}%'
        AND name || '{_ADDED}' NOT IN (SELECT name FROM sqlite_schema WHERE type = 'trigger')
    """
    unused: Any = connection.execute(sql).fetchall()
    for (name,) in unused:
        connection.execute(f"DROP TABLE {quoted(name)}")


def matching(
    connection: apsw.Connection, table: Table[Any], whole: Sequence[str], begins: Sequence[str]
) -> tuple[str, str]:
    """FROM and WHERE of rows that have the words, and the words as they are bound.

    The index comes first, whatever the planner thinks of the order. Raises InvalidQuery where there is none.
    """
    name = words_table(connection, table.name)
    if name is None:
        raise InvalidQuery(f"the words of {table.name} are not indexed")
    words = quoted(name)
    joined = f"{words} CROSS JOIN {quoted(table.name)} ON {quoted(table.name)}.rowid = {words}.rowid"
    return f"FROM {joined} WHERE {words} MATCH ?", " AND ".join([*whole, *(f"{word}*" for word in begins)])


def _make(connection: apsw.Connection, table: str, column: str) -> None:
    name, number = f"{table}{_MARK}", 1
    while connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).fetchone():
        number += 1
        name = f"{table}{_MARK}_{number}"
    words, rows, text = quoted(name), quoted(table), quoted(column)
    remove = f"DELETE FROM {words} WHERE rowid = old.rowid;"
    add = f"INSERT INTO {words} (rowid, words) VALUES (new.rowid, new.{text});"
    connection.execute(
        f"""
        CREATE VIRTUAL TABLE {words} USING fts5(words, content='', contentless_delete=1, detail=none,
            tokenize='unicode61 remove_diacritics 0');
        CREATE TRIGGER {quoted(name + _ADDED)} AFTER INSERT ON {rows} BEGIN {add} END;
        CREATE TRIGGER {quoted(name + _GONE)} AFTER DELETE ON {rows} BEGIN {remove} END;
        CREATE TRIGGER {quoted(name + _CHANGED)} AFTER UPDATE OF {text} ON {rows} BEGIN {remove} {add} END;
        INSERT INTO {words} (rowid, words) SELECT rowid, {text} FROM {rows};
        """
    )
