"""Putting one table in the place of another, with the offsets that made it, where MySQL commits each of the two alone.

What is to be done is written down first, in the transaction that takes the group's offsets away: from then on no
member of the group can write, since none finds the offsets that it left. Then each step can be taken a second time, by
whoever finds it unfinished. Between the exchange and the new offsets readers see the new rows, with the group's
positions of before.
"""

import time
from typing import Any

import msgspec
import pymysql
import structlog
from pymysql.connections import Connection
from pymysql.constants import ER

from mainstem.mysql import MysqlServer, ask, code_of, execute, quoted
from mainstem.mysql_schema import definer, one_at_a_time

_log = structlog.get_logger(__name__)

KEPT = ("mainstem_offset", "mainstem_position", "mainstem_parked", "mainstem_group", "mainstem_made")
"""The tables that hold what is kept of a group, or of whatever its name is."""

_MOVED = ("mainstem_parked", "mainstem_made")
_REPLACED = "mainstem_replaced"
_RENAME_S = 2
"""How long a renaming waits for readers: as long new readers of the table wait behind it."""

_RENAME_PAUSE_S = 0.5
_RENAMES_MAX = 60
_OFFSETS = "INSERT INTO mainstem_offset (name, topic, `partition`, `offset`)"
_RAISED = """
    INSERT INTO mainstem_position (name, `key`, version)
    SELECT * FROM (SELECT %s AS name, `key`, version FROM mainstem_position WHERE name = %s) AS mainstem_new
    ON DUPLICATE KEY UPDATE version = greatest(mainstem_position.version, mainstem_new.version)
"""


def begin_swap(connection: "Connection[Any]", live: str, built: str, group: str, keep: str | None) -> None:
    """Write it down and fence the group's members off, in the caller's transaction."""
    sql = "INSERT INTO mainstem_swap (live, built, name, `offsets`, kept) VALUES (%s, %s, %s, '[]', %s)"
    execute(connection, sql, (live, built, group, keep))
    execute(connection, "DELETE FROM mainstem_offset WHERE name = %s", (group,))


def swapping(connection: "Connection[Any]", group: str) -> bool:
    """Whether the group's view is being replaced."""
    return bool(ask(connection, "SELECT 1 FROM mainstem_swap WHERE name = %s", (group,)))


def finish_swaps(server: MysqlServer) -> None:
    """Finish whatever was begun; one process at a time does. Raises StoreBusy where another is at it for too long."""
    with definer(server) as connection, one_at_a_time(connection, f"{server.database}.swap"):
        sql = "SELECT live, built, name, `offsets`, kept FROM mainstem_swap"
        for live, built, group, offsets, kept in ask(connection, sql):
            _exchange(connection, live, built, kept)
            _account(connection, live, built, group, offsets, kept)
            execute(connection, f"DROP TABLE IF EXISTS {quoted(_REPLACED)}")


def _exchange(connection: "Connection[Any]", live: str, built: str, kept: str | None) -> None:
    if not _stands(connection, built):
        return
    replaced = kept or _REPLACED
    execute(connection, f"DROP TABLE IF EXISTS {quoted(replaced)}")
    renamed = f"{quoted(built)} TO {quoted(live)}"
    if _stands(connection, live):
        renamed = f"{quoted(live)} TO {quoted(replaced)}, {renamed}"
    _rename(connection, renamed)


def _rename(connection: "Connection[Any]", renamed: str) -> None:
    """A reader that is long at the table must not make all others wait behind the renaming: it is tried again."""
    execute(connection, f"SET SESSION lock_wait_timeout = {_RENAME_S}")
    for attempt in range(1, _RENAMES_MAX + 1):
        try:
            execute(connection, f"RENAME TABLE {renamed}")
        except pymysql.MySQLError as error:
            if code_of(error) != ER.LOCK_WAIT_TIMEOUT or attempt == _RENAMES_MAX:
                raise
            _log.info("readers are at a table that is to be renamed", renamed=renamed, attempt=attempt)
            time.sleep(_RENAME_PAUSE_S)
        else:
            return


def _account(connection: "Connection[Any]", live: str, built: str, group: str, offsets: str, kept: str | None) -> None:
    connection.begin()
    execute(connection, "DELETE FROM mainstem_offset WHERE name = %s", (group,))
    for topic, partition, offset in msgspec.json.decode(offsets, type=list[tuple[str, int, int]]):
        # a release that kept them with what is to be done has begun it
        execute(connection, f"{_OFFSETS} VALUES (%s, %s, %s, %s)", (group, topic, partition, offset))
    if kept is not None:
        for table in ("mainstem_offset", *_MOVED):
            execute(connection, f"DELETE FROM {table} WHERE name = %s", (kept,))
        copied = "SELECT %s, topic, `partition`, `offset` FROM mainstem_offset WHERE name = %s"
        execute(connection, f"{_OFFSETS} {copied}", (kept, built))
        _move(connection, group, kept)
    for table in _MOVED:
        execute(connection, f"DELETE FROM {table} WHERE name = %s", (group,))
    _move(connection, built, group)
    execute(connection, "UPDATE mainstem_offset SET name = %s WHERE name = %s", (group, built))
    execute(connection, _RAISED, (group, built))
    for table in KEPT:
        execute(connection, f"DELETE FROM {table} WHERE name = %s", (built,))
    execute(connection, "DELETE FROM mainstem_swap WHERE live = %s", (live,))
    connection.commit()


def _move(connection: "Connection[Any]", name: str, to: str) -> None:
    for table in _MOVED:
        execute(connection, f"UPDATE {table} SET name = %s WHERE name = %s", (to, name))


def _stands(connection: "Connection[Any]", name: str) -> bool:
    sql = "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s"
    return bool(ask(connection, sql, (name,)))
