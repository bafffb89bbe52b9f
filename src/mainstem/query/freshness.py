"""Waiting for a view to reach a position: how a client reads its own write."""

import asyncio
from collections.abc import Callable

from mainstem.errors import NotYetThere
from mainstem.messages import Position
from mainstem.view.port import ViewStore

_LOOK_FIRST_S, _LOOK_LONGEST_S = 0.005, 0.1
"""How long a waiter trusts that it would be woken, longer each time: a view may be kept by another process."""


class Freshness:
    """Wakes waiting queries when views commit. One for each event loop; `close` ends it."""

    def __init__(self, views: ViewStore, loop: asyncio.AbstractEventLoop) -> None:
        self._views = views
        self._loop = loop
        self._waiting: set[asyncio.Event] = set()
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
        if await asyncio.to_thread(there):
            return
        deadline = self._loop.time() + timeout_s
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            look_s = _LOOK_FIRST_S
            while not await asyncio.to_thread(there):
                left = deadline - self._loop.time()
                if left <= 0:
                    raise NotYetThere(otherwise)
                await _wait(event, min(left, look_s))
                event.clear()
                look_s = min(look_s * 1.5, _LOOK_LONGEST_S)
        finally:
            self._waiting.discard(event)

    def close(self) -> None:
        """Hear of no more commits."""
        self._end()

    def _committed(self) -> None:
        if self._waiting and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
