"""What listeners and queries ask of a view store: rows, and beside them the offsets and positions that made them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from mainstem.messages import Position
from mainstem.table import Table

R = TypeVar("R", bound=Struct)
Place = tuple[str, int]


def keeper_mark(table: Table[Any]) -> str:
    """The name under which the group that keeps the table is marked; no group has a name with a space."""
    return f"table {table.name}"


class ViewRows(Protocol):
    """Rows of tables, as a projection asks for and writes them."""

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """The rows that stand under those keys."""

    def add(self, table: Table[R], rows: Sequence[R]) -> int:
        """Insert rows; one whose key stands already is left out. The number inserted."""

    def put(self, table: Table[R], rows: Sequence[R]) -> None:
        """Insert rows, or replace those under the same keys; of rows with one key the last wins."""

    def remove(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> None:
        """Delete the rows under those keys."""


class ViewTransaction(ViewRows, Protocol):
    """Rows, offsets and positions that become visible together or not at all."""

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
        """As `ViewStore.find`, of the rows as this transaction has them."""

    def find_each(
        self,
        table: Table[R],
        keys: Sequence[tuple[Any, ...]],
        *,
        descending: bool = False,
        after: Any = None,
        limit: int = 1,
    ) -> dict[tuple[Any, ...], list[R]]:
        """As `ViewStore.find_each`, of the rows as this transaction has them."""

    def check(self, group: str, offsets: Mapping[Place, int | None]) -> None:
        """Raises Fenced where the group stands elsewhere than at these offsets; nobody moves them until the end.

        None is for a place of which no offset was ever kept; nobody is kept from beginning there.
        """

    def save(self, group: str, offsets: Mapping[Place, int], positions: Sequence[Position] = ()) -> None:
        """Keep the offsets up to which the group is done, and the versions its view has reached (never lowered)."""

    def park(self, group: str, keys: Mapping[str, str], since: Mapping[str, int]) -> None:
        """Mark keys as parked, each with the reason and the offset of its record that failed. The earliest stays."""

    def release(self, group: str, key: str) -> None:
        """Take the mark away."""

    def hold(self, group: str) -> Mapping[Place, int]:
        """Up to where the group is done; nobody moves that, or begins another place, until the end.

        Raises Fenced where the group's view is being replaced.
        """

    def mark(self, group: str, made_by: str) -> None:
        """Keep by which code the group's view is made."""

    def swap(self, live: Table[R], built: Table[R], group: str, keep: Table[R] | None = None) -> None:
        """Put the table `built`, made with the indexes of `live`, in the place of `live`, as the transaction commits.

        What is kept under the built table's name becomes the group's: offsets, parked keys, the mark; positions are
        raised to those that are kept there. The replaced table goes, or becomes `keep` in the place of what stands
        there, and what was kept of the group but for its positions is kept under that name. The last to be asked of a
        transaction.
        """


class ViewPicture(Protocol):
    """What stands in a view store at one moment, whatever is written meanwhile. For one thread."""

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """The rows that stand under those keys."""

    def scan(self, table: Table[R]) -> Iterator[R]:
        """All rows in key order; others may be asked for while it goes on."""

    def offsets(self, group: str) -> Mapping[Place, int]:
        """Up to where the group is done."""


class ViewStore(Protocol):
    """Materialized views of declared tables. Reading never waits for a writer.

    Raises StoreUnavailable once it is closed, StoreBusy where a writer waits for another for too long.
    """

    def create(self, table: Table[R]) -> None:
        """Make the table and its indexes, or leave them.

        Raises ConfigurationError where a table of other columns, types or key stands there.
        """

    def transaction(self) -> AbstractContextManager[ViewTransaction]:
        """A writer's transaction: commits where the block ends, changes nothing where it raises. Not to be nested."""

    def get(self, table: Table[R], keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], R]:
        """The rows that stand under those keys, without waiting for a writer."""

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
        """Rows whose columns equal `where`, ordered by columns, beginning behind the values `after` of these columns.

        A page goes on rightly where the order's columns tell rows apart and hold no None. Decimals may be ordered as
        text.
        Raises InvalidQuery for a column that the table does not have, or a value that no column could hold.
        """

    def find_each(
        self,
        table: Table[R],
        keys: Sequence[tuple[Any, ...]],
        *,
        descending: bool = False,
        after: Any = None,
        limit: int = 1,
    ) -> dict[tuple[Any, ...], list[R]]:
        """Of each key, which is the table's but for its last column, the first rows by that column, an integer.

        The last ones where `descending`; those behind `after`, where it is given. Without waiting for a writer.
        """

    def search(
        self,
        table: Table[R],
        text: str,
        *,
        within: str | None = None,
        after: Sequence[Any] | None = None,
        limit: int = 100,
    ) -> list[R]:
        """Rows that have all words of the text, the last by key first; a word with a star behind it is how one begins.

        `within` keeps to rows that were made searchable within that name; `after` has the key behind which a page
        begins. Raises InvalidQuery for a text of no words or too many, and for a table that declares no words.
        """

    def scan(self, table: Table[R]) -> Iterator[R]:
        """All rows in key order, as one consistent picture."""

    def count(self, table: Table[R]) -> int:
        """The number of rows."""

    def offsets(self, group: str) -> Mapping[Place, int]:
        """Up to where the group is done."""

    def reached(self, group: str, key: str) -> int:
        """The highest version of that key in the group's view; 0 where it has seen none."""

    def parked(self, group: str) -> Mapping[str, str]:
        """The group's parked keys, each with the reason."""

    def parked_since(self, group: str) -> Mapping[str, int]:
        """The group's parked keys, each with the offset of its record that failed."""

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every commit of this process; returns what ends it."""

    def made_by(self, group: str) -> str | None:
        """By which code the group's view is made, as it was marked."""

    def picture(self) -> AbstractContextManager[ViewPicture]:
        """One moment, as long as the block goes on. Writers go on meanwhile."""

    def drop(self, table: Table[R], group: str | None = None) -> None:
        """Remove the table, and the group's offsets, positions, parked keys and mark where one is named.

        Which group keeps the table, see `keeper_mark`, is known no more.
        """

    def close(self) -> None:
        """Give everything back. Closing twice is allowed."""
