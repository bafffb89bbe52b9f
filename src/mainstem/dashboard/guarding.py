"""Who is let in: pages are for the names of this address alone, and other sites' pages cannot speak for a visitor."""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mainstem.dashboard.api import is_loopback

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


class Guarded:
    """An ASGI application that answers requests for its own names, of its own pages, and no others (421, 403).

    Bound to loopback, or where `names` are given, a foreign name that leads here (DNS rebinding) is not served.
    """

    def __init__(self, app: _App, host: str, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = {host.lower(), *(each.lower() for each in names)}
        self._named = is_loopback(host) or bool(names)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if self._named and not self._is_own(_split(f"//{host}").hostname or ""):
            await _refuse(scope, send, 421, b"The header Host names no host that this server answers for.")
        elif origin and _split(origin).netloc != host:
            await _refuse(scope, send, 403, b"Another site's page has sent this.")
        else:
            await self._app(scope, receive, _with_headers(send))

    def _is_own(self, name: str) -> bool:
        return is_loopback(name) or name.lower() in self._names


def _split(address: str) -> SplitResult:
    """The parts of an address; none of one that is no address."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _with_headers(send: _Send) -> _Send:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await send(message)

    return sent


async def _refuse(scope: _Scope, send: _Send, status: int, text: bytes) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
