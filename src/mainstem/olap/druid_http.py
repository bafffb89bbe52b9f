"""Druid's HTTP interfaces: one pooled client, and its errors in mainstem's names.

Druid answers an error with a JSON object: of a category (`INVALID_INPUT`, `TIMEOUT`) and a text, or in its older form,
of a name (`Query timeout`) and a text. Where there is neither, the status tells.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from mainstem.errors import ConfigurationError, InvalidQuery, MainstemError, StoreBusy, StoreUnavailable
from mainstem.tls import trusting

_TEXT_MAX = 500
_CONNECT_S = 5.0
_CONNECTIONS_MAX = 16
_TOKENS = re.compile(r",? (acceptable options: |Was expecting one of:).*", re.DOTALL)
_BUSY = ("CAPACITY_EXCEEDED", "Query capacity exceeded")
_ASKED_WRONGLY = ("INVALID_INPUT", "UNSUPPORTED", "NOT_FOUND", "Resource limit exceeded", "Unsupported query")
_OVERDUE = ("TIMEOUT", "CANCELED", "Query timeout", "Query cancelled")
_DENIED = (401, 403)


class Overdue(Exception):
    """Druid has given up within the limit of time that it was given."""


class Fault(msgspec.Struct, frozen=True, rename="camel"):
    """Druid's own account of an error, in both of its forms."""

    error: str = ""
    category: str = ""
    error_message: str = ""

    @property
    def text(self) -> str:
        """On one line, without the parser's list of all that it would have taken, in at most 500 characters."""
        return " ".join(_TOKENS.sub("", self.error_message or self.error).split())[:_TEXT_MAX]


class DruidHttp:
    """A client of one of Druid's processes, to be shared by threads. `url` is as http://127.0.0.1:8082.

    Name and password of HTTP's basic authentication may stand in the URL; no error repeats them. With `tls_ca` (a file)
    it must show a certificate of one of those authorities.
    """

    def __init__(self, url: str, tls_ca: str | None = None) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"the address of Druid cannot be read: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigurationError("the address of Druid must be as http://127.0.0.1:8082")
        self.place = f"Druid at {parsed.host}:{parsed.port or {'http': 80, 'https': 443}[parsed.scheme]}"
        self._client = httpx.Client(
            base_url=parsed.copy_with(userinfo=b""),  # the client's own log lines have the URL
            auth=httpx.BasicAuth(parsed.username, parsed.password) if parsed.username else None,
            limits=httpx.Limits(max_connections=_CONNECTIONS_MAX),
            trust_env=False,  # proxies of the environment are not for a server that stands beside this one
            verify=trusting(tls_ca),
        )

    @contextmanager
    def stream(self, method: str, path: str, timeout_s: float, body: bytes | None = None) -> Iterator[httpx.Response]:
        """An answer of any status, its body not yet read. Raises StoreBusy or StoreUnavailable, also from the block."""
        if self._client.is_closed:
            raise StoreUnavailable(f"{self.place} is closed")
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S))
        try:
            headers = {"Content-Type": "application/json"}
            with self._client.stream(method, path, content=body, headers=headers, timeout=timeout) as response:
                yield response
        except httpx.PoolTimeout as error:
            raise StoreBusy(f"{self.place}: all {_CONNECTIONS_MAX} connections are in use") from error
        except httpx.ReadTimeout as error:
            raise Overdue from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise StoreUnavailable(f"{self.place} cannot be reached: {type(error).__name__}: {error}") from error

    def call(self, method: str, path: str, timeout_s: float, body: bytes | None = None) -> httpx.Response:
        """A whole answer of any status. Raises StoreUnavailable, also where it takes longer, or StoreBusy."""
        try:
            with self.stream(method, path, timeout_s, body) as response:
                response.read()
        except Overdue as error:
            raise StoreUnavailable(f"{self.place} has not answered within {timeout_s} s") from error
        return response

    def error(self, response: httpx.Response) -> MainstemError | Overdue:
        """What an answer, read to its end, that is not the one hoped for means."""
        fault = fault_of(response.content)
        said = (fault.category, fault.error)
        text = fault.text or f"status {response.status_code}"
        if any(name in _OVERDUE for name in said):
            return Overdue(text)
        if any(name in _BUSY for name in said) or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return StoreBusy(f"{self.place} is busy: {text}")
        if response.status_code in _DENIED:
            return ConfigurationError(f"{self.place} does not let this user in: {text}")
        if any(name in _ASKED_WRONGLY for name in said) or response.status_code == httpx.codes.BAD_REQUEST:
            return InvalidQuery(f"the question cannot be answered: {text}")
        return StoreUnavailable(f"{self.place}: {text}")

    def close(self) -> None:
        """Close all connections. Closing twice is allowed."""
        self._client.close()


def fault_of(content: bytes) -> Fault:
    """What the body of an error says; an empty fault where it is none of Druid's."""
    try:
        return msgspec.json.decode(content, type=Fault)
    except msgspec.DecodeError:
        return Fault()


def json_of(response: httpx.Response, place: str) -> Any:
    """The body as JSON. Raises StoreUnavailable where it is none."""
    try:
        return msgspec.json.decode(response.content)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"{place} has answered with something else than JSON") from error
