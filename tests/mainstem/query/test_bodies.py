"""Bodies of requests that are slow to come, or break off."""

import asyncio
from functools import partial
from typing import Any

import pytest
from litestar import Litestar, Request, post
from litestar.params import JSONBody
from msgspec import Struct

from mainstem.query.bodies import Bodies
from mainstem.query.input import Body
from mainstem.query.problems import exception_handlers


class _Nothing(Struct, forbid_unknown_fields=True):
    pass


@post("/read")
async def _read(request: Request[Any, Any, Any]) -> None:
    await Body(_Nothing).read(request)


@post("/taken")
async def _taken(data: JSONBody[_Nothing]) -> None:
    """As a body is read where the application leaves it to the framework."""


async def _slowly() -> Any:
    """A blank every 10 ms, for ever."""
    await asyncio.sleep(0.01)
    return {"type": "http.request", "body": b" ", "more_body": True}


async def _never() -> Any:
    await asyncio.Event().wait()


async def _gone() -> Any:
    return {"type": "http.disconnect"}


def _answer(path: str, receive: Any) -> list[Any]:
    """What is sent where a body comes like that, and has 0.1 s."""
    handlers = exception_handlers({}, dict, lambda _: True, lambda *_: None)
    bodies = partial(Bodies, within_s=0.1)
    app = Litestar([_read, _taken], middleware=[bodies], exception_handlers=handlers, openapi_config=None)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    scope: Any = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        async with asyncio.timeout(5):
            await app(scope, receive, send)

    asyncio.run(ask())
    return sent


@pytest.mark.parametrize("path", ["/read", "/taken"])
@pytest.mark.parametrize("receive", [_slowly, _never])
def test_a_body_that_does_not_come_in_time(path: str, receive: Any) -> None:
    """However much of it has come: the connection is ended, as the rest would be taken for another request."""
    sent = _answer(path, receive)
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"connection"]) == (408, b"close")
    assert b"urn:mainstem:problem:body-timeout" in sent[1]["body"]
    assert b"the body has not come within 0.1 s" in sent[1]["body"]


@pytest.mark.parametrize("path", ["/read", "/taken"])
def test_a_body_that_breaks_off(path: str) -> None:
    sent = _answer(path, _gone)
    assert sent[0]["status"] == 400
    assert b"urn:mainstem:problem:malformed-request" in sent[1]["body"]
