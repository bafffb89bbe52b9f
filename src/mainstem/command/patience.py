"""How long callers in an event loop wait for an answer: one timer for all of a loop, since all wait equally long."""

import asyncio
from collections import deque

from mainstem.command.answer import Answer
from mainstem.errors import AnswerTimeout

OVERDUE = "no answer in time; the command may still be carried out"


class Patience:
    """Gives up, in place of the callers of one event loop and in its thread, on answers that are overdue.

    They are answered about in the order in which they came, so those that are kept are about those that wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[float, asyncio.Future[Answer]]] = deque()
        self._timed = False

    def wait_for(self, future: "asyncio.Future[Answer]") -> None:
        """Have it raise AnswerTimeout, unless it is done by then."""
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        overdue_at = self._loop.time() + self._timeout_s
        waiting.append((overdue_at, future))
        if not self._timed:
            self._timed = True
            self._loop.call_at(overdue_at, self._look)

    def _look(self) -> None:
        waiting, now = self._waiting, self._loop.time()
        while waiting and (waiting[0][1].done() or waiting[0][0] <= now):
            _, future = waiting.popleft()
            if not future.done():
                future.set_exception(AnswerTimeout(OVERDUE))
        self._timed = bool(waiting)
        if waiting:
            self._loop.call_at(waiting[0][0], self._look)
