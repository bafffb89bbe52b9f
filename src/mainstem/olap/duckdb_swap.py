"""Putting one datasource's table in the place of another in DuckDB, in the writer's transaction."""

from dataclasses import replace

import duckdb
import msgspec

from mainstem.olap.port import Datasource, declaration_of

_RENAMED = 'ALTER TABLE "{}" RENAME TO "{}"'


def exchange(cursor: duckdb.DuckDBPyConnection, datasource: Datasource, built: str, keep: str | None) -> None:
    """Both have come to the same offsets, which stay. What is replaced goes, or becomes `keep`, which nobody has."""
    live = datasource.name
    if keep is None:
        cursor.execute(f'DROP TABLE "{live}"')
        cursor.execute("DELETE FROM mainstem_rejected WHERE datasource = ?", [live])
    else:
        cursor.execute(_RENAMED.format(live, keep))
        stood = cursor.execute("SELECT declaration FROM mainstem_datasource WHERE name = ?", [live]).fetchall()
        declared = replace(msgspec.json.decode(stood[0][0], type=Datasource), name=keep)
        cursor.execute("INSERT INTO mainstem_datasource VALUES (?, ?)", [keep, declaration_of(declared)])
        copied = 'SELECT ?, topic, "partition", next FROM mainstem_offset WHERE datasource = ?'
        cursor.execute(f"INSERT INTO mainstem_offset {copied}", [keep, live])
        cursor.execute("UPDATE mainstem_rejected SET datasource = ? WHERE datasource = ?", [keep, live])
    cursor.execute(_RENAMED.format(built, live))
    declaration = declaration_of(datasource)
    cursor.execute("UPDATE mainstem_datasource SET declaration = ? WHERE name = ?", [declaration, live])
    cursor.execute("UPDATE mainstem_rejected SET datasource = ? WHERE datasource = ?", [live, built])
    forget(cursor, built)


def forget(cursor: duckdb.DuckDBPyConnection, name: str) -> None:
    """What is kept of a datasource whose table is not there any more."""
    cursor.execute("DELETE FROM mainstem_datasource WHERE name = ?", [name])
    for table in ("mainstem_offset", "mainstem_rejected"):
        cursor.execute(f"DELETE FROM {table} WHERE datasource = ?", [name])
