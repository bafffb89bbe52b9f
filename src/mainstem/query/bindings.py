"""Listeners over HTTP, for operators: listed, paused, resumed, restarted, moved."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIType, Schema
from msgspec import Struct
from msgspec.structs import asdict, replace

from mainstem.codec import iso_time, read_time
from mainstem.errors import MainstemError
from mainstem.listener.actions import Action, Member
from mainstem.listener.desk import Bound, Listeners
from mainstem.listener.moving import Plan, Target
from mainstem.query.access import Rule, grant_of, may
from mainstem.query.dead_letters import CHANGING, REASON, ActionView, Listener, action_view, reason_of
from mainstem.query.input import Body, parameter
from mainstem.query.openapi import body_operation, text_schema
from mainstem.query.problems import InvalidInput
from mainstem.query.reading import LIVE, reads
from mainstem.query.web import OPERATOR, json_response, problem_responses

BINDING_RULES: Mapping[str, Rule] = {
    "GET /bindings": may(OPERATOR, whole=True),
    "POST /bindings/{listener}/pause": may(OPERATOR, whole=True),
    "POST /bindings/{listener}/resume": may(OPERATOR, whole=True),
    "POST /bindings/{listener}/restart": may(OPERATOR, whole=True),
    "POST /bindings/{listener}/move": may(OPERATOR, whole=True),
}
"""Who may call these routes, for the application's own table."""

_Request = Request[Any, Any, Any]
_WAIT_S = 5.0
_NOT_YET = "not all processes have seen it yet: they do within a second of their batch in hand"
_TO = text_schema(r"^.{1,40}$", "begin, end, or a time with its zone", "2026-01-31T09:30:00Z")
_OFFSETS = Schema(
    type=OpenAPIType.OBJECT,
    additional_properties=Schema(type=OpenAPIType.INTEGER, minimum=0),
    description="Offsets by partition; the others stay",
)
_DRY = Schema(type=OpenAPIType.BOOLEAN, description="Show what it would do, and do nothing: unless false is given")


class MemberView(Struct, frozen=True, rename="camel"):
    """A listener in one process, as that process last told."""

    process: str
    state: str
    reason: str | None
    partitions: list[int]
    handled: int
    dead: int
    at: str


class BindingView(Struct, frozen=True, rename="camel"):
    """A listener, whether it is to be paused, how it is, and by how much it is behind (null where nobody can tell)."""

    listener: str
    topic: str
    view: str | None
    emits: bool
    dead_letter_topic: str
    paused: bool
    state: str
    parked: int
    lag: int | None
    lag_s: float | None
    members: list[MemberView]


class MovedView(Struct, frozen=True):
    """One partition: from which offset to which; so many offsets are skipped, or read again."""

    partition: int
    before: int
    after: int
    skipped: int
    again: int


class MoveView(Struct, frozen=True, rename="camel"):
    """What a move does, or would do; `refused` says why it is not done."""

    listener: str
    dry_run: bool
    partitions: list[MovedView]
    notes: list[str]
    refused: list[str]


class _Because(Struct, frozen=True, forbid_unknown_fields=True):
    reason: str


class _Move(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    reason: str
    to: str | None = None
    offsets: dict[int, int] | None = None
    dry_run: bool = True


def binding_routes(desk: Listeners) -> list[BaseRouteHandler]:
    """All of them."""
    return [_listed(desk), *_wishes(desk), _moving(desk)]


def _listed(desk: Listeners) -> BaseRouteHandler:
    @get(
        "/bindings", tags=["listeners"], operation_id="bindings", opt=reads(LIVE), responses=problem_responses(400, 503)
    )
    async def listed() -> Response[list[BindingView]]:
        """The listeners by name, with the processes that run them."""
        return json_response(await asyncio.to_thread(bindings_of, desk))

    return listed


def _wishes(desk: Listeners) -> list[BaseRouteHandler]:
    because = Body(_Because)

    def route(what: str, text: str, ask: Callable[..., Action]) -> BaseRouteHandler:
        async def wish(request: _Request, listener: Listener) -> Response[ActionView]:
            content = await because.read(request)
            who, why = grant_of(request).subject, reason_of(content.reason)
            return json_response(await asyncio.to_thread(lambda: wished(desk, ask(listener, who=who, why=why))))

        wish.__doc__ = text
        return post(
            f"/bindings/{{listener:str}}/{what}",
            tags=["listeners"],
            operation_id=f"{what}Binding",
            status_code=200,
            operation_class=body_operation(reason=REASON),
            responses=CHANGING,
        )(wish)

    return [
        route("pause", "Have a listener begin no further batch, in every process, until it is resumed.", desk.pause),
        route("resume", "Let a listener go on.", desk.resume),
        route("restart", "Have every member of a listener's group leave it, and join anew.", desk.restart),
    ]


def _moving(desk: Listeners) -> BaseRouteHandler:
    body = Body(_Move)

    @post(
        "/bindings/{listener:str}/move",
        tags=["listeners"],
        operation_id="moveBinding",
        status_code=200,
        operation_class=body_operation({"to": _TO, "offsets": _OFFSETS, "dryRun": _DRY}, reason=REASON),
        responses=CHANGING,
    )
    async def move(request: _Request, listener: Listener) -> Response[MoveView]:
        """Move a paused listener to a position or a time; or show what that would do."""
        content = await body.read(request)
        target, why = target_of(content.to, content.offsets), reason_of(content.reason)
        if content.dry_run:
            plan = await asyncio.to_thread(desk.plan, listener, target)
        else:
            who = grant_of(request).subject
            plan = await asyncio.to_thread(lambda: desk.move(listener, target, who=who, why=why))
        return json_response(move_view(plan, dry_run=content.dry_run))

    return move


def target_of(to: str | None, offsets: Mapping[int, int] | None) -> Target:
    """Where to move to. Raises InvalidInput where that is not told, or told twice."""
    if (to is None) == (not offsets):
        raise InvalidInput("to", "name where to: either `to` (begin, end or a time) or `offsets`")
    if to is None:
        return Target(offsets=offsets)
    if to in ("begin", "end"):
        return Target(end=to)
    with parameter("to"):
        return Target(at_ms=read_time(to))


def bindings_of(desk: Listeners) -> list[BindingView]:
    """All of them, each with its lag."""
    return [_view(desk, bound) for bound in desk.bindings()]


def wished(desk: Listeners, action: Action) -> ActionView:
    """What was wanted, and how many processes have seen it."""
    members = desk.seen(action, _WAIT_S)
    view = action_view(action)
    told = _NOT_YET if members is None else f"holds in {members} processes"
    return replace(view, told=told)


def move_view(plan: Plan, *, dry_run: bool) -> MoveView:
    """A plan as HTTP and the command line show it."""
    partitions = [
        MovedView(each.partition, each.before, each.after, each.skipped, each.again) for each in plan.partitions
    ]
    return MoveView(plan.listener, dry_run, partitions, plan.notes, plan.refused)


def _view(desk: Listeners, bound: Bound) -> BindingView:
    try:
        lag = desk.lag(bound.listener)
        behind: tuple[int | None, float | None] = (lag.records, round(lag.seconds, 3))
    except MainstemError:
        behind = (None, None)
    told = asdict(bound) | {"members": list(map(_member, bound.members))}
    return BindingView(**told, lag=behind[0], lag_s=behind[1])


def _member(member: Member) -> MemberView:
    partitions = [int(each) for each in member.partitions.split(",") if each]
    told = (member.state, member.reason, partitions, member.handled, member.dead)
    return MemberView(member.process, *told, iso_time(member.at_ms))
