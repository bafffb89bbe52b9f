"""Applying a projection to a batch: computed in memory first, written in one go, so that a failure leaves no trace."""

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from itertools import groupby
from operator import itemgetter
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from mainstem.errors import StoreBusy
from mainstem.table import Table
from mainstem.view.batched import Batched, WorkingBatch
from mainstem.view.port import ViewRows
from mainstem.view.projection import Fold, Joined, Projection, Rows, With
from mainstem.view.vectorised import Vectorised
from mainstem.view.window import Windowed
from mainstem.view.windowing import FindEach, WorkingWindows

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
_Key = tuple[Hashable, ...]
_Rows = dict[_Key, Any]
_Get = Callable[[Table[Any], Sequence[_Key]], dict[Any, Any]]


_LOOK_S, _LOOK_EVERY_S = 1.0, 0.01
"""How long a join waits for the other view in one batch, before its listener tells that it waits and begins anew."""


class Working(Protocol[M_contra]):
    """What one batch makes of a view."""

    def handle_all(self, messages: Sequence[M_contra], numbers: Sequence[int]) -> None:
        """Take a whole batch; `numbers` has for each message that of its record, a range where each has one.

        Raises what the projection raises; then nothing of it was taken.
        """

    def handle(self, messages: Sequence[M_contra]) -> None:
        """Take the messages of one record, all or none.

        Raises what the projection raises, or CodecError for a row that no table could hold.
        """

    def write(self, transaction: ViewRows) -> None:
        """Write what was taken."""

    def touched(self) -> Set[_Key]:
        """The keys of the rows that are written, or taken away. Of a join, exact once it was written."""

    def held(self) -> int:
        """How many rows and messages are kept in memory."""


def working(projection: Projection[M], get: _Get, find_each: FindEach | None = None) -> Working[M]:
    """A new one, for one batch. `get` and `find_each` read what stands, as a ViewStore does; windows need both."""
    if isinstance(projection, Windowed):
        if find_each is None:
            raise TypeError(f"{projection.table.name} has windows, which are found in their order")
        return WorkingWindows(projection, get, find_each)
    if isinstance(projection, Joined):
        return WorkingJoin(projection, get, find_each)
    if isinstance(projection, Vectorised):
        from mainstem.view.vectorising import WorkingColumns  # Arrow, which an application may do without

        columns: Working[Any] = WorkingColumns(projection, get)
        return columns
    if isinstance(projection, Rows):
        return _WorkingRows(projection)
    if isinstance(projection, Batched):
        return WorkingBatch(projection, get)
    return _WorkingFold(projection, get)


class _WorkingRows(Generic[M]):
    def __init__(self, projection: Rows[M, Any]) -> None:
        self._projection = projection
        self._rows: list[Struct] = []

    def handle_all(self, messages: Sequence[M], numbers: Sequence[int]) -> None:  # noqa: ARG002 - rows stand alone
        make = self._projection.make
        self._rows.extend([row for message in messages for row in make(message)])

    def handle(self, messages: Sequence[M]) -> None:
        rows = [row for message in messages for row in self._projection.make(message)]
        for row in rows:
            self._projection.table.check(row)
        self._rows.extend(rows)

    def write(self, transaction: ViewRows) -> None:
        if self._rows:
            transaction.add(self._projection.table, self._rows)

    def touched(self) -> Set[_Key]:
        return {self._projection.table.key_of(row) for row in self._rows}

    def held(self) -> int:
        return len(self._rows)


