"""Questions that Druid may take long to answer, of which one at a time is under way.

Druid holds a thread for a question that it cannot answer yet, long after whoever asked has given up: of what its tasks
do not say, about 90 s. Who asked again every second would take all of its threads, and nobody else would be answered.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from mainstem.errors import StoreUnavailable


class OneAtATime:
    """Asks by a thread of its own, which ends with the process; answers are to the question that was asked."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._guard = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}

    def ask(self, name: str, question: Callable[[], Any], within_s: float) -> Any:
        """What the question answers or raises. Raises StoreUnavailable where that, or one before it, takes longer."""
        with self._guard:
            turn = self._turns.setdefault(name, threading.Lock())
        deadline = time.monotonic() + within_s
        if not turn.acquire(timeout=within_s):
            raise self._late(within_s)
        answer: Future[Any] = Future()
        threading.Thread(target=_answered, args=(question, answer, turn), name=f"asks-{name}", daemon=True).start()
        try:
            return answer.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise self._late(within_s) from None

    def _late(self, within_s: float) -> StoreUnavailable:
        return StoreUnavailable(f"{self._place} has not answered within {within_s} s")


def _answered(question: Callable[[], Any], answer: "Future[Any]", turn: threading.Lock) -> None:
    try:
        answer.set_result(question())
    except BaseException as error:  # whoever waits raises it
        answer.set_exception(error)
    finally:
        turn.release()
