"""Reading the body of a request that is slow to come."""

import asyncio
from typing import Any

import pytest
from litestar import Litestar, Request, post
from msgspec import Struct

from mainstem.query.input import Body
from mainstem.query.problems import exception_handlers


class _Nothing(Struct, forbid_unknown_fields=True):
    pass


@post("/")
async def _asked(request: Request[Any, Any, Any]) -> None:
    await Body(_Nothing, within_s=0.1).read(request)


async def _slowly() -> Any:
    """A blank every 10 ms, for ever."""
    await asyncio.sleep(0.01)
    return {"type": "http.request", "body": b" ", "more_body": True}


async def _never() -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("receive", [_slowly, _never])
def test_a_body_that_does_not_come_in_time(receive: Any) -> None:
    """However much of it has come: the connection is ended, as the rest would be taken for another request."""
    handlers = exception_handlers({}, dict, lambda _: True, lambda *_: None)
    app = Litestar([_asked], exception_handlers=handlers, openapi_config=None)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    scope: Any = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        async with asyncio.timeout(5):
            await app(scope, receive, send)

    asyncio.run(ask())
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"connection"]) == (408, b"close")
    assert b"urn:mainstem:problem:body-timeout" in sent[1]["body"]
    assert b"the body has not come within 0.1 s" in sent[1]["body"]
