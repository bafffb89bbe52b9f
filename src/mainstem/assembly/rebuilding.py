"""Rebuilding views in a process of its own: of the distributed form, or where no process of the embedded form runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from mainstem.application import Application
from mainstem.assembly.analytics import Analytics
from mainstem.assembly.stores import open_log
from mainstem.assembly.views import check_keepers, check_views, open_views
from mainstem.folder import Folder
from mainstem.olap.port import RebuildingOlap
from mainstem.rebuild import Rebuilds, Versioned
from mainstem.settings import Settings
from mainstem.view.port import ViewStore

_STOP_S = 60.0


@contextmanager
def own_rebuilds(application: Application, settings: Settings, workers: int) -> Iterator[Rebuilds]:
    """The rebuilds, by this process; what runs at the end is stopped, to be gone on with.

    Neither the live tables nor the listeners are touched, so it works for a view whose columns are others by now, too.
    Of the distributed form so many `workers` fill. Raises StoreBusy where a process has the folder of the embedded
    form, StoreUnavailable where there is none, ConfigurationError where a table is another listener's.
    """
    over = threading.Event()
    threads: list[threading.Thread] = []

    def start(name: str, work: Callable[[threading.Event], None]) -> None:
        thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
        threads.append(thread)
        thread.start()

    with ExitStack() as stack:
        stores = _stores(settings, workers, stack)
        check_keepers(stores[0], application.all_listeners())
        olap = _olap(application, settings, stores[0], stack)
        log = stack.enter_context(closing(open_log(settings)))
        try:
            yield Rebuilds(application, log, stores, start, olap)
        finally:
            over.set()
            for thread in threads:
                thread.join(_STOP_S)


def _olap(
    application: Application, settings: Settings, views: ViewStore, stack: ExitStack
) -> RebuildingOlap | Versioned:
    if settings.form == "distributed":
        return Analytics(application, settings, views, stack).versioned
    from mainstem.olap.duckdb import DuckdbOlap  # large, and the distributed form does without it

    return stack.enter_context(closing(DuckdbOlap(settings.data_dir / "analytics.duckdb")))


def _stores(settings: Settings, workers: int, stack: ExitStack) -> list[ViewStore]:
    if settings.form == "distributed":
        return [stack.enter_context(closing(open_views(settings))) for _ in range(workers)]
    check_views(settings)
    folder = Folder(settings.data_dir)
    folder.acquire()
    stack.callback(folder.release)
    return [stack.enter_context(closing(open_views(settings)))]
