"""Moving events of a MySQL database to the archive: the one transaction in which rows go and the file is listed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from pymysql.connections import Connection

from mainstem.errors import ConfigurationError, WriteConflict
from mainstem.eventstore.archive import FILE, RANGE, Archive, ArchivedRange, ArchiveFile
from mainstem.mysql import MysqlServer, Pool, Writer, ask, execute
from mainstem.mysql_rows import insert_many, markers

ARCHIVE_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS event_archive (
        name VARCHAR(255) NOT NULL PRIMARY KEY,
        digest BINARY(32) NOT NULL,
        size BIGINT NOT NULL,
        events INT NOT NULL,
        first_position BIGINT NOT NULL,
        last_position BIGINT NOT NULL,
        made_at_ms BIGINT NOT NULL,
        INDEX event_archive_last (last_position)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS archived_stream (
        stream VARCHAR(255) NOT NULL,
        first_version BIGINT NOT NULL,
        last_version BIGINT NOT NULL,
        name VARCHAR(255) NOT NULL,
        hash BINARY(32),
        PRIMARY KEY (stream, last_version),
        INDEX archived_stream_name (name)
    )
    """,
)
"""The migrations that make the tables."""

_GONE_AT_ONCE = 1_000


def marked(sql: str) -> str:
    """With the driver's marks for values in the place of `?`."""
    return sql.replace("%", "%%").replace("?", "%s")


def archive_of(connection: "Connection[Any]", folder: Path | None) -> Archive:
    """The archive as a transaction on that connection sees it."""
    return Archive(lambda sql, values: ask(connection, marked(sql), values), folder)


class MysqlEventRows:
    """The rows of a database in which others write. Raises ConfigurationError where an older release made it."""

    def __init__(self, server: MysqlServer) -> None:
        self._pool = Pool(server, 1)
        self._writer = Writer(server)
        sql = "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s"
        if not self._pool.ask(sql, ("archived_stream",))[0][0]:
            self.close()
            raise ConfigurationError(
                f"{server}, database {server.database}, has no events of this release: deploy first"
            )

    def ask(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Any]:
        """All rows."""
        return self._pool.ask(marked(sql), values)

    def move(self, file: ArchiveFile, ranges: Sequence[ArchivedRange], positions: Sequence[int]) -> None:
        """Capture hears of rows that are removed, and Debezium's outbox router lets those pass by."""
        with self._writer.transaction() as connection:
            gone = 0
            for start in range(0, len(positions), _GONE_AT_ONCE):
                part = positions[start : start + _GONE_AT_ONCE]
                gone += execute(connection, f"DELETE FROM event WHERE position IN {markers(len(part))}", part)
            if gone != len(positions):
                raise WriteConflict("another process has moved the same events")
            insert_many(connection, f"event_archive ({FILE})", [msgspec.structs.astuple(file)])
            insert_many(connection, f"archived_stream ({RANGE})", [msgspec.structs.astuple(each) for each in ranges])

    def close(self) -> None:
        """Closing twice is allowed."""
        self._writer.close()
        self._pool.close()
