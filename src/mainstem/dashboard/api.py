"""The application's HTTP API as the pages ask it: JSON in, JSON out, and errors as what they say."""

import ipaddress
import json
import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from mainstem.errors import ConfigurationError, MainstemError
from mainstem.settings import Secret

_TIMEOUT = httpx.Timeout(15.0, connect=3.0)
_PATIENCE = {"Prefer": "wait=5"}
"""How long the API may wait for a position, whatever it is set to: so that it answers before it is taken for away."""
_CONNECTIONS = httpx.Limits(max_connections=16, max_keepalive_connections=16)
_TEXT_MAX = 500
_BODY_MAX = 16 * 1024 * 1024
_RETRY_MAX_S = 60.0
_JSON = {"Content-Type": "application/json"}
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class ApiError(MainstemError):
    """The API has answered with a problem. The text is its own; `status` is HTTP's, `kind` the problem's type.

    `retry_after_s` is there where the API says when to try again.
    """

    def __init__(self, status: int, kind: str, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.kind = kind
        self.retry_after_s = retry_after_s


class ApiAway(MainstemError):
    """Nobody answers at the API's address, or not in time, or with something that is not the API's."""


@dataclass(frozen=True)
class Answer:
    """The content of an answer, decimals exact; the position that a query can wait for; the path of the next page."""

    content: Any
    position: str | None
    next: str | None = None


class Api:
    """A client of one API. The token, if any, is shown to it alone, and is in no text."""

    def __init__(self, url: str, token: Secret | None = None) -> None:
        """Raises ConfigurationError for an address that is none, or to which the token would go in plain text."""
        self.url = _checked(url, with_token=token is not None)
        headers = {} if token is None else {"Authorization": f"Bearer {token.value}"}
        self._within: Mapping[str, str] = {}
        self._client = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=_TIMEOUT, limits=_CONNECTIONS, trust_env=False
        )

    def within(self, tenant: str | None) -> "Api":
        """The same client, whose requests are about that tenant; about none where there is no name."""
        found = copy(self)
        found._within = {} if tenant is None else {"X-Tenant": tenant}
        return found

    async def get(self, path: str, *, position: str | None = None, **query: str | int) -> Answer:
        """A query's answer. With a position it waits for that. Raises ApiError, ApiAway."""
        headers = {} if position is None else {"Mainstem-Position": position, **_PATIENCE}
        return await self._ask("GET", path, headers=headers, params=query or None)  # an empty one drops the path's own

    async def text(self, path: str) -> str:
        """An answer that is text, as it is. Raises ApiError, ApiAway."""
        return (await self._send("GET", path)).text

    async def post(self, path: str, content: Mapping[str, Any], *, key: str | None = None) -> Answer:
        """A command's answer; `key` is its idempotency key. Raises ApiError, ApiAway."""
        headers = _JSON if key is None else {**_JSON, "Idempotency-Key": key}
        return await self._ask("POST", path, content=_ENCODER.encode(content), headers=headers)

    async def put(self, path: str, content: Mapping[str, Any]) -> Answer:
        """What comes of putting this in the place of what is there. Raises ApiError, ApiAway."""
        return await self._ask("PUT", path, content=_ENCODER.encode(content), headers=_JSON)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, **more: Any) -> Answer:
        response = await self._send(method, path, **more)
        try:
            content = json.loads(response.content, parse_float=Decimal)
        except ValueError as error:
            raise ApiAway(f"{self.url} answers something that is not JSON") from error
        return Answer(content, response.headers.get("Mainstem-Position"), _next_of(response))

    async def _send(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        try:
            told = {**(headers or {}), **self._within}
            response = await self._client.request(method, path, headers=told, **more)
        except httpx.HTTPError as error:
            raise ApiAway(f"{self.url} does not answer ({type(error).__name__})") from error
        if len(response.content) > _BODY_MAX:
            raise ApiAway(f"{self.url}{path} answers with more than {_BODY_MAX} bytes")
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            raise _error_of(response)
        return response


def _checked(url: str, *, with_token: bool) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ConfigurationError("the API's address must be http://host:port or https://host, with nobody's name in it")
    if with_token and parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigurationError("a token is shown at an https address or on this machine alone: it could be read")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether an address stays on this machine. Of names, `localhost` alone does."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _error_of(response: httpx.Response) -> ApiError:
    try:
        told = json.loads(response.content)
    except ValueError:
        told = {}
    if not isinstance(told, dict):
        told = {}
    title = str(told.get("title") or response.reason_phrase or response.status_code)
    detail, field = str(told.get("detail") or ""), str(told.get("field") or "")
    text = ": ".join(each for each in (title, field, detail) if each)
    kind = str(told.get("type") or "").rpartition(":")[2] or "http-error"
    return ApiError(response.status_code, kind, text[:_TEXT_MAX], _seconds(response.headers.get("Retry-After")))


def _next_of(response: httpx.Response) -> str | None:
    url = response.links.get("next", {}).get("url")
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"  # of this API, whatever else the link names


def _seconds(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return min(max(found, 0.0), _RETRY_MAX_S) if math.isfinite(found) else None
