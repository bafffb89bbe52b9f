"""Putting one table in the place of another in SQLite, in the writer's transaction; and the indexes of both."""

from typing import Any

import apsw

from mainstem.table import Table, quoted
from mainstem.view.sqlite_words import keep_words

KEPT = ("mainstem_offset", "mainstem_position", "mainstem_parked", "mainstem_made")
"""The tables that hold what is kept of a group, or of whatever its name is."""

_MOVED = ("mainstem_offset", "mainstem_parked", "mainstem_made")
_RAISED = """
    INSERT INTO mainstem_position (name, key, version)
    SELECT ?, key, version FROM mainstem_position WHERE name = ?
    ON CONFLICT (name, key) DO UPDATE SET version = excluded.version WHERE excluded.version > version
"""


def exchange(
    connection: apsw.Connection, live: Table[Any], built: Table[Any], group: str, keep: Table[Any] | None
) -> None:
    """As `ViewTransaction.swap` says."""
    if keep is not None:
        connection.execute(f"DROP TABLE IF EXISTS {quoted(keep.name)}")
        _forget(connection, keep.name)
    if keep is not None and _stands(connection, live.name):
        connection.execute(f"ALTER TABLE {quoted(live.name)} RENAME TO {quoted(keep.name)}")
        _move(connection, group, keep.name)
    else:
        connection.execute(f"DROP TABLE IF EXISTS {quoted(live.name)}")
        for table in _MOVED:
            connection.execute(f"DELETE FROM {table} WHERE name = ?", (group,))
    connection.execute(f"ALTER TABLE {quoted(built.name)} RENAME TO {quoted(live.name)}")
    _move(connection, built.name, group)
    connection.execute(_RAISED, (group, built.name))
    _forget(connection, built.name)
    index(connection, live)


def _move(connection: apsw.Connection, name: str, to: str) -> None:
    for table in _MOVED:
        connection.execute(f"UPDATE {table} SET name = ? WHERE name = ?", (to, name))


def _forget(connection: apsw.Connection, name: str) -> None:
    for table in KEPT:
        connection.execute(f"DELETE FROM {table} WHERE name = ?", (name,))


def _stands(connection: apsw.Connection, name: str) -> bool:
    sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
    return connection.execute(sql, (name,)).fetchone() is not None


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
