"""Putting one table in the place of another, with the offsets that made it, where MySQL commits each of the two alone.

What is to be done is written down first, in the transaction that takes the group's offsets away: from then on no
member of the group can write, since none finds the offsets that it left. Then each step can be taken a second time, by
whoever finds it unfinished.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pymysql.connections import Connection

from mainstem.mysql import MysqlServer, ask, execute, quoted
from mainstem.mysql_schema import definer, one_at_a_time
from mainstem.view.mysql_transaction import KEPT, MysqlViewTransaction
from mainstem.view.port import Place

_REPLACED = "mainstem_replaced"


def begin_swap(connection: "Connection[Any]", live: str, built: str, group: str, offsets: Mapping[Place, int]) -> None:
    """Write it down and fence the group's members off, in the caller's transaction."""
    kept = msgspec.json.encode([(topic, partition, offset) for (topic, partition), offset in offsets.items()])
    execute(
        connection, f"INSERT INTO mainstem_swap VALUES ({', '.join(['%s'] * 4)})", (live, built, group, kept.decode())
    )
    execute(connection, "DELETE FROM mainstem_offset WHERE name = %s", (group,))


def swapping(connection: "Connection[Any]", group: str) -> bool:
    """Whether the group's view is being replaced."""
    return bool(ask(connection, "SELECT 1 FROM mainstem_swap WHERE name = %s", (group,)))


def finish_swaps(server: MysqlServer) -> None:
    """Finish whatever was begun; one process at a time does. Raises StoreBusy where another is at it for too long."""
    with definer(server) as connection, one_at_a_time(connection, f"{server.database}.swap"):
        for live, built, group, offsets in ask(connection, "SELECT live, built, name, `offsets` FROM mainstem_swap"):
            _exchange(connection, live, built)
            _account(connection, live, built, group, msgspec.json.decode(offsets, type=list[tuple[str, int, int]]))
            execute(connection, f"DROP TABLE IF EXISTS {quoted(_REPLACED)}")


def _exchange(connection: "Connection[Any]", live: str, built: str) -> None:
    if not _stands(connection, built):
        return
    execute(connection, f"DROP TABLE IF EXISTS {quoted(_REPLACED)}")
    renamed = f"{quoted(built)} TO {quoted(live)}"
    if _stands(connection, live):
        renamed = f"{quoted(live)} TO {quoted(_REPLACED)}, {renamed}"
    execute(connection, f"RENAME TABLE {renamed}")


def _account(
    connection: "Connection[Any]", live: str, built: str, group: str, offsets: Sequence[tuple[str, int, int]]
) -> None:
    connection.begin()
    for table in KEPT:
        execute(connection, f"DELETE FROM {table} WHERE name = %s", (group,))
    execute(connection, "UPDATE mainstem_position SET name = %s WHERE name = %s", (group, built))
    places = {(topic, partition): offset for topic, partition, offset in offsets}
    MysqlViewTransaction(connection).save(group, places)
    execute(connection, "DELETE FROM mainstem_swap WHERE live = %s", (live,))
    connection.commit()


def _stands(connection: "Connection[Any]", name: str) -> bool:
    sql = "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s"
    return bool(ask(connection, sql, (name,)))
