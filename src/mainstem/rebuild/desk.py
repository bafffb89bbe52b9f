"""What people ask of the rebuilds of an application: begin one, look at it, cancel it, put back what it replaced."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from msgspec import Struct

from mainstem.application import Application
from mainstem.errors import Refused, StoreUnavailable
from mainstem.listener.binding import Binding
from mainstem.log.port import Log
from mainstem.olap.port import Datasource, RebuildingOlap
from mainstem.rebuild.datasource import DatasourceRebuild, built_of, old_of
from mainstem.rebuild.pointing import named
from mainstem.rebuild.progress import Progress
from mainstem.rebuild.rebuild import Rebuild, discard, forget
from mainstem.rebuild.versioned import Versioned, VersionedRebuild
from mainstem.rebuild.versioned import cancel as drop_built
from mainstem.rebuild.versioned import forget as drop_kept
from mainstem.rebuild.versions import Codes, versions_of
from mainstem.view.port import ViewStore

_log = structlog.get_logger(__name__)

_STOP_S = 60.0
_LOOK_S = 0.1

Start = Callable[[str, Callable[[threading.Event], None]], None]
"""Runs work in a thread of that name, with the event that ends it."""


_Rebuild = Rebuild | DatasourceRebuild | VersionedRebuild


class Standing(Struct, frozen=True, rename="camel"):
    """How a view stands: made by other code than today's (`stale`), with an unfinished version beside it, with the
    replaced one kept; and the rebuild that this process runs, or ran last. `live_as` is what it is called in its store,
    and `kept_as` what the replaced one is.
    """

    view: str
    listener: str
    stale: bool
    unfinished: bool
    kept: bool
    progress: Progress | None = None
    live_as: str = ""
    kept_as: str | None = None


class _Stands(NamedTuple):
    """Whether something is built beside it, what it is called, and what that is which was replaced, if it is kept."""

    unfinished: bool
    live_as: str
    kept_as: str | None


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

    def stands(self) -> _Stands:
        """By what is marked."""
        live, built, old = (each.name for each in (self._versions.live, self._versions.built, self._versions.old))
        made_by = self._stores[0].made_by
        return _Stands(made_by(built) is not None, live, old if made_by(old) is not None else None)

    def stale(self) -> bool:
        """Whether it is declared otherwise than it stands: the code is another's to tell."""
        return False

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

    def stands(self) -> _Stands:
        """By what is declared."""
        name, declared = self._datasource.name, self._olap.declared
        old = old_of(name)
        return _Stands(declared(built_of(name)) is not None, name, old if declared(old) is not None else None)

    def stale(self) -> bool:
        """Where it is declared otherwise than it stands the application does not start."""
        return False

    def rebuild(self) -> DatasourceRebuild:
        """A new one."""
        return DatasourceRebuild(self._datasource, self._log, self._olap)

    def discard(self) -> None:
        """What is built beside it."""
        self._olap.drop(built_of(self._datasource.name))

    def forget(self) -> None:
        """What was replaced."""
        self._olap.drop(old_of(self._datasource.name))


class _Versions:
    """A datasource that has versions, as it is rebuilt."""

    def __init__(self, datasource: Datasource, log: Log, versioned: Versioned) -> None:
        self._datasource, self._log, self._versioned = datasource, log, versioned
        self.listener = f"olap-{datasource.name}"

    def stands(self) -> _Stands:
        """By the row that points to them."""
        name = self._datasource.name
        row = self._versioned.pointers.of(name)
        return _Stands(bool(row.built), named(name, row.live), named(name, row.kept) if row.kept else None)

    def stale(self) -> bool:
        """Whether the live one is declared otherwise by now, as far as the store can be asked."""
        try:
            return self._versioned.stale(self._datasource)
        except StoreUnavailable:  # views are looked at nevertheless
            return False

    def rebuild(self) -> VersionedRebuild:
        """A new one."""
        return VersionedRebuild(self._datasource, self._log, self._versioned)

    def discard(self) -> None:
        """What is built beside it."""
        drop_built(self._versioned, self._datasource.name)

    def forget(self) -> None:
        """What was replaced."""
        drop_kept(self._versioned, self._datasource.name)


_Kind = _View | _Datasource | _Versions


class Rebuilds:
    """The rebuilds of one process. `stores` are those that fill, with several the partitions are shared out.

    Datasources are among the views: of a store that is fed here, or of one that has versions.
    """

    def __init__(
        self,
        application: Application,
        log: Log,
        stores: Sequence[ViewStore],
        start: Start,
        olap: RebuildingOlap | Versioned | None = None,
    ) -> None:
        self._known_ones: dict[str, _Kind] = {
            binding.projection.table.name: _View(binding, log, stores)
            for binding in application.listeners
            if binding.projection is not None
        }
        for each in application.datasources:
            if isinstance(olap, Versioned):
                self._known_ones.setdefault(each.name, _Versions(each, log, olap))
            elif olap is not None:
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
        stale = self.stale(known.listener) is not None or known.stale()
        progress = None if work is None else work.rebuild.progress()
        unfinished, live_as, kept_as = known.stands()
        return Standing(view, known.listener, stale, unfinished, kept_as is not None, progress, live_as, kept_as)

    def progress(self) -> Sequence[Progress]:
        """How far each rebuild is that this process runs, or has run last of its view."""
        return [work.rebuild.progress() for work in list(self._work.values())]

    def stale(self, group: str) -> str | None:
        """What to do about the group's view where other code has made it; None where that is well."""
        return self._codes.stale(self._views, group)

    def begin(self, view: str, *, swap: bool = True) -> Standing:
        """Begin a rebuild, or go on with one; it runs in a thread of its own. Raises Refused where one runs."""
        return self._run(view, lambda rebuild, stop: rebuild.run(stop, swap=swap))

    def roll_back(self, view: str) -> Standing:
        """Put back what was replaced, once it has what has come since, in a thread of its own. Raises Refused."""
        if self._known(view).stands().kept_as is None:
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
        if not known.stands().unfinished and not running:
            raise Refused("nothing-built", f"no rebuild of {view} is under way")
        known.discard()
        return self.look(view)

    def forget(self, view: str) -> Standing:
        """Drop what was replaced: there is no way back then. Raises Refused where there is none, or a rebuild runs."""
        known = self._known(view)
        self._check_idle(view)
        if known.stands().kept_as is None:
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

    def _known(self, view: str) -> _Kind:
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
