"""Who is told of commits."""

from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)


class Commits:
    """Calls its listeners in the thread that commits; one that fails harms nobody else."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def on_commit(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Returns what ends it."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def tell(self) -> None:
        """After a commit."""
        for listener in tuple(self._listeners):
            try:
                listener()
            except Exception:
                _log.exception("a listener of commits failed")
