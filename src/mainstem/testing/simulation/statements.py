"""Where a simulation meets SQLite: each statement of its files' connections, by SQLite's own hooks.

Every connection that is opened below the simulation's folder is met, whoever opens it. Nothing is put in the place of
SQLite: it is told the virtual time, asked before each statement, and given files that cannot grow.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from weakref import WeakSet, ref

import apsw

_JULIAN_EPOCH, _DAY_MS = 2440587.5, 86_400_000
_PAGES_MAX = 4_294_967_294


class Moment(StrEnum):
    """A moment in the life of a transaction at which the process may die."""

    BEGIN = "begin"
    WRITE = "write"
    COMMIT = "commit"
    COMMITTED = "committed"


_VERBS = {
    "BEGIN": Moment.BEGIN,
    "INSERT": Moment.WRITE,
    "UPDATE": Moment.WRITE,
    "DELETE": Moment.WRITE,
    "COMMIT": Moment.COMMIT,
}


class Statements:
    """`reached` hears each moment, with the name of the file, just before it comes; it may raise."""

    def __init__(self, root: Path, clock_ms: Callable[[], int], reached: Callable[[Moment, str], None]) -> None:
        self._root = root
        self._clock_ms = clock_ms
        self._reached = reached
        self._open: dict[str, WeakSet[apsw.Connection]] = {}
        self._full: set[str] = set()
        self._committing: str | None = None

    @contextmanager
    def met(self) -> Iterator[None]:
        """Within, the statements are heard."""
        apsw.connection_hooks.append(self._meet)
        try:
            yield
        finally:
            apsw.connection_hooks.remove(self._meet)

    def _meet(self, connection: apsw.Connection) -> None:
        path = Path(connection.filename)
        if not path.is_relative_to(self._root):
            return
        name, clock_ms = path.name, self._clock_ms
        me = ref(self)  # a connection's hooks are not seen by the garbage collector: in a circle they would stay

        def traced(_cursor: apsw.Cursor, sql: str, _values: object) -> bool:
            if (own := me()) is not None:
                own.come(sql, name)
            return True

        def julian_day(*_now: object) -> float:
            """The triggers of the capture ask for it."""
            return clock_ms() / _DAY_MS + _JULIAN_EPOCH

        connection.exec_trace = traced
        connection.create_scalar_function("julianday", julian_day, 1)
        self._open.setdefault(name, WeakSet()).add(connection)
        if name in self._full:
            _limit(connection, full=True)

    def come(self, sql: str, name: str) -> None:
        """A statement on a connection to the file comes."""
        self.over()
        moment = _VERBS.get(sql.lstrip()[:6].strip().upper())
        if moment is not None:
            self._reached(moment, name)
            if moment is Moment.COMMIT:
                self._committing = name

    def over(self) -> None:
        """A commit that was begun is over: at the latest when the next statement comes, or the stage has ended."""
        name, self._committing = self._committing, None
        if name is not None:
            self._reached(Moment.COMMITTED, name)

    def fill(self, name: str) -> None:
        """The file can grow no more."""
        self._full.add(name)
        for connection in self._connections(name):
            _limit(connection, full=True)

    def empty(self, name: str) -> None:
        """It can again."""
        self._full.discard(name)
        for connection in self._connections(name):
            _limit(connection, full=False)

    def forget(self) -> None:
        """The process has died, and with it its connections; somebody makes room."""
        self._open.clear()
        self._full.clear()
        self._committing = None

    @property
    def full(self) -> frozenset[str]:
        """The files that cannot grow."""
        return frozenset(self._full)

    def _connections(self, name: str) -> list[apsw.Connection]:
        return list(self._open.get(name, ()))


def _limit(connection: apsw.Connection, *, full: bool) -> None:
    """By SQLite's own limit of pages; a connection that was closed needs none."""
    with suppress(apsw.ConnectionClosedError, apsw.NotADBError):
        pages = connection.pragma("page_count") if full else _PAGES_MAX
        connection.pragma("max_page_count", pages)
