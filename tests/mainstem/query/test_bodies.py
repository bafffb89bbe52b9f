"""Bodies of requests that are slow to come, break off, or do not fit."""

import asyncio
from functools import partial
from typing import Annotated, Any

import pytest
from litestar import Litestar, Request, post
from litestar.params import JSONBody
from litestar.testing import TestClient
from msgspec import Meta, Struct

from mainstem.query.bodies import Bodies
from mainstem.query.input import Body
from mainstem.query.parameters import Parameters
from mainstem.query.problems import exception_handlers


class _Nothing(Struct, forbid_unknown_fields=True):
    pass


@post("/read")
async def _read(request: Request[Any, Any, Any]) -> None:
    await Body(_Nothing).read(request)


@post("/taken")
async def _taken(data: JSONBody[_Nothing]) -> None:
    """As a body is read where the application leaves it to the framework."""


class _Items(Struct, forbid_unknown_fields=True):
    item: str
    count: Annotated[int, Meta(ge=1)]


@post("/counted")
async def _counted(data: JSONBody[_Items]) -> None:
    pass


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
    app = Litestar(
        [_read, _taken], middleware=[bodies], exception_handlers=handlers, openapi_config=None, logging_config=None
    )
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


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b'{"item":"x","count":0}', "count", "the body does not fit: Expected `int` >= 1 - at count"),
        (b'{"item":"x"}', "body", "the body does not fit: Object missing required field `count`"),
        (b'{"item":"x","count":1,"more":1}', "body", "the body does not fit: Object contains unknown field `more`"),
        (b"[1]", "body", "the body does not fit: Expected `object`, got `array`"),
        (b"null", "body", "the body does not fit: Expected `object`, got `null`"),
        (b"", "body", "the body does not fit: it is missing"),
    ],
)
def test_what_does_not_fit_is_told_where_the_framework_reads_the_body(body: bytes, field: str, said: str) -> None:
    handlers = exception_handlers({}, dict, lambda _: True, Parameters().explained)
    with TestClient(Litestar([_counted], exception_handlers=handlers, logging_config=None)) as client:
        answer = client.post("/counted", content=body, headers={"Content-Type": "application/json"})
    found = answer.json()
    assert (answer.status_code, found["field"], found["detail"]) == (400, field, said)
    assert found["type"] == "urn:mainstem:problem:malformed-request"
