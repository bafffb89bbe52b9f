"""Serving the HTTP application from this process."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from mainstem.errors import ConfigurationError
from mainstem.query.access.jwks import is_loopback

_log = structlog.get_logger(__name__)
_LISTENING_S = 10.0
_HEADERS_S = 30.0
_CONNECTIONS = 512  # with what else is open, within the 1024 files that a process may have open as a rule


def check_address(host: str, port: int, *, authenticated: bool) -> int:
    """The port to listen on (a free one for 0). Raises ConfigurationError where the address cannot be had.

    Where callers need not show who they are, only this machine's own are let in.
    """
    if not authenticated and not is_loopback(host):
        text = f"{host} is not a loopback address, and nothing says who may call: set MAINSTEM_AUTH_JWKS_URL or "
        raise ConfigurationError(text + "MAINSTEM_AUTH_KEY to listen there, or listen on 127.0.0.1")
    with _bound(host, port, socket.SO_REUSEADDR) as probe:
        return int(probe.getsockname()[1])


def serve_http(app: Any, host: str, port: int, *, listening: Callable[[], None], headers_s: float = _HEADERS_S) -> None:
    """Serve until SIGINT or SIGTERM; `listening` is called once connections are taken.

    A connection on which a request's headers do not come within `headers_s` seconds is closed, used before or not.

    Raises ConfigurationError where the address is another's by now.
    """
    logging.getLogger("_granian").setLevel(logging.ERROR)
    # The server itself lets others listen beside it, each of whom would have a part of its callers.
    with _bound(host, port, socket.SO_REUSEADDR):
        pass
    with _bound(host, port, socket.SO_REUSEPORT):  # found by whoever looks from here on
        uvloop.run(_serve(app, host, port, listening, headers_s))


@contextmanager
def _bound(host: str, port: int, option: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as found:
        found.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            found.bind((host, port))
        except OSError as error:
            text = f"{host}:{port} cannot be listened on: {error.strerror}; choose another with MAINSTEM_HTTP_PORT"
            raise ConfigurationError(text) from error
        yield found


async def _serve(app: Any, host: str, port: int, listening: Callable[[], None], headers_s: float) -> None:
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        log_enabled=False,
        log_access=False,
        backlog=_CONNECTIONS,
        backpressure=_CONNECTIONS,
        http=HTTPModes.http1,  # to see which version comes, it would wait without an end
        http1_settings=HTTP1Settings(header_read_timeout=round(headers_s * 1_000)),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    serving = asyncio.ensure_future(server.serve())
    announcing = asyncio.ensure_future(_announce(host, port, listening))
    try:
        await serving
    finally:
        announcing.cancel()
        gc.unfreeze()  # what is spared is not given back at the end either, and DuckDB tells each piece of it
        sys.stdout.flush()


async def _announce(host: str, port: int, listening: Callable[[], None]) -> None:
    deadline = asyncio.get_running_loop().time() + _LISTENING_S
    while asyncio.get_running_loop().time() < deadline:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        _log.info("listening", host=host, port=port)
        listening()
        _spare_what_stays()
        return


def _spare_what_stays() -> None:
    """Take what the program is made of out of the collector's rounds: each would stop all requests for its sake."""
    gc.collect()
    gc.freeze()
