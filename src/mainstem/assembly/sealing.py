"""Sealing off the commands' path: a thread that closes an interval of the log every few seconds."""

import threading
import time
from collections.abc import Callable

import structlog

from mainstem.errors import MainstemError
from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.seal import EVENTS_MAX

_log = structlog.get_logger(__name__)


class Sealed:
    """When all events were sealed last; before the first time, when it began to be looked at."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._at_s = clock_s()

    def mark(self) -> None:
        """They are now."""
        self._at_s = self._clock_s()

    def age_s(self) -> float:
        """How long ago that was, in seconds."""
        return self._clock_s() - self._at_s


def seal_all(integrity: Integrity, stop: threading.Event | None = None) -> int:
    """Seal what is there, interval by interval; how many events. A store that is long goes on another time."""
    sealed = done = 0
    while not (sealed and stop is not None and stop.is_set()) and (done := integrity.seal()):
        sealed += done
        if done < EVENTS_MAX:
            break
    return sealed


def keep_sealing(integrity: Integrity, every_ms: int, sealed: Sealed, stop: threading.Event) -> None:
    """Until `stop`, and once more then. What cannot be sealed now is sealed later: it is chained already.

    `sealed` is marked each time that nothing is left.
    """
    over = False
    while not over:
        over = stop.wait(every_ms / 1000)
        try:
            seal_all(integrity, stop)
            sealed.mark()
        except MainstemError as error:
            _log.warning("sealing is put off", cause=str(error))
        except Exception as error:
            _log.error("sealing met a fault in the program", exc_info=error)
