"""Moving events of a SQLite file to the archive: the one transaction in which rows go and the file is listed."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import apsw
import msgspec

from mainstem.errors import ConfigurationError, WriteConflict
from mainstem.eventstore.archive import FILE, RANGE, ArchivedRange, ArchiveFile
from mainstem.eventstore.sqlite_schema import MIGRATIONS
from mainstem.sqlite import check_kind, connect, insert_many, mapped_errors, transaction

_CAPTURED = "mainstem_event_insert"
_TRIGGERS = (
    "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'event' AND name GLOB 'mainstem_*'"
)
_GONE_AT_ONCE = 500


def folder_of(path: Path) -> Path:
    """Where the archive of an event store is unless somebody says otherwise: beside its file."""
    return path.parent / "archive"


def fetched(connection: apsw.Connection, sql: str, values: Sequence[Any]) -> Sequence[Any]:
    """All rows, with the driver's own errors."""
    rows: Sequence[Any] = connection.execute(sql, values).fetchall()
    return rows


class SqliteEventRows:
    """The rows of a file that another process may have open. `turn` is that of the writers of this process.

    Raises StoreUnavailable where there is no file, StoreCorrupt for another kind, ConfigurationError for one of another
    release.
    """

    def __init__(self, path: Path, *, turn: AbstractContextManager[Any] | None = None) -> None:
        self._path = path
        self._turn = turn or nullcontext()
        self._connection = connect(path)
        try:
            with mapped_errors(path):
                schema = check_kind(self._connection, path, "events", len(MIGRATIONS))
            if schema < len(MIGRATIONS):
                raise ConfigurationError(f"{path.name} is of an older release: start the application once, then again")
        except BaseException:
            self._connection.close()
            raise

    def ask(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Any]:
        """All rows."""
        with mapped_errors(self._path):
            return fetched(self._connection, sql, values)

    def is_captured(self) -> bool:
        """Whether changes are captured: what a capture that begins later finds is the rows alone."""
        return any(name == _CAPTURED for name, _ in self.ask(_TRIGGERS))

    def move(self, file: ArchiveFile, ranges: Sequence[ArchivedRange], positions: Sequence[int]) -> None:
        """The triggers that hold rows for facts stand aside within the transaction, as nobody else sees it."""
        connection = self._connection
        with self._turn, transaction(connection, self._path):
            triggers = fetched(connection, _TRIGGERS, ())
            for name, _ in triggers:
                connection.execute(f'DROP TRIGGER "{name}"')
            gone = 0
            for start in range(0, len(positions), _GONE_AT_ONCE):
                part = positions[start : start + _GONE_AT_ONCE]
                connection.execute(f"DELETE FROM event WHERE position IN ({', '.join('?' * len(part))})", part)
                gone += connection.changes()
            if gone != len(positions):
                raise WriteConflict("another process has moved the same events")
            insert_many(connection, f"event_archive ({FILE})", [msgspec.structs.astuple(file)])
            insert_many(connection, f"archived_stream ({RANGE})", [msgspec.structs.astuple(each) for each in ranges])
            for _, sql in triggers:
                connection.execute(sql)

    def close(self) -> None:
        """Closing twice is allowed."""
        self._connection.close()
