"""Sealing off the commands' path: a thread that closes an interval of the log every few seconds."""

import threading

import structlog

from mainstem.errors import MainstemError
from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.seal import EVENTS_MAX

_log = structlog.get_logger(__name__)


def seal_all(integrity: Integrity, stop: threading.Event | None = None) -> int:
    """Seal what is there, interval by interval; how many events. A store that is long goes on another time."""
    sealed = done = 0
    while not (sealed and stop is not None and stop.is_set()) and (done := integrity.seal()):
        sealed += done
        if done < EVENTS_MAX:
            break
    return sealed


def keep_sealing(integrity: Integrity, every_ms: int, stop: threading.Event) -> None:
    """Until `stop`, and once more then. What cannot be sealed now is sealed later: it is chained already."""
    over = False
    while not over:
        over = stop.wait(every_ms / 1000)
        try:
            seal_all(integrity, stop)
        except MainstemError as error:
            _log.warning("sealing is put off", cause=str(error))
        except Exception as error:
            _log.error("sealing met a fault in the program", exc_info=error)
