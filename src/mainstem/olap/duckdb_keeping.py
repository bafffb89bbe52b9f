"""What a datasource in DuckDB keeps no longer: rows that are too old are not added, and those that have become so go.

A statement deletes so many rows at most, with the batch that feeds the table, so that no batch waits for all of a day.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow.compute as pc

from mainstem.olap.port import Datasource

_AT_ONCE = 100_000
_MS = 1_000


class Keeping:
    """Of one datasource. `now_ms` tells the time, in milliseconds since the epoch."""

    def __init__(self, datasource: Datasource, now_ms: Callable[[], int]) -> None:
        self._datasource = datasource
        self._now_ms = now_ms
        self._clear_of: datetime | None = None
        self._due: datetime | None = None

    def young(self, rows: Any) -> Any:
        """Of an Arrow table the rows that are kept; from now on the others are due to go."""
        at = datetime.fromtimestamp(self._now_ms() / _MS, UTC).replace(tzinfo=None)
        self._due = self._datasource.kept_from(at)
        if self._due is None:
            return rows
        return rows.filter(pc.greater_equal(rows.column(self._datasource.time), self._due))

    def clear(self, cursor: duckdb.DuckDBPyConnection) -> "datetime | None":
        """Delete some of what is due, in the writer's transaction; of which time on there is nothing left, if so."""
        if self._due is None or self._due == self._clear_of:
            return self._clear_of
        name, time = self._datasource.name, self._datasource.time
        old = f'SELECT rowid FROM "{name}" WHERE "{time}" < ? LIMIT {_AT_ONCE}'
        found = cursor.execute(f'DELETE FROM "{name}" WHERE rowid IN ({old})', [self._due]).fetchone()
        return self._due if found is None or found[0] < _AT_ONCE else None

    def cleared(self, of: datetime | None) -> None:
        """The transaction of `clear` has come to its end."""
        self._clear_of = of
