"""Chain and seals of a MySQL database: what verifying reads, and the seals' own table.

Positions are given before they commit, so one may appear below others that are sealed: see `mainstem.eventstore.seal`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from mainstem.errors import ConfigurationError, TagConflict
from mainstem.eventstore.archive import Archive
from mainstem.eventstore.archive_integrity import ArchiveIntegrity
from mainstem.eventstore.chain import Placed
from mainstem.eventstore.integrity import ahead, holes_of, seal_rows
from mainstem.eventstore.mysql_archive import marked
from mainstem.eventstore.mysql_columns import EVENT, stored
from mainstem.eventstore.seal import EVENTS_MAX, Seal
from mainstem.eventstore.tagging import TagMend, TagPlace, TagRow
from mainstem.mysql import MysqlServer, Pool, Session, ask, execute, picture
from mainstem.mysql_rows import behind, insert_many, markers, replacing

_SEAL = ", ".join(Seal.__struct_fields__)
_READERS = 2
_PLACED = (
    "SELECT e.position, coalesce(p.hash, a.hash), coalesce(p.version, a.last_version),"
    f" {', '.join(f'e.{name}' for name in EVENT.split(', '))} FROM event AS e"
    " LEFT JOIN event AS p ON p.stream = e.stream AND p.version = e.version - 1"
    " LEFT JOIN archived_stream AS a ON a.stream = e.stream AND a.last_version = e.version - 1"
)
_TAG_ROWS = (
    "SELECT t.tag, t.number, t.stream, t.version, e.position, e.tags FROM event_tag AS t"
    " LEFT JOIN event AS e ON e.stream = t.stream AND e.version = t.version"
)
_WRONG_HEADS = """
    SELECT t.tag, coalesce(h.number, 0), t.last FROM (SELECT tag, max(number) AS last FROM event_tag GROUP BY tag) AS t
      LEFT JOIN tag_head AS h ON h.tag = t.tag WHERE h.number IS NULL OR h.number <> t.last
    UNION ALL
    SELECT h.tag, h.number, 0 FROM tag_head AS h
      WHERE h.number <> 0 AND NOT EXISTS (SELECT 1 FROM event_tag AS t WHERE t.tag = h.tag)
    ORDER BY 1
