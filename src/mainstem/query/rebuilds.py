"""Rebuilds of views over HTTP, for operators: begin one, look at it, cancel it, put back what it replaced."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

from litestar import Request, Response, get, post
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter
from msgspec import Struct

from mainstem.query.access import Rule, may
from mainstem.query.input import Body
from mainstem.query.openapi import body_operation
from mainstem.query.reading import LIVE, reads
from mainstem.query.web import OPERATOR, json_response, problem_responses

REBUILD_RULES: Mapping[str, Rule] = {
    "GET /rebuilds": may(OPERATOR, whole=True),
    "POST /rebuilds/{view}": may(OPERATOR, whole=True),
    "POST /rebuilds/{view}/compare": may(OPERATOR, whole=True),
    "POST /rebuilds/{view}/cancel": may(OPERATOR, whole=True),
    "POST /rebuilds/{view}/roll-back": may(OPERATOR, whole=True),
    "POST /rebuilds/{view}/forget": may(OPERATOR, whole=True),
}
"""Who may call these routes, for the application's own table."""

_View = Annotated[str, PathParameter(description="The view's table")]
_REFUSING = problem_responses(404, 409, 503, 504, body=True)


class RebuildDesk(Protocol):
    """What is asked of the rebuilds."""

    def list(self) -> Any:
        """How all views stand."""

    def begin(self, view: str, *, swap: bool = True) -> Any:
        """Begin a rebuild, or go on with one."""

    def cancel(self, view: str) -> Any:
        """End it, and drop what it has built."""

    def roll_back(self, view: str) -> Any:
        """Put back what was replaced."""

    def forget(self, view: str) -> Any:
        """Drop what was replaced."""


class _Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    pass


def rebuild_routes(desk: RebuildDesk) -> list[BaseRouteHandler]:
    """Look at all views, and what can be done with each. All bodies are empty objects."""

    @get(
        "/rebuilds",
        tags=["operations"],
        operation_id="rebuilds",
        opt=reads(LIVE),
        responses=problem_responses(400, 503),
    )
    async def listed() -> Response[list[dict[str, Any]]]:
        """Views by name: whether each is stale, what stands beside it, and how far its rebuild is."""
        return json_response(await asyncio.to_thread(desk.list))

    begin = "Fill a new version beside the live view, compare it and put it in its place; one that was left goes on"
    compare = "The same, but leave it beside the live view"
    return [
        listed,
        _route("", "rebuildView", begin, desk.begin, 202),
        _route("/compare", "compareView", compare, lambda view: desk.begin(view, swap=False), 202),
        _route("/cancel", "cancelRebuild", "End the rebuild, and drop what it has built", desk.cancel),
        _route("/roll-back", "rollBackView", "Put back what was replaced, once it is up to date", desk.roll_back, 202),
        _route("/forget", "forgetReplacedView", "Drop what was replaced", desk.forget),
    ]


def _route(path: str, operation_id: str, what: str, act: Callable[[str], Any], status: int = 200) -> BaseRouteHandler:
    nothing = Body(_Nothing)

    @post(
        "/rebuilds/{view:str}" + path,
        tags=["operations"],
        operation_id=operation_id,
        description=what,
        status_code=status,
        operation_class=body_operation(),
        responses=_REFUSING,
    )
    async def route(request: Request[Any, Any, Any], view: _View) -> Response[dict[str, Any]]:
        await nothing.read(request)
        return json_response(await asyncio.to_thread(act, view), status)

    return route
