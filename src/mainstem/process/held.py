"""Processes whose stream the code of today cannot read: each is held up alone, until it can be read again.

It cannot be told so in its own stream. So its row says that it is stuck, and why, until a look finds that it is not.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from msgspec.structs import replace

from mainstem.errors import CodecError, ConfigurationError
from mainstem.eventstore.reader import EventReader, Streams
from mainstem.process.manager import ProcessManager
from mainstem.process.rows import GROUP, PROCESS, ProcessRow, row_at, wait_again
from mainstem.view.port import ViewStore

_log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 30.0
_BATCH_MAX = 64
_ORDER = ("manager", "id")


class Held:
    """Rows of processes that are held up. `stream` is the name of a process's stream."""

    def __init__(
        self,
        managers: Mapping[str, ProcessManager[Any]],
        *,
        stream: Callable[[ProcessManager[Any], str], str],
        events: Streams,
        views: ViewStore,
        clock_ms: Callable[[], int],
    ) -> None:
        self._managers, self._stream, self._events, self._views = managers, stream, events, views
        self._readers = {name: EventReader([each.stepped]) for name, each in managers.items()}
        self._clock_ms = clock_ms
        self._after: tuple[str, str] | None = None
        self._look_at = 0.0

    def hold(self, manager: ProcessManager[Any], process: str, why: str) -> None:
        """Have it listed as stuck, and not looked at by those who bring processes on."""
        _log.error("a process cannot be read and is held up", stream=self._stream(manager, process), cause=why)
        key, now_ms = (manager.name, process), self._clock_ms()
        with self._views.transaction() as transaction:
            transaction.hold(GROUP)
            row = transaction.get(PROCESS, [key]).get(key) or ProcessRow(
                *key, "stuck", "", 0, False, 0, 0, *[now_ms] * 2
            )
            transaction.put(PROCESS, [replace(row, status="stuck", why=why, driven=False)])

    def look(self, is_own: Callable[[ProcessRow], bool]) -> None:
        """At some of those that are stuck; at all of them when it begins, and every now and then."""
        if self._after is None and time.monotonic() < self._look_at:
            return
        page = self._views.find(PROCESS, {"status": "stuck"}, order=_ORDER, after=self._after, limit=_BATCH_MAX)
        for row in filter(is_own, page):
            self._look_at_one(row)
        self._after = (page[-1].manager, page[-1].id) if len(page) == _BATCH_MAX else None
        self._look_at = time.monotonic() + _LOOK_EVERY_S

    def _look_at_one(self, row: ProcessRow) -> None:
        """Where its whole stream can be read, as the writer reads it, its row and its inboxes are as ever."""
        manager = self._managers[row.manager]
        try:
            stands = self._stands(manager, row.id)
        except (CodecError, ConfigurationError):  # of a tenant that is not known here
            return
        if stands is None or stands == row:
            return
        with self._views.transaction() as transaction:
            transaction.hold(GROUP)
            key = (row.manager, row.id)
            if transaction.get(PROCESS, [key]).get(key) != row:
                return
            transaction.put(PROCESS, [stands])
            wait_again(transaction, manager, row.id)

    def _stands(self, manager: ProcessManager[Any], process: str) -> ProcessRow | None:
        found: ProcessRow | None = None
        for stored, step in self._readers[manager.name].history(self._events, self._stream(manager, process)):
            found = row_at(manager.name, process, stored.version, step)
        return found
