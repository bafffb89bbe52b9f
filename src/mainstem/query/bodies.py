"""Bodies of requests: one comes whole and in time, or the request is answered without it."""

import asyncio
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

from mainstem.query.problems import InvalidInput

_WITHIN_S = 30.0


class Bodies:
    """A middleware of the routes: what is read of a request's body comes within `within_s` seconds, and to its end."""

    def __init__(self, app: ASGIApp, within_s: float = _WITHIN_S) -> None:
        self._app = app
        self._within_s = within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass. Reading its body raises InvalidInput: 408 where it is slow, 400 where it ends early."""
        await self._app(scope, _Coming(receive, self._within_s).receive, send)


class _Coming:
    """The body of one request, as it comes."""

    def __init__(self, receive: Receive, within_s: float) -> None:
        self._receive = receive
        self._within_s = within_s
        self._end: float | None = None
        self._whole = False

    async def receive(self) -> Any:
        """The next piece of it; behind the last one whatever the server has to say, for which nobody is hurried."""
        if self._whole:
            return await self._receive()
        message = await self._in_time()
        if message["type"] == "http.disconnect":  # a caller's going away is no fault of the server's
            raise InvalidInput("body", "the body has broken off", reason="malformed-request", status=400)
        self._whole = not message.get("more_body", False)
        return message

    async def _in_time(self) -> Any:
        if self._end is None:
            self._end = asyncio.get_running_loop().time() + self._within_s
        try:
            async with asyncio.timeout_at(self._end):
                return await self._receive()
        except TimeoutError as error:
            text = f"the body has not come within {self._within_s:g} s"
            raise InvalidInput("body", text, reason="body-timeout", status=408) from error
