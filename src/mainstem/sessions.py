"""Connections to a server as every adapter of one uses them: made anew where they are lost, shared with limits."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from queue import Empty, LifoQueue
from typing import ClassVar, Generic, Protocol, TypeVar

from mainstem.errors import StoreBusy, StoreUnavailable

_FRESH_S = 1.0
_WAIT_S = 30.0


class _Connection(Protocol):
    """What connections of all drivers have."""

    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


C = TypeVar("C", bound=_Connection)


class Session(ABC, Generic[C]):
    """One connection, made when it is first used and again where it was lost. One thread uses it at a time."""

    lost: ClassVar[tuple[type[Exception], ...]]
    """What the driver raises."""

    def __init__(self) -> None:
        self._connection: C | None = None
        self._used_at = 0.0

    @abstractmethod
    def connect(self) -> C:
        """Another connection, which commits each statement unless told otherwise; errors are mapped."""

    @abstractmethod
    def mapped(self) -> AbstractContextManager[None]:
        """Turns the driver's errors into mainstem's."""

    @abstractmethod
    def ping(self, connection: C) -> None:
        """Raises what the driver raises where the server does not answer."""

    @abstractmethod
    def begin(self, connection: C) -> None:
        """Begin a transaction."""

    @contextmanager
    def use(self) -> Iterator[C]:
        """The connection, known to be alive a second ago. Errors are mapped; after one it is made anew."""
        connection = self._alive()
        try:
            with self.mapped():
                yield connection
        except BaseException:
            self.close()
            raise
        self._used_at = time.monotonic()

    @contextmanager
    def transaction(self) -> Iterator[C]:
        """COMMIT where the block ends, ROLLBACK where it raises.

        Where the connection is lost while it commits, StoreUnavailable leaves open whether it has.
        """
        connection = self._alive()
        try:
            with self.mapped():
                self.begin(connection)
                yield connection
                connection.commit()
        except BaseException:
            self._roll_back(connection)
            raise
        self._used_at = time.monotonic()

    def close(self) -> None:
        """Give the connection back; the next use makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self.lost):
                connection.close()

    def _alive(self) -> C:
        connection = self._connection
        if connection is not None and time.monotonic() - self._used_at > _FRESH_S:
            try:
                self.ping(connection)
            except self.lost:
                self.close()
        if self._connection is None:
            self._connection = self.connect()
        return self._connection

    def _roll_back(self, connection: C) -> None:
        try:
            connection.rollback()
        except self.lost:
            self.close()


class SessionPool(Generic[C]):
    """A few sessions for readers of any thread. `server` is what errors name."""

    def __init__(self, server: object, make: Callable[[], Session[C]], size: int) -> None:
        self._server = server
        self._sessions: LifoQueue[Session[C]] = LifoQueue()
        self._all = [make() for _ in range(size)]
        for session in self._all:
            self._sessions.put(session)
        self._closed = False

    @contextmanager
    def use(self) -> Iterator[C]:
        """One of them. Raises StoreBusy where all are in use for too long, StoreUnavailable once the pool is closed."""
        self.check_open()
        try:
            session = self._sessions.get(timeout=_WAIT_S)
        except Empty:
            raise StoreBusy(f"{self._server} is being read by too many for more than {_WAIT_S:.0f} s") from None
        try:
            self.check_open()
            with session.use() as connection:
                yield connection
        finally:
            self._sessions.put(session)

    def check_open(self) -> None:
        """Raises StoreUnavailable once it is closed."""
        if self._closed:
            raise StoreUnavailable(f"{self._server}: the store is closed")

    def close(self) -> None:
        """Waits for readers that are at work; those that come later are told that it is closed."""
        if self._closed:
            return
        self._closed = True
        for session in [self._sessions.get() for _ in self._all]:
            session.close()
            self._sessions.put(session)  # whoever waits for one gets it, and sees that it is closed


class SessionWriter(Generic[C]):
    """One session for writers of any thread, who take turns. `server` is what errors name."""

    def __init__(self, server: object, session: Session[C]) -> None:
        self._server = server
        self._turn = threading.Lock()
        self._session = session
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[C]:
        """Raises StoreBusy where another thread writes for too long, StoreUnavailable once it is closed."""
        if not self._turn.acquire(timeout=_WAIT_S):
            raise StoreBusy(f"{self._server} is being written by another thread for more than {_WAIT_S:.0f} s")
        try:
            if self._closed:
                raise StoreUnavailable(f"{self._server}: the store is closed")
            with self._session.transaction() as connection:
                yield connection
        finally:
            self._turn.release()

    def close(self) -> None:
        """Waits for the writer that is at work."""
        with self._turn:
            self._closed = True
            self._session.close()
