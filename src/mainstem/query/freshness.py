"""Waiting for a view to reach a position: how a client reads its own write."""

import asyncio
from collections.abc import Callable, Sequence

from mainstem.errors import NotYetThere
from mainstem.messages import Position
from mainstem.view.port import ViewStore

_LOOK_FIRST_S, _LOOK_LONGEST_S = 0.005, 0.1
"""How long a waiter trusts that it would be woken, longer each time: a view may be kept by another process."""

_AT_ONCE = 4
"""So many threads ask for all who wait: one of their own for each would keep the machine from what they wait for."""


class Freshness:
    """Wakes waiting queries when views commit. One for each event loop; `close` ends it."""

    def __init__(self, views: ViewStore, loop: asyncio.AbstractEventLoop) -> None:
        self._views = views
        self._loop = loop
        self._waiting: set[_Waiter] = set()
        self._looking: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._end: Callable[[], None] = views.on_commit(self._committed)

    async def reached(self, group: str, position: Position, timeout_s: float) -> None:
        """Return when the group's view has the position. Raises NotYetThere after `timeout_s`.

        The view store is asked in a thread: it may be a server, and that may be slow.
        """

        def there() -> bool:
            return self._views.reached(group, position.key) >= position.version

        told = f"the view has not reached the position within {round(timeout_s, 2):g} s"
        await self.until(there, timeout_s, told)

    async def until(self, there: Callable[[], bool], timeout_s: float, otherwise: str) -> None:
        """Return when it is so, which may be slow to ask. Raises NotYetThere with that text after `timeout_s`."""
        deadline = self._loop.time() + timeout_s
        waiter = _Waiter(there, self._loop)
        self._waiting.add(waiter)  # before it asks: who looks for all is not told of what came between
        try:
            if await asyncio.to_thread(there):
                return
            self._have_looked()
            await waiter.told(deadline, otherwise)
        finally:
            self._waiting.discard(waiter)

    def close(self) -> None:
        """Hear of no more commits."""
        self._end()
        if self._looking is not None:
            self._looking.cancel()

    def _committed(self) -> None:
        if self._waiting and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    def _have_looked(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._look())
        self._woken.set()

    async def _look(self) -> None:
        while self._waiting:
            await _wait(self._woken, max(0.0, min(each.due for each in self._waiting) - self._loop.time()))
            woken, now = self._woken.is_set(), self._loop.time()
            self._woken.clear()
            asked = [each for each in self._waiting if woken or each.due <= now]
            parts = [asked[part::_AT_ONCE] for part in range(min(_AT_ONCE, len(asked)))]
            await asyncio.gather(*(asyncio.to_thread(_ask, part) for part in parts))
            for each in asked:
                each.hear()


class _Waiter:
    """One query that waits: what it asks, what came of it last, and when it is asked again where nobody wakes it."""

    def __init__(self, there: Callable[[], bool], loop: asyncio.AbstractEventLoop) -> None:
        self._found: asyncio.Future[Exception | None] = loop.create_future()
        self._there = there
        self._loop = loop
        self._look_s = _LOOK_FIRST_S
        self._said: bool | Exception = False
        self.due = loop.time() + self._look_s

    def ask(self) -> None:
        """In any thread."""
        try:
            self._said = self._there()
        except Exception as error:
            self._said = error  # for who waits, not for who asks

    def hear(self) -> None:
        """In the loop's thread, behind `ask`."""
        said, self._said = self._said, False
        self._look_s = min(self._look_s * 1.5, _LOOK_LONGEST_S)
        self.due = self._loop.time() + self._look_s
        if said and not self._found.done():
            self._found.set_result(said if isinstance(said, Exception) else None)

    async def told(self, deadline: float, otherwise: str) -> None:
        """Return once it is so. Raises what asking has raised, NotYetThere after the deadline."""
        try:
            async with asyncio.timeout_at(deadline):
                error = await self._found
        except TimeoutError:
            raise NotYetThere(otherwise) from None
        if error is not None:
            raise error


def _ask(waiters: Sequence[_Waiter]) -> None:
    for each in waiters:
        each.ask()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
