"""Ranges of a store, checked one after another or by several processes beside each other."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, TypeVar

from mainstem.errors import StoreUnavailable
from mainstem.eventstore.integrity import Integrity

T = TypeVar("T")
Open = Callable[[], Integrity]

_AHEAD = 2
"""So many ranges wait for each worker."""

_opened: list[Integrity] = []
"""What a worker has opened, for its whole life."""


class Ranges:
    """Checks on one store. With more than one worker each opens the store by itself. Use it as a context manager."""

    def __init__(self, integrity: Integrity, open_: Open, workers: int) -> None:
        self._integrity = integrity
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        if workers > 1:
            # spawned: a process that was forked would share the store's connections
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, context, _begin, (open_,))

    def __enter__(self) -> "Ranges":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def each(
        self, check: Callable[..., tuple[T, int]], tasks: Iterable[tuple[Any, ...]], progress: Callable[[int], None]
    ) -> Iterator[T]:
        """What the check finds in each range, in their order; `progress` hears how much each has looked at.

        Raises what the check raises, StoreUnavailable where a worker dies.
        """
        for found, done in self._results(check, tasks):
            progress(done)
            yield found

    def _results(self, check: Callable[..., T], tasks: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        if self._pool is None:
            yield from (check(self._integrity, *task) for task in tasks)
            return
        waiting: deque[Future[T]] = deque()
        try:
            for task in tasks:
                waiting.append(self._pool.submit(_check, check, task))
                if len(waiting) > self._workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise StoreUnavailable("a process that was verifying has died; nothing is known of what it read") from error


def _begin(open_: Open) -> None:
    _opened.append(open_())


def _check(check: Callable[..., T], task: tuple[Any, ...]) -> T:
    return check(_opened[0], *task)
