"""A key set (JWKS): fetched when it is needed, kept while it is fresh, and never fetched faster than allowed."""

import asyncio
import contextlib
import hashlib
import ipaddress
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import msgspec
import structlog
from msgspec import Struct

from mainstem.errors import ConfigurationError, KeysUnavailable
from mainstem.masks import shown_url
from mainstem.query.access.keys import Key, key_of_set

_log = structlog.get_logger(__name__)

_BYTES_MAX = 256 * 1024
_KEYS_MAX = 100
_SOCKET_S = 3.0
_DOWNLOAD_S = 5.0
_AWAITED_MORE_S = 1.0
"""How much longer than a download callers wait: resolving a name may hold it up, and nothing here can end that."""
_STALE_TIMES = 12
"""A set that cannot be fetched again is still believed until it is this many times as old as it should be."""


class _Set(Struct, frozen=True):
    keys: list[dict[str, Any]]


class KeySet:
    """The keys at an address. Use it from one event loop; downloads happen in a thread."""

    def __init__(
        self,
        url: str,
        allowed: tuple[str, ...],
        *,
        age_s: float,
        pause_s: float,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.generation = 0
        self._url = _checked(url)
        self._allowed = allowed
        self._age_s = age_s
        self._pause_s = pause_s
        self._clock_s = clock_s
        self._keys: dict[str | None, Key] = {}
        self._digest = b""
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, name: str | None) -> Key | None:
        """The key of that name, or the only one there is for a token that names none.

        1. A set that is too old to be believed, or was never fetched, is fetched first.
        2. One that is merely old is fetched beside, and believed until that has ended.
        3. An unknown name may be that of a new key: the set is fetched, unless it just was.
        """
        age = None if self._fetched_s is None else self._clock_s() - self._fetched_s
        if age is None or age > self._age_s * _STALE_TIMES:
            await self._refresh()
        elif age > self._age_s:
            self._begin()
        found = self._named(name)
        if found is None and await self._refresh():
            found = self._named(name)
        if found is None and self._failed:
            raise KeysUnavailable("the keys that tokens are checked with cannot be had at the moment")
        return found

    def load(self) -> None:
        """Fetch the set once, before the event loop begins. An address that does not answer is logged, not raised.

        Raises ConfigurationError where a file cannot be used: that does not mend itself.
        """
        try:
            self._take(download(self._url))
        except KeysUnavailable as error:
            if self._url.startswith("file:"):
                raise ConfigurationError(f"MAINSTEM_AUTH_JWKS_URL: {error}") from error
            _log.warning(
                "no token can be checked until its keys can be had", url=shown_url(self._url), reason=str(error)
            )

    def _named(self, name: str | None) -> Key | None:
        if self._fetched_s is None or self._clock_s() - self._fetched_s > self._age_s * _STALE_TIMES:
            return None
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name)

    async def _refresh(self) -> bool:
        """Whether a fetch, begun here or before, has ended; False where none may begin, or it takes too long."""
        task = self._begin()
        if task is None:
            return False
        ended, _ = await asyncio.wait({task}, timeout=_DOWNLOAD_S + _AWAITED_MORE_S)
        if not ended:
            self._failed = True
            return False
        task.result()
        return True

    def _begin(self) -> asyncio.Task[None] | None:
        if self._fetching is None:
            now = self._clock_s()
            if self._tried_s is not None and now - self._tried_s < self._pause_s:
                return None
            self._tried_s = now
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            self._take(await asyncio.to_thread(download, self._url))
        except KeysUnavailable as error:
            self._failed = True
            _log.warning(
                "the keys that tokens are checked with were not fetched", url=shown_url(self._url), reason=str(error)
            )
        finally:
            self._fetching = None

    def _take(self, content: bytes) -> None:
        keys = _keys_in(content, self._allowed)
        digest = hashlib.sha256(content).digest()
        if digest != self._digest:
            self.generation += 1
        self._keys, self._digest, self._failed = keys, digest, False
        self._fetched_s = self._clock_s()


