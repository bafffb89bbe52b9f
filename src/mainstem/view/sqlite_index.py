"""The indexes of declared tables in SQLite."""

from typing import Any

import apsw

from mainstem.table import Table, quoted
from mainstem.view.sqlite_words import keep_words


def index(connection: apsw.Connection, table: Table[Any]) -> None:
    """Make the declared indexes, and drop others: known by their columns, since renamed tables keep their names."""
    sql = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
    names: Any = connection.execute(sql, (table.name,)).fetchall()
    missing = set(table.indexes)
    for (name,) in names:
        columns = tuple(row[2] for row in connection.execute(f"PRAGMA index_info({quoted(name)})"))
        if columns in missing:
            missing.remove(columns)
        else:
            connection.execute(f"DROP INDEX {quoted(name)}")
    for columns in table.indexes:
        if columns in missing:
            name = _free(connection, f"{table.name}__{'__'.join(columns)}")
            connection.execute(f"CREATE INDEX {quoted(name)} ON {quoted(table.name)} ({quoted(*columns)})")
    keep_words(connection, table)


def _free(connection: apsw.Connection, wanted: str) -> str:
    """A name that no index has: one of a table that was replaced may have the one that is wanted."""
    sql, name, number = "SELECT 1 FROM sqlite_schema WHERE name = ?", wanted, 1
    while connection.execute(sql, (name,)).fetchone() is not None:
        number += 1
        name = f"{wanted}__{number}"
    return name