"""
_LAST_TAG = "SELECT coalesce(max(number), 0) FROM event_tag WHERE tag = %s"
_PAGE = 1_000


class MysqlIntegrity:
    """On connections of its own. Raises ConfigurationError where there are no events, or those of an older release."""

    def __init__(self, server: MysqlServer, *, clock_ms: Callable[[], int], archive: Path | None = None) -> None:
        self._server = server
        self._clock_ms = clock_ms
        self._pool = Pool(server, _READERS)
        sql = (
            "SELECT count(*) FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s"
        )
        if not self._pool.ask(sql, ("event", "tags"))[0][0]:
            self._pool.close()
            raise ConfigurationError(
                f"{server}, database {server.database}, has no events of this release: deploy first"
            )
        self.archive = ArchiveIntegrity(Archive(self._marked, archive), self._marked)

    def check(self) -> None:
        """Nothing to do: InnoDB holds each page that it reads against the page's checksum."""

    def seal(self, limit: int = EVENTS_MAX) -> int:
        """Of several processes that seal at once one does, and the others' come to nothing."""
        last = self.last_seal()
        where, values = "position > %s", [last.sealed_to if last else 0]
        for hole in holes_of(last):
            where, values = f"{where} OR position BETWEEN %s AND %s", [*values, *hole]
        sql = f"SELECT position, stream, version, hash, recorded_at_ms FROM event WHERE {where} ORDER BY position"
        rows: Any = self._pool.ask(f"{sql} LIMIT %s", (*values, limit))
        if not rows:
            return 0
        seal = seal_rows(last, rows, self.placed, self._clock_ms(), late=True)
        markers = ", ".join(["%s"] * len(Seal.__struct_fields__))
        sql = f"INSERT INTO event_seal ({_SEAL}) VALUES ({markers}) ON DUPLICATE KEY UPDATE number = event_seal.number"
        with self._pool.use() as connection, connection.cursor() as cursor:
            return seal.events if cursor.execute(sql, msgspec.structs.astuple(seal)) else 0

    def last_seal(self) -> Seal | None:
        """By primary key."""
        rows = self._pool.ask(f"SELECT {_SEAL} FROM event_seal ORDER BY number DESC LIMIT 1")
        return Seal(*rows[0]) if rows else None

    def seals(self, after: int = 0, limit: int = 100) -> Sequence[Seal]:
        """By primary key."""
        sql = f"SELECT {_SEAL} FROM event_seal WHERE number > %s ORDER BY number LIMIT %s"
        return [Seal(*row) for row in self._pool.ask(sql, (after, limit))]

    def number_of(self, head: bytes) -> int | None:
        """All seals are looked at."""
        rows = self._pool.ask("SELECT number FROM event_seal WHERE head = %s", (head,))
        return int(rows[0][0]) if rows else None

    def seals_over(self, after: int, upto: int) -> Sequence[Seal]:
        """By position."""
        sql = f"SELECT {_SEAL} FROM event_seal WHERE last_position > %s AND first_position <= %s ORDER BY number"
        return [Seal(*row) for row in self._pool.ask(sql, (after, upto))]

    def seals_ahead(self, after: int, limit: int) -> tuple[int, int]:
        """By primary key."""
        count, last = self._pool.ask(ahead("number", "event_seal", "%s"), (after, limit))[0]
        return int(count), int(last)

    def placed(self, after: int, upto: int) -> Sequence[Placed]:
        """By position."""
        sql = f"{_PLACED} WHERE e.position > %s AND e.position <= %s ORDER BY e.position"
        return self.archive.among([_placed(row) for row in self._pool.ask(sql, (after, upto))], after, upto)

    def seal_ends(self, after: int, limit: int) -> Sequence[tuple[int, int]]:
        """By position."""
        sql = "SELECT last_position, events FROM event_seal WHERE last_position > %s ORDER BY last_position LIMIT %s"
        return [(int(last), int(events)) for last, events in self._pool.ask(sql, (after, limit))]

    def events_ahead(self, after: int, limit: int) -> tuple[int, int]:
        """By primary key."""
        count, last = self._pool.ask(ahead("position", "event", "%s"), (after, limit))[0]
        return int(count), int(last)

    def placed_of(self, stream: str) -> Iterator[Placed]:
        """In pages, on a connection of its own."""
        sql = f"{_PLACED} WHERE e.stream = %s AND e.version > %s ORDER BY e.version LIMIT {_PAGE}"
        last, found = -1, _PAGE
        yield from self.archive.of_stream(stream)
        with picture(self._server) as connection:
            while found == _PAGE:
                rows = [_placed(row) for row in ask(connection, sql, (stream, last))]
                yield from rows
                found = len(rows)
                last = rows[-1].event.version if rows else last

    def last_position(self) -> int:
        """By primary key."""
        return int(self._pool.ask("SELECT coalesce(max(position), 0) FROM event")[0][0])

    def chained_from(self) -> int | None:
        """Found at once where all are chained."""
        rows = self._pool.ask("SELECT position FROM event WHERE hash IS NOT NULL ORDER BY position LIMIT 1")
        return int(rows[0][0]) if rows else None

    def _marked(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        return self._pool.ask(marked(sql), values)

    def tags_ahead(self, after: TagPlace, limit: int) -> TagPlace | None:
        """By primary key."""
        condition, values = behind(("tag", "number"), after)
        page = f"SELECT tag, number FROM event_tag WHERE {condition} ORDER BY tag, number LIMIT %s"
        sql = f"SELECT tag, number FROM ({page}) AS page ORDER BY tag DESC, number DESC LIMIT 1"
        rows = self._pool.ask(sql, (*values, limit))
        return (str(rows[0][0]), int(rows[0][1])) if rows else None

    def tag_rows(self, first: TagPlace, last: TagPlace) -> Sequence[TagRow]:
        """By primary key, each event by its own."""
        condition, values = behind(("tag", "number"), (first[0], first[1] - 1))
        upto, more = behind(("tag", "number"), (last[0], last[1] + 1), descending=True)
        sql = f"{_TAG_ROWS} WHERE {condition} AND {upto} ORDER BY tag, number"
        return [TagRow(*row) for row in self._pool.ask(sql, (*values, *more))]

    def tag_rows_at(self, places: Sequence[TagPlace]) -> Mapping[TagPlace, TagRow]:
        """By primary key."""
        if not places:
            return {}
        sql = f"SELECT tag, number, stream, version FROM event_tag WHERE (tag, number) IN {markers(len(places), 2)}"
        rows = self._pool.ask(sql, [value for place in places for value in place])
        return {(row[0], row[1]): TagRow(*row) for row in rows}

    def wrong_tag_heads(self) -> Sequence[tuple[str, int, int]]:
        """As one picture, however much is appended meanwhile."""
        return [(str(tag), int(head), int(last)) for tag, head, last in self._pool.ask(_WRONG_HEADS)]

    def mend_tag(self, mend: TagMend) -> None:
        """The tag is locked as its writers lock it: the insert meets its row, or makes it. Then its rows are read."""
        rows = [(row.tag, row.number, row.stream, row.version) for row in mend.put]
        with closing(Session(self._server)) as session, session.transaction() as connection:
            insert_many(connection, "tag_head (tag, number)", [(mend.tag, mend.head)], replacing(["number"]))
            last = int(ask(connection, _LAST_TAG, (mend.tag,))[0][0])
            if last != mend.last:
                raise TagConflict(mend.tag, mend.last, last)
            for start in range(0, len(mend.gone), _PAGE):
                part = mend.gone[start : start + _PAGE]
                sql = f"DELETE FROM event_tag WHERE tag = %s AND number IN {markers(len(part))}"
                execute(connection, sql, (mend.tag, *part))
            columns = "event_tag (tag, number, stream, version)"
            insert_many(connection, columns, rows, replacing(["stream", "version"]))

    def close(self) -> None:
        """Closing twice is allowed."""
        self._pool.close()


def _placed(row: tuple[Any, ...]) -> Placed:
    position, previous, follows, *event = row
    return Placed(position, stored(tuple(event)), previous, follows is not None)
