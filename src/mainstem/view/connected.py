"""A view store of which each connection answers the same questions: on the port's side all that engines share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from msgspec import Struct

from mainstem.errors import InvalidQuery
from mainstem.messages import Position
from mainstem.table import Table
from mainstem.view.dialect import Dialect
from mainstem.view.kept import Kept, check_stands
from mainstem.view.port import Place, ViewPicture, ViewTransaction
from mainstem.view.question import question
from mainstem.view.telling import Commits
from mainstem.words import asked_words

R = TypeVar("R", bound=Struct)
_Key = tuple[Any, ...]


class Connected(ABC):
    """What can be asked of one connection."""

    dialect: Dialect
    kept: Kept

    @abstractmethod
    def ask(self, sql: str, values: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
        """All rows of a statement, whose values are marked as the dialect has it or by `?`."""

    @abstractmethod
    def get(self, table: Table[R], keys: Sequence[_Key]) -> dict[_Key, R]:
        """By primary key."""

    @abstractmethod
    def scan(self, table: Table[R]) -> Iterator[R]:
        """All rows in key order."""

    @abstractmethod
    def matching(self, table: Table[Any], whole: Sequence[str], begins: Sequence[str]) -> tuple[str, list[Any]]:
        """FROM and WHERE of the rows whose text of words has these, and what is bound in it. Raises InvalidQuery."""

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
        """By columns, in pages."""
        sql, values = self.dialect.find(table, question(table, where, order, after), descending=descending)
        return [table.from_values(row) for row in self.ask(sql, (*values, limit))]

    def find_each(
        self,
        table: Table[R],
        keys: Sequence[_Key],
        *,
        descending: bool = False,
        after: Any = None,
        limit: int = 1,
    ) -> dict[_Key, list[R]]:
        """Many keys to a statement."""
        return self.dialect.find_each(self.ask, table, keys, descending=descending, after=after, limit=limit)

    def search(
        self, table: Table[R], text: str, *, within: str | None, after: Sequence[Any] | None, limit: int
    ) -> list[R]:
        """By words, the last by key first."""
        asked = question(table, {}, (), after)
        whole, begins = asked_words(text, within)
        if table.words is None:
            raise InvalidQuery(f"the words of {table.name} are not indexed")
        source, values = self.matching(table, whole, begins)
        if asked.after is not None:
            behind, more = self.dialect.behind(table, asked.order, asked.after, descending=True)
            source, values = f"{source} AND {behind}", [*values, *more]
        end = self.dialect.order(table, table.key, descending=True)
        sql = f"SELECT {self.dialect.qualified(table)} {source}{end}"
        return [table.from_values(row) for row in self.ask(sql, (*values, limit))]

    def count(self, table: Table[R]) -> int:
        """Counted, not estimated."""
        return int(self.ask(f"SELECT count(*) FROM {self.dialect.quoted(table.name)}")[0][0])

    def offsets(self, group: str) -> Mapping[Place, int]:
        """By topic and partition."""
        return self.kept.offsets(group)


class ConnectedTransaction(Connected):
    """The writer's connection."""

    def save(self, group: str, offsets: Mapping[Place, int], positions: Sequence[Position] = ()) -> None:
        """Of several positions of one key the highest is written."""
        self.kept.save(group, offsets, positions)

    def park(self, group: str, keys: Mapping[str, str], since: Mapping[str, int]) -> None:
        """A row for each key."""
        self.kept.park(group, keys, since)

    def release(self, group: str, key: str) -> None:
        """Nothing where it is not parked."""
        self.kept.release(group, key)

    def mark(self, group: str, made_by: str) -> None:
        """In the place of what was kept."""
        self.kept.mark(group, made_by)

    def check(self, group: str, offsets: Mapping[Place, int | None]) -> None:
        """By the offsets as this transaction sees them."""
        check_stands(group, self.kept.offsets(group), offsets)

    def hold(self, group: str) -> Mapping[Place, int]:
        """Nobody else writes meanwhile."""
        return self.kept.offsets(group)


class ConnectedViews(ABC):
    """Reads each question on a connection of the readers'."""

    def __init__(self) -> None:
        self._commits = Commits()

    @abstractmethod
    def reading(self) -> AbstractContextManager[Connected]:
        """A reader's connection."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[ViewTransaction]:
        """The writer's; `_commits` are told after it."""

    @abstractmethod
    def picture(self) -> AbstractContextManager[ViewPicture]:
        """A transaction on a connection of its own."""

    def get(self, table: Table[R], keys: Sequence[_Key]) -> dict[_Key, R]:
        """By primary key."""
        with self.reading() as reader:
            return reader.get(table, keys)

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
        """By columns, in pages."""
        with self.reading() as reader:
            return reader.find(table, where, order=order, descending=descending, after=after, limit=limit)

    def find_each(
        self,
        table: Table[R],
        keys: Sequence[_Key],
        *,
        descending: bool = False,
        after: Any = None,
        limit: int = 1,
    ) -> dict[_Key, list[R]]:
        """Many keys to a statement."""
        with self.reading() as reader:
            return reader.find_each(table, keys, descending=descending, after=after, limit=limit)

    def search(
        self,
        table: Table[R],
        text: str,
        *,
        within: str | None = None,
        after: Sequence[Any] | None = None,
        limit: int = 100,
    ) -> list[R]:
        """By words, the last by key first."""
        with self.reading() as reader:
            return reader.search(table, text, within=within, after=after, limit=limit)

    def scan(self, table: Table[R]) -> Iterator[R]:
        """On a connection of its own."""
        with self.picture() as picture:
            yield from picture.scan(table)

    def count(self, table: Table[R]) -> int:
        """Counted, not estimated."""
        with self.reading() as reader:
            return reader.count(table)

    def offsets(self, group: str) -> Mapping[Place, int]:
        """By topic and partition."""
        with self.reading() as reader:
            return reader.kept.offsets(group)

    def made_by(self, group: str) -> str | None:
        """As it was marked."""
        with self.reading() as reader:
            return reader.kept.made_by(group)

    def reached(self, group: str, key: str) -> int:
        """By key."""
        with self.reading() as reader:
            return reader.kept.reached(group, key)

    def parked(self, group: str) -> Mapping[str, str]:
        """By key."""
        with self.reading() as reader:
            return reader.kept.parked(group)

    def parked_since(self, group: str) -> Mapping[str, int]:
        """By key."""
        with self.reading() as reader:
            return reader.kept.parked_since(group)

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """In the thread that commits, after the commit."""
        return self._commits.on_commit(listener)