def download(url: str) -> bytes:
    """The content of an address, of bounded size and in bounded time. Raises KeysUnavailable."""
    try:
        if url.startswith("file:"):
            with Path(unquote(urlsplit(url).path)).open("rb") as file:
                return _bounded(file.read)
        with _Deadline(_DOWNLOAD_S) as deadline:
            return _exchange(url, deadline)
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise KeysUnavailable(f"{shown_url(url)} cannot be read: {reason}") from error


def _exchange(url: str, deadline: "_Deadline") -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked before
    handlers: list[Any] = [_NoRedirects, _Http(deadline), _Https(deadline)]
    if not url.startswith("https:"):
        # Without TLS a proxy could answer with keys of its own, and its loopback address is not this machine's.
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_SOCKET_S) as response:
            content = _bounded(response.read1)
    except (OSError, ValueError, HTTPException):
        deadline.check()  # what was cut off fails in one of many ways
        raise
    deadline.check()
    return content


def _bounded(read: Callable[[int], bytes]) -> bytes:
    content = b""
    while part := read(_BYTES_MAX + 1 - len(content)):
        content += part
        if len(content) > _BYTES_MAX:
            raise KeysUnavailable(f"a key set of more than {_BYTES_MAX} bytes is not read")
    return content


class _Deadline:
    """Ends a connection, whatever is being read from it: a socket's own limit begins anew with every byte."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def check(self) -> None:
        """Raises KeysUnavailable where the time is over."""
        if self._over:
            raise KeysUnavailable(f"the key set did not come within {self._seconds:.1f} s")

    def connect(self, connection: HTTPConnection, connect: Callable[[], None]) -> None:
        """Connect, under the deadline."""
        self._connection = connection  # a proxy may answer slowly before `connect` is through
        connect()
        self._socket = connection.sock  # the response reads on from it when the connection has let go
        self.check()

    def _end(self) -> None:
        self._over = True
        found = self._socket
        if found is None and self._connection is not None:
            found = self._connection.sock
        if found is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)  # below TLS, whose state the reader is using


class _Connection(HTTPConnection):
    def __init__(self, host: str, *, deadline: _Deadline, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._deadline = deadline

    def connect(self) -> None:
        self._deadline.connect(self, super().connect)


class _TlsConnection(HTTPSConnection):
    def __init__(self, host: str, *, deadline: _Deadline, timeout: float) -> None:
        super().__init__(host, timeout=timeout)
        self._deadline = deadline

    def connect(self) -> None:
        self._deadline.connect(self, super().connect)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(_Connection, deadline=self._deadline), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(_TlsConnection, deadline=self._deadline), req)


def _keys_in(content: bytes, allowed: tuple[str, ...]) -> dict[str | None, Key]:
    try:
        described = msgspec.json.decode(content, type=_Set).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KeysUnavailable("what stands there is no key set") from error
    if len(described) > _KEYS_MAX:
        raise KeysUnavailable(f"a key set of more than {_KEYS_MAX} keys is not read")
    keys: dict[str | None, Key] = {}
    for each in described:
        name = each.get("kid")
        key = key_of_set(each, allowed)
        if key is not None and (name is None or isinstance(name, str)):
            keys[name] = key
    if not keys:
        raise KeysUnavailable("no key in the set is a public one for signatures by an algorithm that is allowed")
    return keys


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An address elsewhere was not checked, so it is not followed."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise ConfigurationError("MAINSTEM_AUTH_JWKS_URL is no URL") from error
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("MAINSTEM_AUTH_JWKS_URL must not hold a password")
    usable = (
        (parts.scheme == "https" and host)
        or (parts.scheme == "http" and is_loopback(host))
        or (parts.scheme == "file" and not parts.netloc and parts.path)
    )
    if not usable:
        text = "MAINSTEM_AUTH_JWKS_URL must begin with https://, with http:// and a loopback address, or with file:/"
        raise ConfigurationError(text)
    return url


def is_loopback(host: str) -> bool:
    """Whether an address stays on this machine. A name does so only where it is `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
