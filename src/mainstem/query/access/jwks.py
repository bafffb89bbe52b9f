"""A key set (JWKS): fetched when it is needed, kept while it is fresh, and never fetched faster than allowed."""

import asyncio
import hashlib
import ipaddress
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import structlog
from msgspec import Struct

from mainstem.errors import ConfigurationError, KeysUnavailable
from mainstem.query.access.keys import Key, key_of_set

_log = structlog.get_logger(__name__)

_BYTES_MAX = 256 * 1024
_KEYS_MAX = 100
_SOCKET_S = 3.0
_DOWNLOAD_S = 5.0
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
            _log.warning("no token can be checked until its keys can be had", url=self._url, reason=str(error))

    def _named(self, name: str | None) -> Key | None:
        if self._fetched_s is None or self._clock_s() - self._fetched_s > self._age_s * _STALE_TIMES:
            return None
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name)

    async def _refresh(self) -> bool:
        """Whether the set was fetched, by this call or by one that was under way."""
        task = self._begin()
        if task is None:
            return False
        await asyncio.shield(task)
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
            _log.warning("the keys that tokens are checked with were not fetched", url=self._url, reason=str(error))
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
        request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked before
        opener = _OPENER if url.startswith("https:") else _DIRECT_OPENER
        with opener.open(request, timeout=_SOCKET_S) as response:
            return _bounded(response.read1)
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise KeysUnavailable(f"{url} cannot be read: {reason}") from error


def _bounded(read: Callable[[int], bytes]) -> bytes:
    deadline = time.monotonic() + _DOWNLOAD_S
    content = b""
    while part := read(_BYTES_MAX + 1 - len(content)):
        content += part
        if len(content) > _BYTES_MAX:
            raise KeysUnavailable(f"a key set of more than {_BYTES_MAX} bytes is not read")
        if time.monotonic() > deadline:
            raise KeysUnavailable(f"the key set did not come within {_DOWNLOAD_S:.0f} s")
    return content


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


_OPENER = urllib.request.build_opener(_NoRedirects)
_DIRECT_OPENER = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))
"""Without TLS a proxy could answer with keys of its own, and its loopback address is not this machine's."""


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
