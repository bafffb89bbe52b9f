"""Applying windows to a batch: in memory first, as every projection; what fails leaves no trace.

A window that a message falls into is looked up by its key. Sessions have no key that a time tells, so those near it are
asked for in their order; two at most can overlap one message's. The rows in memory are those that the batch touches,
and of sessions, and of windows that are kept for a time, the newest two of each key.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from mainstem.table import Table
from mainstem.view.port import ViewRows
from mainstem.view.window import Session, Window, Windowed

M = TypeVar("M")
R = TypeVar("R", bound=Struct)
_Key = tuple[Hashable, ...]
_Get = Callable[[Table[Any], Sequence[_Key]], dict[Any, Any]]

_NEAR = 2
_EXPIRED_MAX = 1_000
"""How many windows of one key go in one batch; what is left goes with the next ones."""


class FindEach(Protocol):
    """`ViewStore.find_each`."""

    def __call__(
        self,
        table: Table[R],
        keys: Sequence[tuple[Any, ...]],
        *,
        descending: bool = False,
        after: Any = None,
        limit: int = 1,
    ) -> dict[tuple[Any, ...], list[R]]:
        """Of each key its first rows, or its last ones."""


class _Made(NamedTuple, Generic[M]):
    """What a message makes alone of one window."""

    message: M
    key: _Key
    window: Window
    row: Any


class _Pane(NamedTuple, Generic[M]):
    """Messages of one key that are in the same windows, each with what it makes alone."""

    key: _Key
    windows: Sequence[Window]
    made: list[tuple[M, Any]]


class _Newest(Struct):
    """The newest session of a key while it grows; the row itself does not know yet where it ends."""

    row: Any
    begin_ms: int
    end_ms: int


def _first(key: _Key) -> _Key:
    """That of a window, for what is said to be the key of a row but for it."""
    return (*key, 0)


def _placed(row: Any, window: Window) -> Any:
    """The row, which stands for that window whatever it says."""
    begin, end = window
    return row if row.begin_ms == begin and row.end_ms == end else replace(row, begin_ms=begin, end_ms=end)


class WorkingWindows(Generic[M]):
    """What one batch makes of windows."""

    def __init__(self, projection: Windowed[M, Any], get: _Get, find_each: FindEach) -> None:
        self._projection = projection
        self._get = get
        self._find_each = find_each
        self._stands: dict[_Key, Any] = {}
        self._rows: dict[_Key, Any] = {}
        self._begins: dict[_Key, list[int]] = {}
        self._last: dict[_Key, Sequence[Any]] = {}
        self._newest: dict[_Key, int] = {}
        self._undo: list[Callable[[], object]] = []
        self._in_sessions = isinstance(projection.window, Session)
        self._follows = projection.keep_ms is not None or self._in_sessions

    def handle_all(self, messages: Sequence[M], numbers: Sequence[int]) -> None:
        """All, or none where it raises."""
        if isinstance(numbers, range):
            with self._undoing():
                if self._in_sessions:
                    self._take_each_session(messages)
                else:
                    self._take_each(messages)
        else:
            of_record = groupby(zip(numbers, messages, strict=True), key=itemgetter(0))
            self._take([[message for _, message in group] for _, group in of_record], check=False)

    def handle(self, messages: Sequence[M]) -> None:
        """All of one record, or none where it raises."""
        self._take([messages], check=True)

    def write(self, transaction: ViewRows) -> None:
        """What was changed; windows that are no longer kept go."""
        table = self._projection.table
        self._expire_all()
        rows = [row for row in self._rows.values() if row is not None]
        gone = [key for key, row in self._rows.items() if row is None]
        table.check_places(self._rows.items())
        if rows:
            transaction.put(table, rows)
        if gone:
            transaction.remove(table, gone)

    def touched(self) -> Set[_Key]:
        """Those of windows that are no longer kept too."""
        self._expire_all()
        return self._rows.keys()

    def held(self) -> int:
        """Rows that stand, and those that are written."""
        return len(self._stands) + len(self._rows) + _NEAR * len(self._last)

    def _take_each(self, messages: Sequence[M]) -> None:
        """Each a record of its own, of windows that have their place: as `_take`, with less to look at for each.

        Messages of the same windows are merged with each other first, and then once into each of these.
        """
        merge, keeps = self._projection.merge, self._projection.keep_ms is not None
        panes = self._panes(messages)
        self._load({(*pane.key, window.begin_ms) for pane in panes for window in pane.windows})
        rows: dict[_Key, Any] = {}
        for pane in panes:
            one = self._together(pane)
            for window in pane.windows if one is not None else ():
                full = (*pane.key, window.begin_ms)
                row = rows[full] if full in rows else self._standing(full)
                if row is None and keeps:
                    if self._too_late(pane.key, window):
                        continue
                    self._reach(pane.key, window.end_ms)
                rows[full] = _placed(one if row is None else merge(row, one), window)
        self._rows.update(rows)

    def _panes(self, messages: Sequence[M]) -> Collection[_Pane[M]]:
        """In the order of the first messages."""
        projection = self._projection
        of, at_ms, make, key_of = projection.window.of, projection.at_ms, projection.make, projection.key
        found: dict[_Key, _Pane[M]] = {}
        for message in messages:
            windows = of(at_ms(message))
            row = make(message, windows[-1])
            if row is None:
                continue
            key = key_of(message)
            full = (*key, windows[-1].begin_ms)
            if (pane := found.get(full)) is None:
                found[full] = _Pane(key, windows, [(message, row)])
            else:
                pane.made.append((message, row))
        return found.values()

    def _together(self, pane: _Pane[M]) -> Any | None:
        """Those messages that are not done; whether one is, the last of its windows knows as well as the others."""
        done, merge = self._projection.done, self._projection.merge
        made = pane.made
        stands = self._standing((*pane.key, pane.windows[-1].begin_ms))
        if done is not None and stands is not None:
            made = [each for each in made if not done(stands, each[0])]
        together = None
        for message, row in made:
            if together is None:
                together = row
            elif done is None or not done(together, message):
                together = merge(together, row)
        return together

    def _take_each_session(self, messages: Sequence[M]) -> None:
        """Each a record of its own. Most go on with the newest session of their key, which then no other overlaps."""
        done, merge = self._projection.done, self._projection.merge
        made = self._each_made(messages)
        self._load_last({each.key for each in made})
        newest: dict[_Key, _Newest] = {}
        for each in made:
            message, key, (begin, end), one = each
            session = newest.get(key)
            if session is not None and session.begin_ms <= begin < session.end_ms:
                if done is None or not done(session.row, message):
                    session.row = merge(session.row, one)
                    session.end_ms = max(session.end_ms, end)
                continue
            self._put_newest(key, newest.pop(key, None))
            self._of_record([each], check=False)
            if (row := self._newest_row(key)) is not None:
                newest[key] = _Newest(row, row.begin_ms, row.end_ms)
        for key, session in newest.items():
            self._put_newest(key, session)

    def _each_made(self, messages: Sequence[M]) -> list[_Made[M]]:
        projection = self._projection
        of, at_ms, make, key_of = projection.window.of, projection.at_ms, projection.make, projection.key
        found: list[_Made[M]] = []
        for message in messages:
            window = of(at_ms(message))[-1]
            row = make(message, window)
            if row is not None:
                found.append(_Made(message, key_of(message), window, row))
        return found

    def _put_newest(self, key: _Key, session: _Newest | None) -> None:
        if session is not None and session.row is not self._rows[(*key, session.begin_ms)]:
            self._set(key, session.begin_ms, _placed(session.row, Window(session.begin_ms, session.end_ms)))
            self._reach(key, session.end_ms)

    def _newest_row(self, key: _Key) -> Any | None:
        """The newest window of the key, where it is one that is written."""
        begins = self._begins.get(key)
        row = self._rows[(*key, begins[-1])] if begins else None
        return row if row is not None and row.end_ms == self._newest.get(key) else None

    def _take(self, records: Sequence[Sequence[M]], *, check: bool) -> None:
        with self._undoing():
            made = [[each for message in record for each in self._made(message)] for record in records]
            if self._in_sessions:
                self._load_last({each.key for record in made for each in record})
            else:
                self._load({(*each.key, each.window.begin_ms) for record in made for each in record})
            for record in made:
                self._of_record(record, check=check)

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        """Where it raises all is as it was."""
        try:
            yield
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            raise
        finally:
            self._undo.clear()

    def _load(self, wanted: Set[_Key]) -> None:
        """Windows that have a place in time which a message tells, all in one go."""
        missing = [key for key in wanted if key not in self._rows and key not in self._stands]
        self._projection.table.check_keys(missing)
        found = self._get(self._projection.table, missing)
        self._stands.update((key, found.get(key)) for key in missing)
        if self._follows:
            self._load_last({key[:-1] for key in missing if key not in found})

    def _load_last(self, keys: Set[_Key]) -> None:
        """The newest windows that stand of each key: all, where they are fewer than `_NEAR`. Those first."""
        table, missing = self._projection.table, [key for key in keys if key not in self._last]
        table.check_keys(_first(key) for key in missing)
        if missing:
            self._last.update(self._find_each(table, missing, descending=True, limit=_NEAR))

    def _made(self, message: M) -> list[_Made[M]]:
        windows = self._projection.window.of(self._projection.at_ms(message))
        row = self._projection.make(message, windows[-1])
        if row is None:
            return []
        key = self._key_of(message)
        return [_Made(message, key, window, row) for window in windows]

    def _key_of(self, message: M) -> _Key:
        key = self._projection.key(message)
        self._projection.table.check_keys([_first(key)])
        return key

    def _of_record(self, made: Sequence[_Made[M]], *, check: bool) -> None:
        """All messages of a record have one place: what stood before them tells whether they are done."""
        done = self._projection.done
        found = [(each, self._near(each.key, each.window)) for each in made]
        if done is not None:
            found = [(each, near) for each, near in found if not any(done(row, each.message) for row in near)]
        for number, (each, near) in enumerate(found):
            stands = self._near(each.key, each.window) if number else near
            self._merge(each, stands, check=check)

    def _near(self, key: _Key, window: Window) -> list[Any]:
        """What stands of the window: of a session all that overlap it."""
        if self._in_sessions:
            return self._overlapping(key, window)
        row = self._standing((*key, window.begin_ms))
        return [] if row is None else [row]

    def _standing(self, full: _Key) -> Any:
        return self._rows[full] if full in self._rows else self._stands.get(full)

    def _overlapping(self, key: _Key, window: Window) -> list[Any]:
        begins = self._begins.get(key, [])
        found = []
        for begin in begins[max(0, bisect_left(begins, window.begin_ms) - 1) : bisect_left(begins, window.end_ms)]:
            row = self._rows[(*key, begin)]
            if row.end_ms > window.begin_ms:
                found.append(row)
        if found and found[0].begin_ms <= window.begin_ms and found[0].end_ms >= window.end_ms:
            return found
        standing = self._last_of(key)
        if len(standing) == _NEAR and standing[0].begin_ms >= window.end_ms:
            asked = self._find_each(self._projection.table, [key], descending=True, after=window.end_ms, limit=_NEAR)
            standing = asked[key]
        others = [
            row
            for row in standing
            if row.begin_ms < window.end_ms and row.end_ms > window.begin_ms and (*key, row.begin_ms) not in self._rows
        ]
        return [*others, *found]

    def _merge(self, made: _Made[M], near: Sequence[Any], *, check: bool) -> None:
        """Together with what stands near it."""
        _, key, window, row = made
        merge, table = self._projection.merge, self._projection.table
        if not near and self._too_late(key, window):
            return
        begin = min([window.begin_ms, *(each.begin_ms for each in near)])
        end = max([window.end_ms, *(each.end_ms for each in near)])
        for each in near:
            row = merge(each, row)
        row = _placed(row, Window(begin, end))
        if check:
            table.check(row)
            table.check_places([((*key, begin), row)])
        for each in near:
            if each.begin_ms != begin:
                self._set(key, each.begin_ms, None)
        self._set(key, begin, row)
        if self._follows and (not near or end > max(each.end_ms for each in near)):
            self._reach(key, end)

    def _too_late(self, key: _Key, window: Window) -> bool:
        keep = self._projection.keep_ms
        return keep is not None and window.end_ms <= self._newest_of(key) - keep

    def _newest_of(self, key: _Key) -> int:
        """Where the key's newest window ends, so far; beyond all time where it has none."""
        if key not in self._newest:
            rows = self._last_of(key)
            self._remember(key, rows[0].end_ms if rows else -(2**63))
        return self._newest[key]

    def _last_of(self, key: _Key) -> Sequence[Any]:
        if key not in self._last:
            self._load_last({key})
        return self._last[key]

    def _reach(self, key: _Key, end_ms: int) -> None:
        if end_ms > self._newest_of(key):
            self._remember(key, end_ms)

    def _remember(self, key: _Key, end_ms: int) -> None:
        before = self._newest.get(key)
        self._newest[key] = end_ms
        if before is not None:
            self._undo.append(lambda: self._newest.__setitem__(key, before))
        else:
            self._undo.append(lambda: self._newest.pop(key))

    def _set(self, key: _Key, begin_ms: int, row: Any) -> None:
        full = (*key, begin_ms)
        was_there, before = full in self._rows, self._rows.get(full)
        self._rows[full] = row
        self._list(key, begin_ms, there=row is not None)

        def undo() -> None:
            if was_there:
                self._rows[full] = before
            else:
                del self._rows[full]
            self._list(key, begin_ms, there=before is not None)

        self._undo.append(undo)

    def _list(self, key: _Key, begin_ms: int, *, there: bool) -> None:
        begins = self._begins.setdefault(key, [])
        at = bisect_left(begins, begin_ms)
        listed = at < len(begins) and begins[at] == begin_ms
        if there and not listed:
            insort(begins, begin_ms)
        elif listed and not there:
            del begins[at]

    def _expire_all(self) -> None:
        """A second time it finds nothing more to do."""
        keep = self._projection.keep_ms
        if keep is None:
            return
        until = {key: newest - keep for key, newest in self._newest.items()}
        for full in self._expired(until):
            self._rows.setdefault(full, None)
        for full, row in list(self._rows.items()) if until else ():
            if row is not None and full[:-1] in until and row.end_ms <= until[full[:-1]]:
                self._set(full[:-1], row.begin_ms, None)
        self._undo.clear()

    def _expired(self, until: Mapping[_Key, int]) -> list[_Key]:
        """Of the windows that stand; the oldest go first: windows that begin later end later."""
        table, oldest = self._projection.table, {key: self._last_of(key) for key in until}
        more = [key for key, rows in oldest.items() if len(rows) == _NEAR]
        if more:
            oldest |= self._find_each(table, more)
        gone = [key for key in more if oldest[key] and oldest[key][0].end_ms <= until[key]]
        if gone:
            oldest |= self._find_each(table, gone, limit=_EXPIRED_MAX)
        return [(*key, row.begin_ms) for key, rows in oldest.items() for row in rows if row.end_ms <= until[key]]
