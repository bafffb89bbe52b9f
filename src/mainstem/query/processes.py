"""Processes over HTTP, for operators: list them, and help those that are stuck."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, Protocol

from litestar import Request, Response, get, post
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from mainstem.messages import Origin
from mainstem.query.access import Rule, grant_of, may, tenant_of
from mainstem.query.input import Body
from mainstem.query.openapi import body_operation, text_schema
from mainstem.query.problems import InvalidInput
from mainstem.query.reading import reads
from mainstem.query.web import OPERATOR, json_response, problem_responses

PROCESS_RULES: Mapping[str, Rule] = {
    "GET /processes": may(OPERATOR),
    "POST /processes/{manager}/{process_id}/resume": may(OPERATOR),
    "POST /processes/{manager}/{process_id}/cancel": may(OPERATOR),
}
"""Who may call these routes, for the application's own table."""

_VIEW = "process"
"""The listener that keeps the view of all processes."""

_TEXT_MAX = 200
_Manager = Annotated[str, PathParameter(description="The process manager's name")]
_Process = Annotated[str, PathParameter(description="The process's id")]
_REFUSING = problem_responses(404, 409, 503, 504, body=True)


class ProcessDesk(Protocol):
    """What is asked of the processes."""

    def list(
        self, *, manager: str | None = None, status: str | None = None, limit: int = 100, tenant: str | None = None
    ) -> Any:
        """So many of them, by manager and id."""

    def resume(self, manager: str, process: str, origin: Origin = ...) -> Any:
        """Let a stuck one go on."""

    def cancel(self, manager: str, process: str, why: str, origin: Origin = ...) -> Any:
        """Have one undone."""


class ProcessView(Struct, frozen=True):
    """How a process stands after it was helped."""

    manager: str
    id: str
    status: str
    why: str


class _Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Reason(Struct, frozen=True, forbid_unknown_fields=True):
    reason: str


def process_routes(desk: ProcessDesk) -> list[BaseRouteHandler]:
    """List, resume and cancel."""
    nothing, because = Body(_Nothing), Body(_Reason)

    @get(
        "/processes",
        tags=["operations"],
        operation_id="processes",
        opt=reads(_VIEW),
        responses=problem_responses(400, 404, 503),
    )
    async def listed(
        request: Request[Any, Any, Any],
        status: Annotated[
            Literal["running", "stuck", "ended"] | None, QueryParameter(description="Those that stand so")
        ] = None,
        manager: Annotated[str | None, QueryParameter(description="Those of this process manager")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=10_000, description="The most to return")] = 100,
    ) -> Response[list[dict[str, Any]]]:
        """Processes by manager and id: how each stands, and why it is stuck."""
        listing = partial(desk.list, manager=manager, status=status, limit=limit, tenant=tenant_of(request))
        return json_response(await asyncio.to_thread(listing))

    @post(
        "/processes/{manager:str}/{process_id:str}/resume",
        tags=["operations"],
        operation_id="resumeProcess",
        status_code=200,
        operation_class=body_operation(),
        responses=_REFUSING,
    )
    async def resume(request: Request[Any, Any, Any], manager: _Manager, process_id: _Process) -> Response[ProcessView]:
        """Let a stuck process go on: what has failed is tried again. The body is an empty object."""
        await nothing.read(request)
        origin = grant_of(request).origin
        return _view(manager, process_id, await asyncio.to_thread(desk.resume, manager, process_id, origin))

    @post(
        "/processes/{manager:str}/{process_id:str}/cancel",
        tags=["operations"],
        operation_id="cancelProcess",
        status_code=200,
        operation_class=body_operation(
            reason=text_schema(rf"^[^\x00-\x1f]{{1,{_TEXT_MAX}}}$", "Why", "asked for by the customer")
        ),
        responses=_REFUSING,
    )
    async def cancel(request: Request[Any, Any, Any], manager: _Manager, process_id: _Process) -> Response[ProcessView]:
        """Have a process undone, as its manager says how."""
        content = await because.read(request)
        if not (0 < len(content.reason) <= _TEXT_MAX and content.reason.isprintable()):
            raise InvalidInput("reason", f"reason must be 1 to {_TEXT_MAX} printable characters")
        origin = grant_of(request).origin
        told = await asyncio.to_thread(desk.cancel, manager, process_id, content.reason, origin)
        return _view(manager, process_id, told)

    return [listed, resume, cancel]


def _view(manager: str, process: str, step: Any) -> Response[Any]:
    return json_response(ProcessView(manager, process, step.status, step.why))
