"""Views made of batches: one function is given many messages, and the rows that they are about.

Nothing here does I/O.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import Struct

from mainstem.errors import CodecError, ConfigurationError
from mainstem.table import Table
from mainstem.view.port import ViewRows

M = TypeVar("M")
R = TypeVar("R", bound=Struct)

Key = tuple[Hashable, ...]
_Get = Callable[[Table[Any], Sequence[Key]], dict[Any, Any]]
_NOTHING = (0, -1)


@dataclass(frozen=True)
class Batched(Generic[M, R]):
    """One row per key, of many messages at once: `fold(rows, messages)` has the rows after the messages, by their keys.

    `rows` are those that stand under the messages' keys. A key that is left out of the answer keeps its row; of one
    with None no row stands any more. A batch is whatever came together, so that the answer must be the same however
    messages are cut into batches; those of one key come in their order.

    With `done`, the name of a column in which `fold` puts the message's `version`, messages that come again are left
    out before `fold` hears of them; then a key is that of an aggregate. Raises ConfigurationError for another name.
    """

    table: Table[R]
    key: Callable[[M], Key]
    fold: Callable[[Mapping[Key, R], Sequence[M]], Mapping[Key, R | None]]
    done: str | None = None

    def __post_init__(self) -> None:
        integers = [column.name for column in self.table.columns if column.kind == "integer"]
        if self.done is not None and self.done not in integers:
            raise ConfigurationError(f"done of {self.table.name} names {self.done!r}; its integers are {integers}")


class WorkingBatch(Generic[M]):
    """What one batch makes of a view by its function."""

    def __init__(self, projection: Batched[M, Any], get: _Get) -> None:
        self._projection = projection
        self._table = projection.table
        self._get = get
        self._known: dict[Key, Any] = {}
        self._changed: dict[Key, Any] = {}

    def handle_all(self, messages: Sequence[M], numbers: Sequence[int]) -> None:
        """All, or none where it raises."""
        self._take(self._folded(messages, numbers))

    def handle(self, messages: Sequence[M]) -> None:
        """All of one record, or none where it raises."""
        rows = self._folded(messages, [0] * len(messages))
        for row in rows.values():
            if row is not None:
                self._table.check(row)
        self._take(rows)

    def write(self, transaction: ViewRows) -> None:
        """What was changed."""
        rows = [row for row in self._changed.values() if row is not None]
        gone = [key for key, row in self._changed.items() if row is None]
        if rows:
            transaction.put(self._table, rows)
        if gone:
            transaction.remove(self._table, gone)

    def touched(self) -> Set[Key]:
        """Those of the changed rows."""
        return self._changed.keys()

    def held(self) -> int:
        """The rows that are known."""
        return len(self._known)

    def _take(self, rows: Mapping[Key, Any]) -> None:
        self._known.update(rows)
        self._changed.update(rows)

    def _folded(self, messages: Sequence[M], numbers: Sequence[int]) -> Mapping[Key, Any]:
        keys = [self._projection.key(message) for message in messages]
        self._load([key for key in dict.fromkeys(keys) if key not in self._known])
        if self._projection.done is not None:
            keys, messages = self._new(self._projection.done, keys, messages, numbers)
        if not messages:
            return {}
        stands = {key: row for key in dict.fromkeys(keys) if (row := self._known[key]) is not None}
        made = self._projection.fold(stands, messages)
        self._check(made, set(keys))
        return made

    def _new(
        self, done: str, keys: Sequence[Key], messages: Sequence[M], numbers: Sequence[int]
    ) -> tuple[list[Key], list[M]]:
        """The messages that no row has yet. What one record holds has one version, and goes together."""
        reached: dict[Key, tuple[int, int]] = {}
        found: tuple[list[Key], list[M]] = ([], [])
        for number, key, message in zip(numbers, keys, messages, strict=True):
            if key not in reached:
                row = self._known[key]
                reached[key] = _NOTHING if row is None else (getattr(row, done), -1)
            version, record = reached[key]
            own: int = message.version  # type: ignore[attr-defined] # who names `done` has such messages
            if own > version:
                reached[key] = (own, number)
            elif (own, number) != (version, record):
                continue
            found[0].append(key)
            found[1].append(message)
        return found

    def _check(self, made: Mapping[Key, Any], asked: Set[Key]) -> None:
        """Raises CodecError for what is no row of the view, or of a key that nobody asked about."""
        for key, row in made.items():
            if key not in asked:
                raise CodecError(f"a row of {self._table.name} has the key {key!r}, which no message of the batch has")
            if row is not None and (type(row) is not self._table.row or self._table.key_of(row) != key):
                raise CodecError(f"under the key {key!r} no row of {self._table.name} was made with that key")

    def _load(self, keys: Sequence[Key]) -> None:
        self._table.check_keys(keys)
        found = self._get(self._table, keys) if keys else {}
        self._known.update((key, found.get(key)) for key in keys)
