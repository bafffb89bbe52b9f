"""Ending tasks of Druid that nobody runs, which it waits for."""

import threading
import time
from contextlib import closing

import structlog

from mainstem.application import Application
from mainstem.errors import MainstemError
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.rebuild.pointing import Pointers
from mainstem.settings import Settings
from mainstem.view.port import ViewStore

_log = structlog.get_logger(__name__)

_LOOK_S = 10.0
_LOST_S = 40.0
"""Longer than Druid takes to see by itself that a task is gone."""


class Mending:
    """Looks at the live version of each datasource, in the thread that calls `run`."""

    def __init__(self, application: Application, settings: Settings, views: ViewStore) -> None:
        self._datasources = application.datasources
        self._settings = settings
        self._views = views
        self._lost_since: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Until `stop`."""
        url, ca = self._settings.druid_overlord_url, self._settings.druid_tls_ca
        with closing(Supervisors(url, tls_ca=ca)) as supervisors:
            while not stop.wait(_LOOK_S):
                try:
                    self.look(supervisors, time.monotonic())
                except MainstemError:  # what is away is told by the looks at the parts
                    continue

    def look(self, supervisors: Supervisors, now: float) -> None:
        """End what is lost for long; `now` is in seconds. Raises StoreError where Druid or the views are away."""
        pointers = Pointers(self._views)
        lost = {task for each in self._datasources for task in supervisors.lost_tasks(pointers.live(each).name)}
        self._lost_since = {each: self._lost_since.get(each, now) for each in lost}
        for task, since in self._lost_since.items():
            if now - since >= _LOST_S:
                _log.warning("a task of Druid that nobody runs is ended", task=task, lost_s=round(now - since))
                supervisors.end_task(task)
