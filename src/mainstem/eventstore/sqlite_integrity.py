"""Chain and seals of a SQLite file: what verifying reads, and the seals' own table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from mainstem.errors import ConfigurationError, StoreCorrupt, TagConflict
from mainstem.eventstore.archive import Archive
from mainstem.eventstore.archive_integrity import ArchiveIntegrity
from mainstem.eventstore.chain import Placed
from mainstem.eventstore.integrity import ahead, seal_rows
from mainstem.eventstore.seal import EVENTS_MAX, Seal
from mainstem.eventstore.sqlite_archive import folder_of
from mainstem.eventstore.sqlite_columns import stored
from mainstem.eventstore.sqlite_schema import EVENT, MIGRATIONS
from mainstem.eventstore.tagging import TagMend, TagPlace, TagRow
from mainstem.sqlite import check_kind, connect, insert_many, mapped_errors, transaction

_SEAL = ", ".join(Seal.__struct_fields__)
_LAST = f"SELECT {_SEAL} FROM event_seal ORDER BY number DESC LIMIT 1"
_HASH = bytes | None
_SEALED = (*(int,) * 5, *(bytes,) * 3, int, bytes)
_UNSEALED = (int, str, int, _HASH, int)
_PLACED = (
    "SELECT e.position, coalesce(p.hash, a.hash), coalesce(p.version, a.last_version),"
    f" {', '.join(f'e.{name}' for name in EVENT.split(', '))} FROM event AS e"
    " LEFT JOIN event AS p ON p.stream = e.stream AND p.version = e.version - 1"
    " LEFT JOIN archived_stream AS a ON a.stream = e.stream AND a.last_version = e.version - 1"
)
_EVENT = (int, _HASH, int | None, str, int, str, str, int, int, str, str | None, int, str | None, _HASH, str | None)
_TAG_ROWS = (
    "SELECT t.tag, t.number, t.stream, t.version, e.position, e.tags FROM event_tag AS t"
    " LEFT JOIN event AS e ON e.stream = t.stream AND e.version = t.version"
)
_INSTEAD = "(tag, number) DO UPDATE SET stream = excluded.stream, version = excluded.version"
_TAG_PLACE = (str, int)
_TAG_ROW = (*_TAG_PLACE, str, int, int | None, str | None)


class SqliteIntegrity:
    """On a file that a store has open, or none has. Sealing waits for `turn`, that of the writers of this process.

    Raises StoreUnavailable where there is no file, StoreCorrupt for another kind, ConfigurationError for one of another
    release.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock_ms: Callable[[], int],
        turn: AbstractContextManager[Any] | None = None,
        read_only: bool = False,
        archive: Path | None = None,
    ) -> None:
        self._path = path
        self._clock_ms = clock_ms
        self._turn = turn or nullcontext()
        self._connection = connect(path, durable=False, read_only=read_only)
        try:
            with mapped_errors(path):
                schema = check_kind(self._connection, path, "events", len(MIGRATIONS))
            if schema < len(MIGRATIONS):
                raise ConfigurationError(f"{path.name} is of an older release: start the application once, then again")
        except BaseException:
            self._connection.close()
            raise
        self.archive = ArchiveIntegrity(Archive(self._ask, archive or folder_of(path)), self._ask)

    def check(self) -> None:
        """All pages and indexes: a damaged tree may hide rows, or hand out other ones for another question."""
        found = self._ask("PRAGMA integrity_check(1)")[0][0]
        if found != "ok":
            raise StoreCorrupt(f"{self._path.name} is damaged: {found}")

    def seal(self, limit: int = EVENTS_MAX) -> int:
        """Nobody else writes meanwhile, so no gap is filled later."""
        sql = "SELECT position, stream, version, hash, recorded_at_ms FROM event WHERE position > ? ORDER BY position"
        last = self.last_seal()
        rows = self._ask(f"{sql} LIMIT ?", (last.sealed_to if last else 0, limit), _UNSEALED)
        if not rows:
            return 0
        seal = seal_rows(last, rows, self.placed, self._clock_ms(), late=False)
        values = msgspec.structs.astuple(seal)
        sql = f"INSERT INTO event_seal ({_SEAL}) VALUES ({', '.join('?' * len(values))}) ON CONFLICT DO NOTHING"
        with self._turn, transaction(self._connection, self._path):
            self._connection.execute(sql, values)
            return seal.events if self._connection.changes() else 0

    def last_seal(self) -> Seal | None:
        """By primary key."""
        rows = self._ask(_LAST, (), _SEALED)
        return Seal(*rows[0]) if rows else None

    def seals(self, after: int = 0, limit: int = 100) -> Sequence[Seal]:
        """By primary key."""
        sql = f"SELECT {_SEAL} FROM event_seal WHERE number > ? ORDER BY number LIMIT ?"
        return [Seal(*row) for row in self._ask(sql, (after, limit), _SEALED)]

    def number_of(self, head: bytes) -> int | None:
        """All seals are looked at."""
        rows = self._ask("SELECT number FROM event_seal WHERE head = ?", (head,))
        return int(rows[0][0]) if rows else None

    def seals_over(self, after: int, upto: int) -> Sequence[Seal]:
        """By position."""
        sql = f"SELECT {_SEAL} FROM event_seal WHERE last_position > ? AND first_position <= ? ORDER BY number"
        return [Seal(*row) for row in self._ask(sql, (after, upto), _SEALED)]

    def seals_ahead(self, after: int, limit: int) -> tuple[int, int]:
        """By primary key."""
        count, last = self._ask(ahead("number", "event_seal", "?"), (after, limit))[0]
        return int(count), int(last)

    def placed(self, after: int, upto: int) -> Sequence[Placed]:
        """By position."""
        sql = f"{_PLACED} WHERE e.position > ? AND e.position <= ? ORDER BY e.position"
        return self.archive.among([_placed(row) for row in self._ask(sql, (after, upto), _EVENT)], after, upto)

    def seal_ends(self, after: int, limit: int) -> Sequence[tuple[int, int]]:
        """By position."""
        sql = "SELECT last_position, events FROM event_seal WHERE last_position > ? ORDER BY last_position LIMIT ?"
        return [(int(last), int(events)) for last, events in self._ask(sql, (after, limit))]

    def events_ahead(self, after: int, limit: int) -> tuple[int, int]:
        """By primary key."""
        count, last = self._ask(ahead("position", "event", "?"), (after, limit))[0]
        return int(count), int(last)

    def placed_of(self, stream: str) -> Iterator[Placed]:
        """By stream and version."""
        sql = f"{_PLACED} WHERE e.stream = ? ORDER BY e.version"
        yield from self.archive.of_stream(stream)
        yield from (_placed(row) for row in self._ask(sql, (stream,), _EVENT))

    def last_position(self) -> int:
        """By primary key."""
        return int(self._ask("SELECT coalesce(max(position), 0) FROM event")[0][0])

    def chained_from(self) -> int | None:
        """Found at once where all are chained."""
        rows = self._ask("SELECT position FROM event WHERE hash IS NOT NULL ORDER BY position LIMIT 1")
        return int(rows[0][0]) if rows else None

    def tags_ahead(self, after: TagPlace, limit: int) -> TagPlace | None:
        """By primary key."""
        page = "SELECT tag, number FROM event_tag WHERE (tag, number) > (?, ?) ORDER BY tag, number LIMIT ?"
        sql = f"SELECT tag, number FROM ({page}) ORDER BY tag DESC, number DESC LIMIT 1"
        rows = self._ask(sql, (*after, limit), _TAG_PLACE)
        return (rows[0][0], rows[0][1]) if rows else None

    def tag_rows(self, first: TagPlace, last: TagPlace) -> Sequence[TagRow]:
        """By primary key, each event by its own."""
        between = "(t.tag, t.number) >= (?, ?) AND (t.tag, t.number) <= (?, ?)"
        sql = f"{_TAG_ROWS} WHERE {between} ORDER BY t.tag, t.number"
        return [TagRow(*row) for row in self._ask(sql, (*first, *last), _TAG_ROW)]

    def tag_rows_at(self, places: Sequence[TagPlace]) -> Mapping[TagPlace, TagRow]:
        """By primary key."""
        values = [value for place in places for value in place]
        wanted = f"WITH wanted (tag, number) AS (VALUES {', '.join(['(?, ?)'] * len(places))})"
        sql = f"{wanted} SELECT tag, number, stream, version FROM wanted CROSS JOIN event_tag USING (tag, number)"
        rows = self._ask(sql, values, (*_TAG_PLACE, str, int)) if places else []
        return {(row[0], row[1]): TagRow(*row) for row in rows}

    def wrong_tag_heads(self) -> Sequence[tuple[str, int, int]]:
        """The rows alone count."""
        return ()

    def mend_tag(self, mend: TagMend) -> None:
        """Nobody else writes meanwhile."""
        rows = [(row.tag, row.number, row.stream, row.version) for row in mend.put]
        with self._turn, transaction(self._connection, self._path):
            last = self._ask("SELECT coalesce(max(number), 0) FROM event_tag WHERE tag = ?", (mend.tag,), (int,))[0][0]
            if last != mend.last:
                raise TagConflict(mend.tag, mend.last, last)
            gone = [(mend.tag, number) for number in mend.gone]
            self._connection.executemany("DELETE FROM event_tag WHERE tag = ? AND number = ?", gone)
            insert_many(self._connection, "event_tag (tag, number, stream, version)", rows, _INSTEAD)

    def close(self) -> None:
        """Closing twice is allowed."""
        self._connection.close()

    def _ask(self, sql: str, values: Sequence[Any] = (), types: tuple[Any, ...] = ()) -> list[Any]:
        """The rows. A damaged file may hand out other types than its tables have: of `types`, if any are given."""
        with mapped_errors(self._path):
            rows = self._connection.execute(sql, values).fetchall()
        for row in rows if types else ():
            if not all(map(isinstance, row, types)):
                found = ", ".join(type(value).__name__ for value in row)
                raise StoreCorrupt(f"{self._path.name} is damaged: the row {row[0]!r} has values of types {found}")
        return rows


def _placed(row: tuple[Any, ...]) -> Placed:
    position, previous, follows, *event = row
    return Placed(position, stored(tuple(event)), previous, follows is not None)
