"""The dashboard's process: NiceGUI on uvicorn, one client of the API, one poller."""

import asyncio
import importlib
import importlib.util
import signal
import socket
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI, Request
from nicegui import app as nicegui_app
from nicegui import ui

from mainstem.dashboard import flow, layers, letters, system, views
from mainstem.dashboard.api import Api
from mainstem.dashboard.frame import Desk, Page, frame
from mainstem.dashboard.guarding import Guarded
from mainstem.dashboard.tenant import Choice
from mainstem.dashboard.watch import Watch
from mainstem.errors import ConfigurationError

_STOP_S = 3

PAGES = (
    Page("/", "Flow", flow.build),
    Page("/views", "Views", views.build),
    Page("/layers", "Layers", layers.build),
    Page("/dead-letters", "Dead letters", letters.build),
    Page("/system", "System", system.build),
)
"""The pages that every application has."""


def pages_of(application: str) -> Sequence[Page]:
    """The pages of the application that `MAINSTEM_APP` names: `PAGES` of a module `dashboard` beside its own.

    There are none where there is no such module. Raises ConfigurationError where it cannot be imported.
    """
    package = application.partition(":")[0].rpartition(".")[0]
    name = f"{package}.dashboard"
    try:
        if not package or importlib.util.find_spec(name) is None:
            return ()
        return tuple(importlib.import_module(name).PAGES)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"the pages of {name} cannot be had: {error}") from error


@dataclass(frozen=True)
class Served:
    """What is served, and to whom: the application's own pages, the tenants between which people choose, and the names
    by which the dashboard may be called beside its address.
    """

    pages: Sequence[Page] = ()
    tenants: Sequence[str] = ()
    names: Collection[str] = ()


def serve(api: Api, host: str, port: int, served: Served, *, listening: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `listening` is told the address once connections are taken.

    Raises ConfigurationError where the address cannot be had.
    """
    bound = _bound(host, port)
    fastapi = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    watch = Watch(api)
    _add_pages(api, watch, (*PAGES, *served.pages), served.tenants)
    tasks: list[asyncio.Task[None]] = []

    async def begin() -> None:
        tasks.append(asyncio.create_task(watch.run()))
        shown = f"[{host}]" if ":" in host else host
        listening(f"http://{shown}:{bound.getsockname()[1]}")

    async def end() -> None:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await api.close()

    nicegui_app.on_startup(begin)
    nicegui_app.on_shutdown(end)
    ui.run_with(fastapi, title="mainstem", dark=None, language="en-GB", tailwind=False, show_welcome_message=False)
    config = uvicorn.Config(
        Guarded(fastapi, host, served.names),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_S,
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn ends by its own handlers, and then raises the signal again
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.Server(config).run(sockets=[bound])


def _add_pages(api: Api, watch: Watch, pages: Sequence[Page], tenants: Sequence[str]) -> None:
    def added(page: Page) -> None:
        @ui.page(page.path)
        def build(request: Request) -> None:
            query = dict(request.query_params)
            choice = Choice(tenants, query)
            frame(Desk(api, watch, query, choice.tenant if page.of_tenant else None), page, pages, choice)

    for page in pages:
        added(page)


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        text = f"{host}:{port} cannot be listened on: {error.strerror}; choose another with --port"
        raise ConfigurationError(text) from error
