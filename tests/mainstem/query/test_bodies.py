"""Bodies of requests that are slow to come, break off, or do not fit."""

import asyncio
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import pytest
from litestar import Litestar, Request, post
from litestar.params import JSONBody
from litestar.testing import TestClient
from msgspec import Meta, Struct

from mainstem.query.bodies import Bodies
from mainstem.query.input import Body, JsonRequest
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


class _Paid(Struct, forbid_unknown_fields=True):
    amount: Decimal
    rate: float = 0.0
    more: Any = None


@post("/paid")
async def _paid(data: JSONBody[_Paid]) -> list[str]:
    return [str(data.amount), repr(data.rate), repr(data.more)]


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


def _paid_with(body: bytes, content_type: str = "application/json") -> tuple[int, Any]:
    handlers = exception_handlers({}, dict, lambda _: True, Parameters().explained)
    app = Litestar([_paid], request_class=JsonRequest, exception_handlers=handlers, logging_config=None)
    with TestClient(app) as client:
        answer = client.post("/paid", content=body, headers={"Content-Type": content_type})
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("amount", "read"),
    [
        (b"12345678901234567.89", "12345678901234567.89"),
        (b"0.10", "0.1"),
        (
            b"0.1000000000000000055511151231257827021181583404541015625",
            "0.1000000000000000055511151231257827021181583404541015625",
        ),
        (b"1e-7", "1E-7"),
        (b"-0.0", "-0.0"),
        (b"7", "7"),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
    ],
)
def test_the_framework_reads_a_decimal_exactly(amount: bytes, read: str) -> None:
    """Through a float, 12345678901234567.89 would be 12345678901234568."""
    assert _paid_with(b'{"amount":%s,"rate":0.25,"more":[1.50]}' % amount) == (201, [read, "0.25", "[1.5]"])


@pytest.mark.parametrize(
    ("body", "status", "field", "said"),
    [
        (b'{"amount":1,"amount":2}', 400, "amount", "the body has the field amount more than once"),
        (b'{"amount":1,"more":{"b":1,"b":2}}', 400, "b", "the body has the field b more than once"),
        (b'[{"amount":1,"amount":2}]', 400, "amount", "the body has the field amount more than once"),
        (b'["amount: 1"]', 400, "body", "the body does not fit: Expected `object`, got `array`"),
        (b'{"amount":1,"%s":1,"%s":1}' % (b"x" * 5_000, b"x" * 5_000), 400, "x" * 64, "the body has the field xxx"),
        (b'{"amount":1,"rate":1e400}', 400, "body", "the body has a number that is out of range: 1e400"),
        (b'{"amount":1e999999999999999999999}', 400, "body", "the body has a number that is out of range: 1e9"),
        (b'{"amount":0.%s}' % (b"9" * 5_000), 400, "body", "the body has a number of more than 64 characters"),
        (b'{"amount":%s}' % (b"9" * 5_000), 422, "body", "the body does not fit: Integer value out of range"),
        (b'{"amount":1', 400, "body", "the body is not JSON: Input data was truncated"),
        (b'{"amount":1,"more":"\xff"}', 400, "body", "the body is not JSON"),
        (b'{"amount":1,"more":%s}' % (b"[" * 100_000), 400, "body", "the body is not JSON"),
    ],
)
def test_what_cannot_be_read_is_told_where_the_framework_reads_the_body(
    body: bytes, status: int, field: str, said: str
) -> None:
    found_status, found = _paid_with(body)
    assert (found_status, found["field"]) == (status, field), found
    assert found["detail"].startswith(said)
    assert len(found["detail"]) < 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_is_not_said_to_be_json_is_not_read_as_such(content_type: str) -> None:
    """A page of another site may send these without asking first."""
    status, found = _paid_with(b'{"amount":1}', content_type)
    assert (status, found["type"]) == (415, "urn:mainstem:problem:unsupported-media-type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/merge-patch+json"])
def test_what_is_said_to_be_json_is_read(content_type: str) -> None:
    assert _paid_with(b'{"amount":1}', content_type)[0] == 201
