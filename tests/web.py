"""An application's HTTP in this process: asked as clients ask it, without a socket, beside what runs behind it."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from bank.access import CARDS_CLAIM, WHO_MAY
from bank.main import application, web
from mainstem.assembly import Embedded, embedded
from mainstem.query.access import access_of
from mainstem.settings import read_settings
from tests.process import variable_of

_PATIENCE_S = 60.0


class Web:
    """An ASGI application in an event loop of its own thread."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._told: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()
        self._done: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")

    def __enter__(self) -> Self:
        self._thread.start()
        self._life = asyncio.run_coroutine_threadsafe(
            self._app({"type": "lifespan", "asgi": {"version": "3.0"}}, self._told.get, self._done.put), self._loop
        )
        self._tell("startup")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tell("shutdown")
        self._life.result(_PATIENCE_S)
        self._call(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer to a request."""
        answer: httpx.Response = self._call(self._client.request(method, path, **more))
        return answer

    def _tell(self, what: str) -> None:
        self._call(self._told.put({"type": f"lifespan.{what}"}))
        told = self._call(self._done.get())
        assert told["type"] == f"lifespan.{what}.complete", told

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)


@contextmanager
def bank_here(folder: Path, **settings: str) -> Iterator[tuple[Embedded, Web]]:
    """The embedded bank and its HTTP application."""
    named = {variable_of(name): value for name, value in {"data_dir": str(folder), **settings}.items()}
    read = read_settings(named)
    access = access_of(read, WHO_MAY, owned_claim=CARDS_CLAIM)
    with embedded(application.with_environment(named), read) as running, Web(web(running, access)) as asked:
        yield running, asked