class _WorkingFold(Generic[M]):
    def __init__(self, projection: Fold[M, Any], get: _Get) -> None:
        self._projection = projection
        self._get = get
        self._known: dict[_Key, Struct | None] = {}
        self._changed: dict[_Key, Struct | None] = {}

    def handle_all(self, messages: Sequence[M], numbers: Sequence[int]) -> None:
        key_of = self._projection.key
        keys = [key_of(message) for message in messages]
        touched = dict.fromkeys(keys)
        self._load([key for key in touched if key not in self._known])
        known, changed = self._known.copy(), self._changed.copy()
        if isinstance(numbers, range):
            self._fold_each(known, keys, messages)
        else:
            of_record = groupby(zip(numbers, keys, messages, strict=True), key=itemgetter(0))
            for _, group in of_record:
                known.update(self._folded(known, [(key, message) for _, key, message in group]))
        changed.update((key, known[key]) for key in touched)
        self._check_places((key, known[key]) for key in touched)
        self._known, self._changed = known, changed

    def _fold_each(self, known: dict[_Key, Struct | None], keys: Sequence[_Key], messages: Sequence[M]) -> None:
        fold, done = self._projection.fold, self._projection.done
        for key, message in zip(keys, messages, strict=True):
            row = known[key]
            if done is None or row is None or not done(row, message):
                known[key] = fold(row, message)

    def _folded(
        self, known: Mapping[_Key, Struct | None], messages: Sequence[tuple[_Key, M]]
    ) -> dict[_Key, Struct | None]:
        """The rows that the messages of one record change. All have one place, so the row before them tells of all
        whether they were done already.
        """
        fold, done = self._projection.fold, self._projection.done
        rows: dict[_Key, Struct | None] = {}
        for key, message in messages:
            before = known[key]
            if done is None or before is None or not done(before, message):
                rows[key] = fold(rows.get(key, before), message)
        return rows

    def handle(self, messages: Sequence[M]) -> None:
        keyed = [(self._projection.key(message), message) for message in messages]
        self._load([key for key in dict.fromkeys(key for key, _ in keyed) if key not in self._known])
        rows = self._folded(self._known, keyed)
        for row in rows.values():
            if row is not None:
                self._projection.table.check(row)
        self._check_places(rows.items())
        self._known.update(rows)
        self._changed.update(rows)

    def write(self, transaction: ViewRows) -> None:
        table = self._projection.table
        rows = [row for row in self._changed.values() if row is not None]
        gone = [key for key, row in self._changed.items() if row is None]
        if rows:
            transaction.put(table, rows)
        if gone:
            transaction.remove(table, gone)

    def touched(self) -> Set[_Key]:
        return self._changed.keys()

    def held(self) -> int:
        return len(self._known)

    def _check_places(self, rows: Iterable[tuple[_Key, Struct | None]]) -> None:
        """Of rows that are of the table; others are told when they are written."""
        table = self._projection.table
        table.check_places((key, row) for key, row in rows if isinstance(row, table.row))

    def _load(self, keys: Sequence[_Key]) -> None:
        self._projection.table.check_keys(keys)
        found = self._get(self._projection.table, keys)
        for key in keys:
            self._known[key] = found.get(key)


def _has_none(key: object) -> bool:
    """Whether it is the key of no row because a message names none."""
    return isinstance(key, tuple) and None in key


class WorkingJoin(Generic[M]):
    """The other view's rows are read when messages come; where these are others once it writes, all is made again."""

    def __init__(self, projection: Joined[M, Any], get: _Get, find_each: FindEach | None) -> None:
        self._projection = projection
        self._get = get
        self._find_each = find_each
        self._rows: _Rows = {}
        self._taken: list[tuple[Sequence[M], Sequence[int] | None]] = []
        self._working = self._begin()

    def _begin(self) -> Working[With[M, Any]]:
        return working(self._projection.into, self._get, self._find_each)

    def handle_all(self, messages: Sequence[M], numbers: Sequence[int]) -> None:
        """Raises StoreBusy too, where the other view has not come far enough."""
        self._working.handle_all(self._joined(messages, self._look(messages)), numbers)
        self._taken.append((messages, numbers))

    def handle(self, messages: Sequence[M]) -> None:
        """Raises StoreBusy too, where the other view has not come far enough."""
        self._working.handle(self._joined(messages, self._look(messages)))
        self._taken.append((messages, None))

    def write(self, transaction: ViewRows) -> None:
        rows = self._read(transaction.get, list(self._rows))
        if rows != self._rows:
            self._rows, self._working = rows, self._begin()
            for messages, numbers in self._taken:
                joined = self._joined(messages, map(self._projection.on, messages))
                if numbers is None:
                    self._working.handle(joined)
                else:
                    self._working.handle_all(joined, numbers)
        self._working.write(transaction)

    def touched(self) -> Set[_Key]:
        return self._working.touched()

    def held(self) -> int:
        return self._working.held() + sum(len(messages) for messages, _ in self._taken)

    def told(self, messages: Sequence[M]) -> Sequence[Any]:
        """What `emit` takes of them. Raises StoreBusy where the other view has not come far enough."""
        if not self._projection.emits_both:
            return messages
        return self._joined(messages, self._look(messages))

    def _joined(self, messages: Sequence[M], keys: Iterable[_Key]) -> list[With[M, Any]]:
        return [With(message, self._rows[key]) for message, key in zip(messages, keys, strict=True)]

    def _look(self, messages: Sequence[M]) -> list[_Key]:
        """The key of each message, of which the row is known then."""
        ready, keys = self._projection.ready, list(map(self._projection.on, messages))
        asked = dict.fromkeys(keys)
        self._projection.other.check_keys(key for key in asked if not _has_none(key))
        self._rows.update(self._read(self._get, [key for key in asked if key not in self._rows]))
        until = time.monotonic() + _LOOK_S
        while ready is not None:
            told = zip(messages, keys, strict=True)
            behind = [key for message, key in told if not ready(self._rows[key], message)]
            if not behind:
                break
            if time.monotonic() > until:
                name = self._projection.other.name
                raise StoreBusy(
                    f"waits for {name} {behind[0]!r:.100}: that view has not come far enough, or is stopped"
                )
            time.sleep(_LOOK_EVERY_S)
            self._rows.update(self._read(self._get, list(dict.fromkeys(behind))))
        return keys

    def _read(self, get: _Get, keys: Sequence[_Key]) -> _Rows:
        found = get(self._projection.other, keys) if keys else {}
        return {key: found.get(key) for key in keys}
