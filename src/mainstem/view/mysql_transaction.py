"""One writer's transaction on views in MySQL."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct
from pymysql.connections import Connection

from mainstem.errors import Fenced
from mainstem.messages import Position
from mainstem.mysql import ask, execute, quoted
from mainstem.mysql_rows import by_keys, column_names, insert_many, markers, replacing
from mainstem.table import Table
from mainstem.view.dialect import Dialect
from mainstem.view.kept import check_stands, highest
from mainstem.view.mysql_swap import begin_swap, swapping
from mainstem.view.port import Place
from mainstem.view.question import question

R = TypeVar("R", bound=Struct)

DIALECT = Dialect(quoted, "%s", compares_rows=False, nulls_first=True)

_NEW = "AS mainstem_new ON DUPLICATE KEY UPDATE"
_HIGHEST = f" {_NEW} version = greatest(mainstem_position.version, mainstem_new.version)"
_EARLIEST = (
    f" {_NEW} reason = if(mainstem_new.since < mainstem_parked.since, mainstem_new.reason, mainstem_parked.reason),"
    " since = least(mainstem_parked.since, mainstem_new.since)"
)


class MysqlViewTransaction:
    """On the writer's connection."""

    def __init__(self, connection: "Connection[Any]") -> None:
        self._connection = connection
        self.swapped = False

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """By primary key."""
        return by_keys(self._connection, table, keys)

    def find(
        self,
        table: Table[R],
        where: Mapping[str, Any],
        *,
        order: Sequence[str] = (),
        descending: bool = False,
        after: Sequence[Any] | None = None,
        limit: int = 100,
    ) -> list[R]:
        """As the store does."""
        sql, values = DIALECT.find(table, question(table, where, order, after), descending=descending)
        return [table.from_values(row) for row in ask(self._connection, sql, (*values, limit))]

    def find_each(
        self,
        table: Table[R],
        keys: Sequence[tuple[Any, ...]],
        *,
        descending: bool = False,
        after: Any = None,
        limit: int = 1,
    ) -> dict[tuple[Any, ...], list[R]]:
        """As the store does."""
        reader = partial(ask, self._connection)
        return DIALECT.find_each(reader, table, keys, descending=descending, after=after, limit=limit)

    def add(self, table: Table[R], rows: Sequence[R]) -> int:
        """Many to a statement; a row that stands is set to what it is, which counts as nothing."""
        first = quoted(table.key[0])
        conflict = f" ON DUPLICATE KEY UPDATE {first} = {quoted(table.name)}.{first}"
        return insert_many(self._connection, _into(table), table.all_values(rows), conflict)

    def put(self, table: Table[R], rows: Sequence[R]) -> None:
        """Many to a statement."""
        others = [column.name for column in table.columns if column.name not in table.key]
        first = quoted(table.key[0])
        conflict = replacing(others, f"{first} = {quoted(table.name)}.{first}")
        insert_many(self._connection, _into(table), table.all_values(rows), conflict)

    def remove(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> None:
        """By primary key."""
        if keys:
            condition = f"({quoted(*table.key)}) IN {markers(len(keys), len(table.key))}"
            execute(
                self._connection,
                f"DELETE FROM {quoted(table.name)} WHERE {condition}",
                [value for key in keys for value in key],
            )

    def check(self, group: str, offsets: Mapping[Place, int | None]) -> None:
        """The rows of these places are locked until the end; of a place that has none yet, the group itself.

        Else two members that begin it at once would both find that nobody has.
        """
        places = sorted(offsets)
        if not places:
            return
        if None in offsets.values():
            self._take_group(group)
        sql = (
            "SELECT topic, `partition`, `offset` FROM mainstem_offset FORCE INDEX (PRIMARY)"
            f" WHERE name = %s AND (topic, `partition`) IN {markers(len(places), 2)} FOR UPDATE"
        )
        rows = ask(self._connection, sql, [group, *(value for place in places for value in place)])
        stands = {(topic, partition): offset for topic, partition, offset in rows}
        check_stands(group, stands, offsets)

    def _take_group(self, group: str) -> None:
        taken = "INSERT INTO mainstem_group (name) VALUES (%s) ON DUPLICATE KEY UPDATE name = mainstem_group.name"
        execute(self._connection, taken, (group,))

    def hold(self, group: str) -> Mapping[Place, int]:
        """The group itself is locked, and the rows of all its places."""
        self._take_group(group)
        if swapping(self._connection, group):
            raise Fenced(f"the view of {group} is being replaced")
        sql = (
            "SELECT topic, `partition`, `offset` FROM mainstem_offset FORCE INDEX (PRIMARY)"
            " WHERE name = %s ORDER BY topic, `partition` FOR UPDATE"
        )
        return {(topic, partition): offset for topic, partition, offset in ask(self._connection, sql, (group,))}

    def mark(self, group: str, made_by: str) -> None:
        """In the place of what was kept."""
        insert_many(self._connection, "mainstem_made (name, made_by)", [(group, made_by)], replacing(["made_by"]))

    def swap(self, live: Table[R], built: Table[R], group: str, keep: Table[R] | None = None) -> None:
        """Written down, and finished by the store once that is committed."""
        begin_swap(self._connection, live.name, built.name, group, None if keep is None else keep.name)
        self.swapped = True

    def save(self, group: str, offsets: Mapping[Place, int], positions: Sequence[Position] = ()) -> None:
        """In the order of their keys, so that members of one group do not wait for each other in a circle."""
        rows = [(group, topic, partition, offset) for (topic, partition), offset in sorted(offsets.items())]
        into = "mainstem_offset (name, topic, `partition`, `offset`)"
        insert_many(self._connection, into, rows, replacing(["offset"]))
        reached = [(group, key, version) for key, version in sorted(highest(positions).items())]
        insert_many(self._connection, "mainstem_position (name, `key`, version)", reached, _HIGHEST)

    def park(self, group: str, keys: Mapping[str, str], since: Mapping[str, int]) -> None:
        """A row for each key."""
        rows = [(group, key, reason, since[key]) for key, reason in sorted(keys.items())]
        insert_many(self._connection, "mainstem_parked (name, `key`, reason, since)", rows, _EARLIEST)

    def release(self, group: str, key: str) -> None:
        """Nothing where it is not parked."""
        sql = "DELETE FROM mainstem_parked WHERE name = %s AND digest = unhex(sha2(%s, 256))"
        execute(self._connection, sql, (group, key))


def _into(table: Table[Any]) -> str:
    return f"{quoted(table.name)} ({column_names(table)})"
