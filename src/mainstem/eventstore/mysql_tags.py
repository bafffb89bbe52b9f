"""Events by their tags in MySQL. A tag has a row that says how many events it has, and that its writers lock.

The rows of tags are locked behind the streams and in the order of the tags' names, so that writers of one tag take
turns. A row is there before it is locked, so that a lock is never one of a gap, in which others could not insert.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pymysql.connections import Connection

from mainstem.errors import TagConflict
from mainstem.eventstore.archive import Archive
from mainstem.eventstore.archived import in_order, tagged
from mainstem.eventstore.mysql_columns import EVENT, stored
from mainstem.eventstore.port import TaggedEvent
from mainstem.eventstore.tagging import TagPlace, noted
from mainstem.mysql import Row, ask
from mainstem.mysql_rows import insert_many, markers, replacing

TAG_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS event_tag (
        tag VARCHAR(255) NOT NULL,
        number BIGINT NOT NULL,
        stream VARCHAR(255) NOT NULL,
        version BIGINT NOT NULL,
        PRIMARY KEY (tag, number)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS tag_head (
        tag VARCHAR(255) NOT NULL PRIMARY KEY,
        number BIGINT NOT NULL
    )
    """,
)
"""The migrations that make the tables."""

_AS_IT_IS = " ON DUPLICATE KEY UPDATE number = tag_head.number"


def tagged_page(
    ask_readers: Callable[[str, Sequence[Any]], Sequence[Row]],
    archive: Archive | None,
    columns: str,
    tag: str,
    after: int,
    limit: int,
) -> list[TaggedEvent]:
    """A page of one tag's events, in the order of their numbers."""
    sql = f"{_joined(columns)} WHERE t.tag = %s AND t.number > %s ORDER BY t.number LIMIT %s"
    return [each for _, each in tagged(ask_readers(sql, (tag, after, limit)), stored, archive)]


class MysqlTags:
    """The tags of one writer's transaction: those that it has to do with are locked until its end."""

    def __init__(self, connection: "Connection[Any]", archive: Archive) -> None:
        self._connection = connection
        self._archive = archive
        self._heads: dict[str, int] = {}
        self._moved: set[str] = set()
        self._rows: list[Row] = []

    def lock(self, tags: Collection[str]) -> None:
        """Those that are not locked yet, in order. An insert that meets a row locks it exclusively, and alone."""
        names = sorted(set(tags) - self._heads.keys())
        if names:
            insert_many(self._connection, "tag_head (tag, number)", [(tag, 0) for tag in names], _AS_IT_IS)
            sql = f"SELECT tag, number FROM tag_head WHERE tag IN {markers(len(names))}"
            self._heads.update(ask(self._connection, sql, names))

    def load(self, after: Mapping[str, int]) -> list[TaggedEvent] | None:
        """The events behind those numbers, in the order of their positions; what was added must be flushed.

        Events of one tag are inserted while it is locked, so that their positions are in the order of their numbers.
        """
        self.lock(after)
        if any(self._heads[tag] < number for tag, number in after.items()):
            return None
        moved = [(tag, number) for tag, number in after.items() if self._heads[tag] > number]
        if not moved:
            return []
        ranges = " OR ".join(["(t.tag = %s AND t.number > %s)"] * len(moved))
        rows = ask(self._connection, f"{_joined(EVENT)} WHERE {ranges}", [value for pair in moved for value in pair])
        return in_order(tagged(rows, stored, self._archive))

    def check(self, standing: Mapping[str, int]) -> None:
        """Raises TagConflict where one stands otherwise."""
        self.lock(standing)
        for tag, expected in standing.items():
            if self._heads[tag] != expected:
                raise TagConflict(tag, expected, self._heads[tag])

    def add(self, tags: Collection[str], stream: str, version: int) -> str:
        """Number the event in each of its tags; what the event keeps of them."""
        self.lock(tags)
        places: list[TagPlace] = []
        for tag in dict.fromkeys(tags):
            self._heads[tag] += 1
            places.append((tag, self._heads[tag]))
            self._rows.append((tag, self._heads[tag], stream, version))
        self._moved.update(tags)
        return noted(places)

    def flush(self) -> None:
        """Write what was added."""
        rows, self._rows = self._rows, []
        insert_many(self._connection, "event_tag (tag, number, stream, version)", rows)
        heads = [(tag, self._heads[tag]) for tag in sorted(self._moved)]
        self._moved.clear()
        insert_many(self._connection, "tag_head (tag, number)", heads, replacing(["number"]))


def _joined(columns: str) -> str:
    """A column that the store does not have yet stands as NULL."""
    named = ", ".join(name if name == "NULL" else f"e.{name}" for name in columns.split(", "))
    return (
        f"SELECT t.tag, t.number, t.stream, t.version, e.position, {named} FROM event_tag t"
        " LEFT JOIN event e ON e.stream = t.stream AND e.version = t.version"
    )
