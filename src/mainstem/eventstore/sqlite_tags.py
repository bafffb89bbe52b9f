"""Events by their tags in SQLite: each tag's events are numbered, and the last number is what a decision stands on."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import apsw

from mainstem.errors import TagConflict
from mainstem.eventstore.archive import Archive
from mainstem.eventstore.archived import in_order, tagged
from mainstem.eventstore.port import TaggedEvent
from mainstem.eventstore.sqlite_columns import stored
from mainstem.eventstore.tagging import TagPlace, noted
from mainstem.sqlite import insert_many

TAGS = """
    CREATE TABLE event_tag (
        tag TEXT NOT NULL,
        number INTEGER NOT NULL CHECK (number > 0),
        stream TEXT NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY (tag, number)
    ) STRICT, WITHOUT ROWID;
    """
"""The migration that makes the table."""

_LAST = "SELECT coalesce(max(number), 0) FROM event_tag WHERE tag = ?"


def tagged_page(
    ask: Callable[[str, Sequence[Any]], Sequence[Any]],
    archive: Archive | None,
    columns: str,
    tag: str,
    after: int,
    limit: int,
) -> list[TaggedEvent]:
    """A page of one tag's events, in the order of their numbers."""
    sql = f"{_joined(columns)} WHERE t.tag = ? AND t.number > ? ORDER BY t.number LIMIT ?"
    return [each for _, each in tagged(ask(sql, (tag, after, limit)), stored, archive)]


class SqliteTags:
    """The tags of one writer's transaction, in which nobody else writes."""

    def __init__(self, connection: apsw.Connection, archive: Archive) -> None:
        self._connection = connection
        self._archive = archive
        self._heads: dict[str, int] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._waiting: set[str] = set()

    def load(self, after: Mapping[str, int], columns: str) -> list[TaggedEvent] | None:
        """The events behind those numbers, in the order of their positions; what was added must be flushed."""
        heads = {tag: self._head(tag) for tag in after}
        if any(heads[tag] < number for tag, number in after.items()):
            return None
        moved = [(tag, number) for tag, number in after.items() if heads[tag] > number]
        if not moved:
            return []
        ranges = " OR ".join(["(t.tag = ? AND t.number > ?)"] * len(moved))
        values = [value for pair in moved for value in pair]
        rows = self._connection.execute(f"{_joined(columns)} WHERE {ranges}", values).fetchall()
        return in_order(tagged(rows, stored, self._archive))

    def check(self, standing: Mapping[str, int]) -> None:
        """Raises TagConflict where one stands otherwise."""
        for tag, expected in standing.items():
            if self._head(tag) != expected:
                raise TagConflict(tag, expected, self._head(tag))

    def add(self, tags: Collection[str], stream: str, version: int) -> str:
        """Number the event in each of its tags; what the event keeps of them."""
        self._waiting.update(tags)
        places: list[TagPlace] = []
        for tag in dict.fromkeys(tags):
            number = self._heads[tag] = self._head(tag) + 1
            places.append((tag, number))
            self._rows.append((tag, number, stream, version))
        return noted(places)

    def waits(self, tags: Collection[str]) -> bool:
        """Whether an event with one of them was added that is not written yet."""
        return not self._waiting.isdisjoint(tags)

    def flush(self) -> None:
        """Write what was added."""
        self._waiting.clear()
        if self._rows:
            rows, self._rows = self._rows, []
            insert_many(self._connection, "event_tag (tag, number, stream, version)", rows)

    def _head(self, tag: str) -> int:
        head = self._heads.get(tag)
        if head is None:
            rows: list[Any] = self._connection.execute(_LAST, (tag,)).fetchall()
            head = self._heads[tag] = int(rows[0][0])
        return head


def _joined(columns: str) -> str:
    """The tags are read first, each event by its key. A column that the file does not have yet stands as NULL."""
    named = ", ".join(name if name == "NULL" else f"e.{name}" for name in columns.split(", "))
    on = "e.stream = t.stream AND e.version = t.version"
    return (
        f"SELECT t.tag, t.number, t.stream, t.version, e.position, {named} FROM event_tag t LEFT JOIN event e ON {on}"
    )
