"""Views and datasources are rebuilt in the middle of everything, and put in the place of the live ones or not yet."""

import threading
from collections.abc import Callable
from random import Random
from typing import Any

from mainstem.assembly.embedded import Embedded
from mainstem.errors import Fenced, StoreBusy, StoreFull
from mainstem.listener.binding import Binding
from mainstem.olap.port import Datasource
from mainstem.rebuild.datasource import DatasourceRebuild
from mainstem.rebuild.rebuild import Rebuild
from mainstem.testing.simulation.declared import Wrong

_LATER = (StoreBusy.__name__, StoreFull.__name__, Fenced.__name__)


class Rebuilding:
    """Of the declared views, and of the datasources."""

    def __init__(self, running: Embedded, stop: threading.Event) -> None:
        self._running, self._stop = running, stop
        application = running.application
        self._makes: list[Callable[[], Rebuild | DatasourceRebuild]] = [
            *(self._of_view(each) for each in application.listeners if each.projection is not None),
            *(self._of_datasource(each) for each in application.datasources),
        ]

    def step(self, choice: Random) -> int:
        """One is rebuilt, or gone on with; how many records were taken. Raises StoreBusy where it has to wait."""
        if not self._makes:
            return 0
        done = choice.choice(self._makes)().run(self._stop, swap=choice.random() < 0.5)
        if done.error is not None:
            if done.error.startswith(_LATER):
                raise StoreBusy(f"rebuild of {done.view}: {done.error}")
            raise Wrong(f"the rebuild of {done.view} fails: {done.error}")
        if done.comparison is not None and done.comparison.differing:
            found = done.comparison
            raise Wrong(f"the rebuilt {done.view} differs: {found.why}", *map(str, found.differences))
        return done.records

    def _of_view(self, binding: Binding[Any]) -> Callable[[], Rebuild]:
        return lambda: Rebuild(binding, self._running.log, [self._running.views])

    def _of_datasource(self, datasource: Datasource) -> Callable[[], DatasourceRebuild]:
        return lambda: DatasourceRebuild(datasource, self._running.log, self._running.olap)
