"""What a datasource in DuckDB has turned away, of the rows of `mainstem_rejected`."""

from collections.abc import Sequence
from typing import Any

import duckdb

from mainstem.olap.columns import LATE
from mainstem.olap.port import Rejects

_PLACE = """concat(topic, '/', "partition", ' at offset ', "offset", ': ', reason)"""
_MISFITS = f"FROM mainstem_rejected r WHERE datasource = ? AND NOT starts_with(reason, '{LATE}')"
_NOT_OF = """
    AND NOT EXISTS (
        FROM mainstem_rejected o
        WHERE o.datasource = ? AND o.topic = r.topic AND o."partition" = r."partition" AND o."offset" = r."offset"
    )
"""


def count(cursor: duckdb.DuckDBPyConnection, name: str, reason: str) -> int:
    """How many for a reason that is like this one."""
    sql = "SELECT count(*) FROM mainstem_rejected WHERE datasource = ? AND reason LIKE ?"
    return int(_one(cursor, sql, [name, reason])[0])


def misfits(cursor: duckdb.DuckDBPyConnection, name: str, beyond: int) -> Rejects:
    """All that were not late, and the first beyond so many."""
    return _rejects(cursor, _MISFITS, [name], beyond)


def misfits_beside(cursor: duckdb.DuckDBPyConnection, name: str, other: str) -> Rejects:
    """Those that were not late and that the other one has not turned away."""
    return _rejects(cursor, _MISFITS + _NOT_OF, [name, other], 0)


def _rejects(cursor: duckdb.DuckDBPyConnection, source: str, values: Sequence[Any], beyond: int) -> Rejects:
    found = int(_one(cursor, f"SELECT count(*) {source}", values)[0])
    if found <= beyond:
        return Rejects(found)
    first = f"SELECT {_PLACE} {source} ORDER BY r.rowid LIMIT 1 OFFSET {beyond}"
    return Rejects(found, str(_one(cursor, first, values)[0]))


def _one(cursor: duckdb.DuckDBPyConnection, sql: str, values: Sequence[Any]) -> Sequence[Any]:
    return cursor.execute(sql, list(values)).fetchall()[0]
