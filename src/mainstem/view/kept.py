"""What is kept beside the rows of views, by the engines that know ON CONFLICT: offsets, positions, parked keys, marks.

Each belongs to a group, or to whatever its name is; `partition` and `offset` are words of SQL to some.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from mainstem.errors import Fenced
from mainstem.messages import Position
from mainstem.table import Table, quoted
from mainstem.view.port import Place

_Row = tuple[Any, ...]

KEPT = ("mainstem_offset", "mainstem_position", "mainstem_parked", "mainstem_made")
"""The tables that hold what is kept of a group."""

_MOVED = ("mainstem_offset", "mainstem_parked", "mainstem_made")


class Statements(Protocol):
    """One connection of an engine."""

    def ask(self, sql: str, values: Sequence[Any] = ()) -> Sequence[_Row]:
        """All rows of a statement, whose values are marked by `?`."""

    def insert(self, into: str, rows: Sequence[_Row], conflict: str) -> None:
        """Insert rows of equal width, each of another key, into `table (columns)`; `conflict` follows ON CONFLICT."""

    def stands(self, table: str) -> bool:
        """Whether there is such a table."""


def highest(positions: Sequence[Position]) -> dict[str, int]:
    """By key."""
    found: dict[str, int] = {}
    for position in positions:
        if position.version > found.get(position.key, 0):
            found[position.key] = position.version
    return found


def check_stands(group: str, stands: Mapping[Place, int], offsets: Mapping[Place, int | None]) -> None:
    """Raises Fenced where the group stands elsewhere than at these offsets."""
    for place, offset in offsets.items():
        if stands.get(place) != offset:
            text = f"{group} stands at {stands.get(place)} of {place[0]}/{place[1]}, not at {offset}"
            raise Fenced(f"{text}: another member of the group has taken it over")


class Kept:
    """On one connection.

    `told` is how an engine holds a key, `read` what it makes of that, `known` by what the key is known.
    """

    def __init__(
        self,
        statements: Statements,
        *,
        told: Callable[[str], Any] = str,
        read: Callable[[Any], str] = str,
        known: Callable[[str], str] = str,
    ) -> None:
        self._statements = statements
        self._ask = statements.ask
        self._told = told
        self._read = read
        self._known = known

    def offsets(self, group: str, more: str = "", values: Sequence[Any] = ()) -> dict[Place, int]:
        """By topic and partition; `more` is what follows the statement, with its values."""
        sql = f'SELECT topic, "partition", "offset" FROM mainstem_offset WHERE name = ?{more}'
        return {(topic, partition): offset for topic, partition, offset in self._ask(sql, (group, *values))}

    def made_by(self, group: str) -> str | None:
        """As it was marked."""
        rows = self._ask("SELECT made_by FROM mainstem_made WHERE name = ?", (group,))
        return str(rows[0][0]) if rows else None

    def reached(self, group: str, key: str) -> int:
        """By key."""
        sql = f"SELECT version FROM mainstem_position WHERE name = ? AND {self._known('key')} = {self._known('?')}"
        rows = self._ask(sql, (group, self._told(key)))
        return int(rows[0][0]) if rows else 0

    def parked(self, group: str) -> dict[str, str]:
        """By key."""
        rows = self._ask("SELECT key, reason FROM mainstem_parked WHERE name = ?", (group,))
        return {self._read(key): reason for key, reason in rows}

    def parked_since(self, group: str) -> dict[str, int]:
        """By key."""
        rows = self._ask("SELECT key, since FROM mainstem_parked WHERE name = ?", (group,))
        return {self._read(key): since for key, since in rows}

    def save(self, group: str, offsets: Mapping[Place, int], positions: Sequence[Position]) -> None:
        """In the order of their keys, so that members of one group do not wait for each other in a circle."""
        rows = [(group, topic, partition, offset) for (topic, partition), offset in sorted(offsets.items())]
        conflict = '(name, topic, "partition") DO UPDATE SET "offset" = excluded."offset"'
        self._insert('mainstem_offset (name, topic, "partition", "offset")', rows, conflict)
        reached = [(group, self._told(key), version) for key, version in sorted(highest(positions).items())]
        self._insert("mainstem_position (name, key, version)", reached, self._raised)

    def park(self, group: str, keys: Mapping[str, str], since: Mapping[str, int]) -> None:
        """A row for each key; the earliest stays."""
        rows = [(group, self._told(key), reason, since[key]) for key, reason in sorted(keys.items())]
        conflict = (
            f"(name, {self._known('key')}) DO UPDATE SET reason = excluded.reason, since = excluded.since"
            " WHERE excluded.since < mainstem_parked.since"
        )
        self._insert("mainstem_parked (name, key, reason, since)", rows, conflict)

    def release(self, group: str, key: str) -> None:
        """Nothing where it is not parked."""
        sql = f"DELETE FROM mainstem_parked WHERE name = ? AND {self._known('key')} = {self._known('?')}"
        self._ask(sql, (group, self._told(key)))

    def mark(self, group: str, made_by: str) -> None:
        """In the place of what was kept."""
        conflict = "(name) DO UPDATE SET made_by = excluded.made_by"
        self._insert("mainstem_made (name, made_by)", [(group, made_by)], conflict)

    def forget(self, *names: str | None) -> None:
        """All of it."""
        for table in KEPT:
            for name in names:
                self._ask(f"DELETE FROM {table} WHERE name = ?", (name,))

    def exchange(
        self, rename: Callable[[str, str], object], live: str, built: str, group: str, keep: Table[Any] | None
    ) -> None:
        """As `ViewTransaction.swap` says, but for the indexes; `rename` gives a table another name."""
        if keep is not None:
            self._ask(f"DROP TABLE IF EXISTS {quoted(keep.name)}")
            self.forget(keep.name)
        if keep is not None and self._statements.stands(live):
            rename(live, keep.name)
            self._move(group, keep.name)
        else:
            self._ask(f"DROP TABLE IF EXISTS {quoted(live)}")
            for table in _MOVED:
                self._ask(f"DELETE FROM {table} WHERE name = ?", (group,))
        rename(built, live)
        self._move(built, group)
        copied = "SELECT ?, key, version FROM mainstem_position WHERE name = ?"
        self._ask(
            f"INSERT INTO mainstem_position (name, key, version) {copied} ON CONFLICT {self._raised}", (group, built)
        )
        self.forget(built)

    @property
    def _raised(self) -> str:
        return (
            f"(name, {self._known('key')}) DO UPDATE SET version = excluded.version"
            " WHERE excluded.version > mainstem_position.version"
        )

    def _insert(self, into: str, rows: Sequence[_Row], conflict: str) -> None:
        if rows:
            self._statements.insert(into, rows, conflict)

    def _move(self, name: str, to: str) -> None:
        for table in _MOVED:
            self._ask(f"UPDATE {table} SET name = ? WHERE name = ?", (to, name))
