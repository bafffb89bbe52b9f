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
from mainstem.olap.port import Datasource, RebuildingOlap
from mainstem.rebuild.datasource import DatasourceRebuild, built_of, old_of
from mainstem.rebuild.progress import Progress
from mainstem.rebuild.rebuild import Rebuild, discard, forget
from mainstem.rebuild.versions import Codes, versions_of
from mainstem.view.port import ViewStore

_log = structlog.get_logger(__name__)

_STOP_S = 60.0
_LOOK_S = 0.1

Start = Callable[[str, Callable[[threading.Event], None]], None]
"""Runs work in a thread of that name, with the event that ends it."""


_Rebuild = Rebuild | DatasourceRebuild


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

    def __init__(self, rebuild: _Rebuild) -> None:
        self.rebuild = rebuild
        self.stop = threading.Event()
        self.over = threading.Event()


class _View:
    """A view, as it is rebuilt."""

    def __init__(self, binding: Binding[Any], log: Log, stores: Sequence[ViewStore]) -> None:
        self._binding, self._log, self._stores = binding, log, stores
        self._versions = versions_of(binding)
        self.listener = binding.group

    def stands(self) -> tuple[bool, bool]:
        """Whether something is built beside it, and whether what was replaced is kept."""
        versions, made_by = self._versions, self._stores[0].made_by
        return made_by(versions.built.name) is not None, made_by(versions.old.name) is not None

    def rebuild(self) -> Rebuild:
        """A new one."""
        return Rebuild(self._binding, self._log, self._stores)

    def discard(self) -> None:
        """What is built beside it."""
        discard(self._binding, self._stores[0])

    def forget(self) -> None:
        """What was replaced."""
        forget(self._binding, self._stores[0])


class _Datasource:
    """A datasource, as it is rebuilt."""

    def __init__(self, datasource: Datasource, log: Log, olap: RebuildingOlap) -> None:
        self._datasource, self._log, self._olap = datasource, log, olap
        self.listener = f"olap-{datasource.name}"

    def stands(self) -> tuple[bool, bool]:
        """Whether something is built beside it, and whether what was replaced is kept."""
        name, declared = self._datasource.name, self._olap.declared
        return declared(built_of(name)) is not None, declared(old_of(name)) is not None

    def rebuild(self) -> DatasourceRebuild:
        """A new one."""
        return DatasourceRebuild(self._datasource, self._log, self._olap)

    def discard(self) -> None:
        """What is built beside it."""
        self._olap.drop(built_of(self._datasource.name))

    def forget(self) -> None:
        """What was replaced."""
        self._olap.drop(old_of(self._datasource.name))


class Rebuilds:
    """The rebuilds of one process. `stores` are those that fill, with several the partitions are shared out.

    Datasources are among the views where the analytical store is one that is fed here.
    """

    def __init__(
        self,
        application: Application,
        log: Log,
        stores: Sequence[ViewStore],
        start: Start,
        olap: RebuildingOlap | None = None,
    ) -> None:
        self._known_ones: dict[str, _View | _Datasource] = {
            binding.projection.table.name: _View(binding, log, stores)
            for binding in application.listeners
            if binding.projection is not None
        }
        if olap is not None:
            for each in application.datasources:
                self._known_ones.setdefault(each.name, _Datasource(each, log, olap))
        self._codes = Codes(application.listeners)
        self._views = stores[0]
        self._start = start
        self._work: dict[str, _Work] = {}
        self._using = threading.Lock()

    def list(self) -> list[Standing]:
        """All views, by name."""
        return [self.look(view) for view in sorted(self._known_ones)]

    def look(self, view: str) -> Standing:
        """One view. Raises Refused for an unknown one."""
        known, work = self._known(view), self._work.get(view)
        stale = self.stale(known.listener) is not None
        progress = None if work is None else work.rebuild.progress()
        return Standing(view, known.listener, stale, *known.stands(), progress)

    def stale(self, group: str) -> str | None:
        """What to do about the group's view where other code has made it; None where that is well."""
        return self._codes.stale(self._views, group)

    def begin(self, view: str, *, swap: bool = True) -> Standing:
        """Begin a rebuild, or go on with one; it runs in a thread of its own. Raises Refused where one runs."""
        return self._run(view, lambda rebuild, stop: rebuild.run(stop, swap=swap))

    def roll_back(self, view: str) -> Standing:
        """Put back what was replaced, once it has what has come since, in a thread of its own. Raises Refused."""
        _, kept = self._known(view).stands()
        if not kept:
            raise Refused("nothing-kept", f"no version of {view} is kept that could be put back")
        return self._run(view, lambda rebuild, stop: rebuild.roll_back(stop))

    def cancel(self, view: str) -> Standing:
        """End the view's rebuild, and drop what it has built. Raises Refused where there is none."""
        known, work = self._known(view), self._work.get(view)
        running = work is not None and not work.over.is_set()
        if work is not None and running:
            work.stop.set()
            if not work.over.wait(_STOP_S):
                raise Refused("rebuild-stopping", f"the rebuild of {view} is being stopped; ask again")
        unfinished, _ = known.stands()
        if not unfinished and not running:
            raise Refused("nothing-built", f"no rebuild of {view} is under way")
        known.discard()
        return self.look(view)

    def forget(self, view: str) -> Standing:
        """Drop what was replaced: there is no way back then. Raises Refused where there is none, or a rebuild runs."""
        known = self._known(view)
        self._check_idle(view)
        _, kept = known.stands()
        if not kept:
            raise Refused("nothing-kept", f"no version of {view} is kept")
        known.forget()
        return self.look(view)

    def stop(self, view: str) -> None:
        """Have the view's rebuild stop, to be gone on with; at once where none runs."""
        work = self._work.get(view)
        if work is not None:
            work.stop.set()
            work.over.wait(_STOP_S)

    def _run(self, view: str, run: Callable[[_Rebuild, threading.Event], Progress]) -> Standing:
        known = self._known(view)
        with self._using:
            self._check_idle(view)
            work = self._work[view] = _Work(known.rebuild())
        self._start(f"rebuild-{view}", lambda over: _run_until(over, work, run))
        return self.look(view)

    def _check_idle(self, view: str) -> None:
        work = self._work.get(view)
        if work is not None and not work.over.is_set():
            raise Refused("rebuild-running", f"a rebuild of {view} is under way")

    def _known(self, view: str) -> "_View | _Datasource":
        known = self._known_ones.get(view)
        if known is None:
            names = ", ".join(sorted(self._known_ones))
            raise Refused("view-unknown", f"there is no view {view[:63]!r} that can be rebuilt; known are {names}")
        return known


def _run_until(over: threading.Event, work: _Work, run: Callable[[_Rebuild, threading.Event], Progress]) -> None:
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
