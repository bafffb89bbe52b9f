"""What the OpenAPI document says of how fresh an answer is wanted, and is."""

from collections.abc import Iterable
from typing import Any

from litestar.openapi.spec import OpenAPI, OpenAPIHeader, OpenAPIType, Parameter, Schema

from mainstem.query.preferences import APPLIED_HEADER, MAX_AGE_HEADER
from mainstem.query.reading import AGE_HEADER, POSITION_HEADER

_TEXT = Schema(type=OpenAPIType.STRING)

_ASKED = (
    Parameter("position", "query", schema=_TEXT, required=False, description="Wait until the answer has this position"),
    Parameter(POSITION_HEADER, "header", schema=_TEXT, required=False, description="The same, as a header"),
    Parameter("Prefer", "header", schema=_TEXT, required=False, description="wait=SECONDS: wait no longer (RFC 7240)"),
    Parameter(
        MAX_AGE_HEADER,
        "header",
        schema=_TEXT,
        required=False,
        description="Wait until the answer has all that was recorded until so many seconds before the request",
    ),
)
_TOLD = {
    POSITION_HEADER: OpenAPIHeader(
        schema=_TEXT, description="Up to where the answer has everything, for another query to wait for"
    ),
    AGE_HEADER: OpenAPIHeader(
        schema=Schema(type=OpenAPIType.NUMBER, minimum=0),
        description="The answer has all that was recorded until so many seconds before it",
    ),
    APPLIED_HEADER: OpenAPIHeader(schema=_TEXT, description="How long would have been waited"),
}


def describe_reading(document: OpenAPI, routes: Iterable[str]) -> None:
    """Add the parameters and the headers of the answers to those routes, as `GET /things`."""
    for route in routes:
        operation: Any = (document.paths or {})[route.removeprefix("GET ")].get
        operation.parameters = [*(operation.parameters or ()), *_ASKED]
        answer = operation.responses["200"]
        answer.headers = {**(answer.headers or {}), **_TOLD}
