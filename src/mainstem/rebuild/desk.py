"""What people ask of the rebuilds of an application: begin one, look at it, cancel it, put back what it replaced."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from msgspec import Struct

from mainstem.application import Application
from mainstem.errors import Refused
from mainstem.listener.binding import Binding
from mainstem.log.port import Log
from mainstem.rebuild.progress import Progress
from mainstem.rebuild.rebuild import Rebuild, discard, forget
from mainstem.rebuild.versions import Codes, versions_of
from mainstem.view.port import ViewStore

_log = structlog.get_logger(__name__)

_STOP_S = 60.0
_LOOK_S = 0.1

Start = Callable[[str, Callable[[threading.Event], None]], None]
"""Runs work in a thread of that name, with the event that ends it."""


class Standing(Struct, frozen=True, rename="camel"):
    """How a view stands: made by other code than today's (`stale`), with an unfinished version beside it, with the
    replaced one kept; and the rebuild that this process runs, or ran last.
    """

    view: str
    listener: str
    stale: bool
    unfinished: bool
    kept: bool
    progress: Progress | None = None


class _Work:
    """One rebuild in its thread."""

    def __init__(self, rebuild: Rebuild) -> None:
        self.rebuild = rebuild
        self.stop = threading.Event()
        self.over = threading.Event()


class Rebuilds:
    """The rebuilds of one process. `stores` are those that fill, with several the partitions are shared out."""

    def __init__(self, application: Application, log: Log, stores: Sequence[ViewStore], start: Start) -> None:
        self._bindings = {b.projection.table.name: b for b in application.listeners if b.projection is not None}
        self._codes = Codes(application.listeners)
        self._log = log
        self._stores = stores
        self._views = stores[0]
        self._start = start
        self._work: dict[str, _Work] = {}
        self._using = threading.Lock()

    def list(self) -> list[Standing]:
        """All views, by name."""
        return [self.look(view) for view in sorted(self._bindings)]

    def look(self, view: str) -> Standing:
        """One view. Raises Refused for an unknown one."""
        binding = self._known(view)
        versions, views, work = versions_of(binding), self._views, self._work.get(view)
        return Standing(
            view,
            binding.group,
            self.stale(binding.group) is not None,
            views.made_by(versions.built.name) is not None,
            views.made_by(versions.old.name) is not None,
            None if work is None else work.rebuild.progress(),
        )

    def stale(self, group: str) -> str | None:
        """What to do about the group's view where other code has made it; None where that is well."""
        return self._codes.stale(self._views, group)

    def begin(self, view: str, *, swap: bool = True) -> Standing:
        """Begin a rebuild, or go on with one; it runs in a thread of its own. Raises Refused where one runs."""
        return self._run(view, lambda rebuild, stop: rebuild.run(stop, swap=swap))

    def roll_back(self, view: str) -> Standing:
        """Put back what was replaced, once it has what has come since, in a thread of its own. Raises Refused."""
        versions = versions_of(self._known(view))
        if self._views.made_by(versions.old.name) is None:
            raise Refused("nothing-kept", f"no version of {view} is kept that could be put back")
        return self._run(view, lambda rebuild, stop: rebuild.roll_back(stop))

    def cancel(self, view: str) -> Standing:
        """End the view's rebuild, and drop what it has built. Raises Refused where there is none."""
        binding, work = self._known(view), self._work.get(view)
        running = work is not None and not work.over.is_set()
        if work is not None and running:
            work.stop.set()
            if not work.over.wait(_STOP_S):
                raise Refused("rebuild-stopping", f"the rebuild of {view} is being stopped; ask again")
        if not discard(binding, self._views) and not running:
            raise Refused("nothing-built", f"no rebuild of {view} is under way")
        return self.look(view)

    def forget(self, view: str) -> Standing:
        """Drop what was replaced: there is no way back then. Raises Refused where there is none, or a rebuild runs."""
        binding = self._known(view)
        self._check_idle(view)
        if not forget(binding, self._views):
            raise Refused("nothing-kept", f"no version of {view} is kept")
        return self.look(view)

    def stop(self, view: str) -> None:
        """Have the view's rebuild stop, to be gone on with; at once where none runs."""
        work = self._work.get(view)
        if work is not None:
            work.stop.set()
            work.over.wait(_STOP_S)

    def _run(self, view: str, run: Callable[[Rebuild, threading.Event], Progress]) -> Standing:
        binding = self._known(view)
        with self._using:
            self._check_idle(view)
            work = self._work[view] = _Work(Rebuild(binding, self._log, self._stores))
        self._start(f"rebuild-{view}", lambda over: _run_until(over, work, run))
        return self.look(view)

    def _check_idle(self, view: str) -> None:
        work = self._work.get(view)
        if work is not None and not work.over.is_set():
            raise Refused("rebuild-running", f"a rebuild of {view} is under way")

    def _known(self, view: str) -> Binding[Any]:
        binding = self._bindings.get(view)
        if binding is None:
            known = ", ".join(sorted(self._bindings))
            raise Refused("view-unknown", f"there is no view {view[:63]!r} that can be rebuilt; known are {known}")
        return binding


def _run_until(over: threading.Event, work: _Work, run: Callable[[Rebuild, threading.Event], Progress]) -> None:
    """Until the process ends or the rebuild is told to stop."""
    done = threading.Event()
    watching = threading.Thread(target=_pass_on, args=(over, work.stop, done), name="rebuild-watch", daemon=True)
    watching.start()
    try:
        run(work.rebuild, work.stop)
    except Exception:
        _log.exception("a rebuild met a fault in the program", view=work.rebuild.progress().view)
    finally:
        done.set()
        work.over.set()


def _pass_on(over: threading.Event, stop: threading.Event, done: threading.Event) -> None:
    while not done.wait(_LOOK_S):
        if over.is_set():
            stop.set()
            return
