"""The bank's refused commands over HTTP, for those who work there: all of them, counted, and tried again."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from bank.card import CARD, CARD_ID
from bank.service import Bank, CardView
from mainstem import Refused, iso_time, read_time
from mainstem.query.access import Grant, tenant_of
from mainstem.query.cursor import cursor_token, read_cursor
from mainstem.query.input import Body, parameter
from mainstem.query.openapi import COMMAND_HEADERS, PAGE_HEADERS, body_operation
from mainstem.query.reading import LIVE, reads
from mainstem.query.web import json_response, problem_responses
from mainstem.refusals import (
    PERIODS_MS,
    KeptRefusal,
    RefusalCount,
    RefusalFilter,
    place_of,
    refusal_id,
    refusal_number,
)
from mainstem.tenancy import qualified, read_stream

_Request = Request[Any, Any, Any]
_PAGE_MAX = 1_000
_TIME = "With its zone, as 2026-01-31T09:30:00Z"


class RetriedView(Struct, frozen=True, rename="camel"):
    """A retry that was accepted: the version of the card that it led to, when, and who asked for it."""

    version: int
    at: str
    actor: str


class RefusedView(Struct, frozen=True, rename="camel"):
    """A refused command as it is kept. `retryOf` is the refusal that it was a retry of."""

    id: str
    card: str
    command: str
    content: Any
    reason: str
    detail: str
    refused_at: str
    actor: str
    correlation_id: str | None
    retry_of: str | None
    retried: RetriedView | None


class RefusedInFullView(RefusedView, frozen=True, rename="camel"):
    """With the refusals that its retries led to."""

    refused_again: list[str]


class RefusalCountView(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How many were refused for a reason, in the period that begins at `period` where they are counted by periods."""

    reason: str
    refusals: int
    period: str | None = None


class _Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    pass


_Id = Annotated[str, PathParameter(description="The refusal's id", pattern=r"^[0-9]{16}$")]
_Card = Annotated[
    str | None,
    QueryParameter(name="debitCardId", pattern=rf"^{CARD_ID.pattern}$", description="Of this card only"),
]
_Reason = Annotated[str | None, QueryParameter(description="For this reason only")]
_Command = Annotated[str | None, QueryParameter(description="Of this kind of command only, as Withdraw")]
_Actor = Annotated[str | None, QueryParameter(description="Of who asked for it")]
_From = Annotated[str | None, QueryParameter(name="from", description=f"From this time on. {_TIME}")]
_To = Annotated[str | None, QueryParameter(name="to", description=f"Before this time. {_TIME}")]
_Limit = Annotated[int, QueryParameter(ge=1, le=_PAGE_MAX, description="The most rows to return")]


def refusal_routes(bank: Bank) -> list[BaseRouteHandler]:
    """All about refused commands but those of one card, which its owner may see."""
    return [*_questions(bank), _retry(bank)]


def _questions(bank: Bank) -> list[BaseRouteHandler]:
    @get(
        "/refusals",
        tags=["refusals"],
        operation_id="allRefusals",
        opt=reads(LIVE),
        response_headers=PAGE_HEADERS,
        responses=problem_responses(400, 503),
    )
    async def page(  # noqa: PLR0913, PLR0917 - the query's parameters
        request: _Request,
        card: _Card = None,
        reason: _Reason = None,
        command: _Command = None,
        actor: _Actor = None,
        begin: _From = None,
        end: _To = None,
        limit: _Limit = 100,
        cursor: Annotated[str | None, QueryParameter(description="From the Link header of the page before")] = None,
    ) -> Response[list[RefusedView]]:
        """Refused commands, newest first, as the command side keeps them."""
        asked = _filter(bank, request, card, begin, end, reason=reason, command=command, actor=actor)
        named = {"debitCardId": card, "reason": reason, "command": command, "actor": actor, "from": begin, "to": end}
        query = _asked(named)
        marked = qualified(tenant_of(request), query)
        after = None if cursor is None else _place(cursor, marked)
        rows = await bank.read(request, lambda _: bank.refused.page(asked, after, limit))
        return json_response(list(map(_view, rows)), headers=_next(query, marked, rows, limit))

    @get(
        "/refusals/counts",
        tags=["refusals"],
        operation_id="countRefusals",
        opt=reads(LIVE),
        responses=problem_responses(400, 503),
    )
    async def counts(  # noqa: PLR0913, PLR0917 - the query's parameters
        request: _Request,
        by: Annotated[Literal["reason", "hour", "day"], QueryParameter(description="By periods too (UTC)")] = "reason",
        card: _Card = None,
        reason: _Reason = None,
        command: _Command = None,
        actor: _Actor = None,
        begin: _From = None,
        end: _To = None,
        limit: _Limit = 100,
    ) -> Response[list[RefusalCountView]]:
        """How many were refused by reason, the most frequent first; by periods, the newest first."""
        asked = _filter(bank, request, card, begin, end, reason=reason, command=command, actor=actor)
        rows = await bank.read(request, lambda _: bank.refused.counts(asked, PERIODS_MS.get(by), limit))
        views = [
            RefusalCountView(r.reason, r.refusals, None if r.from_ms is None else iso_time(r.from_ms)) for r in rows
        ]
        return json_response(views)

    @get(
        "/refusals/{refusal_id:str}",
        tags=["refusals"],
        operation_id="getRefusal",
        opt=reads(LIVE),
        responses=problem_responses(400, 404, 503),
    )
    async def one(request: _Request, refusal_id: _Id) -> Response[RefusedInFullView]:
        """A refused command, and what became of its retry."""
        number = refusal_number(refusal_id)
        return json_response(await bank.read(request, lambda grant: _in_full(bank, grant, number)))

    return [page, counts, one]


def _retry(bank: Bank) -> BaseRouteHandler:
    nothing = Body(_Nothing)

    @post(
        "/refusals/{refusal_id:str}/retry",
        tags=["refusals"],
        operation_id="retryRefusal",
        status_code=200,
        operation_class=body_operation(),
        response_headers=COMMAND_HEADERS,
        responses=problem_responses(404, 409, 503, 504, body=True),
    )
    async def retry(request: _Request, refusal_id: _Id) -> Response[CardView]:
        """Try a refused command again, once. The body is an empty object; an Idempotency-Key is not needed."""
        await nothing.read(request)
        number = refusal_number(refusal_id)
        kept = await bank.read(request, lambda grant: _found(bank, grant, number))
        return await bank.retry(request, kept)

    return retry


def _filter(
    bank: Bank, request: _Request, card: str | None, begin: str | None, end: str | None, **named: str | None
) -> RefusalFilter:
    tenant = tenant_of(request)
    return RefusalFilter(
        stream=None if card is None else CARD.stream(card, tenant),
        tenant=tenant or ("" if bank.apart else None),
        reason=named["reason"],
        command=named["command"],
        actor=named["actor"],
        from_ms=_time("from", begin),
        to_ms=_time("to", end),
    )


def _time(name: str, text: str | None) -> int | None:
    with parameter(name):
        return None if text is None else read_time(text)


def _asked(named: Mapping[str, str | None]) -> str:
    return f"/refusals?{urlencode({name: value for name, value in named.items() if value is not None})}"


def _place(cursor: str, asked: str) -> tuple[int, int]:
    at_ms, number = map(int, read_cursor(cursor, (int, int), asked))
    return at_ms, number


def _next(asked: str, marked: str, rows: Sequence[KeptRefusal], limit: int) -> dict[str, str]:
    if len(rows) < limit:
        return {}
    query = urlencode({"limit": limit, "cursor": cursor_token(place_of(rows[-1]), marked)})
    return {"Link": f'<{asked}{"" if asked.endswith("?") else "&"}{query}>; rel="next"'}


def _found(bank: Bank, grant: Grant, number: int) -> KeptRefusal:
    kept = bank.refused.find(number)
    if kept is None or read_stream(kept.refusal.stream).tenant != grant.tenant:
        raise Refused("refusal-unknown", f"There is no refusal {refusal_id(number)}")
    return kept


def _count(found: RefusalCount) -> RefusalCountView:
    return RefusalCountView(found.reason, found.refusals, None if found.from_ms is None else iso_time(found.from_ms))


def _in_full(bank: Bank, grant: Grant, number: int) -> RefusedInFullView:
    view = _view(_found(bank, grant, number))
    again = bank.refused.page(RefusalFilter(retry_of=number))
    return RefusedInFullView(**msgspec.structs.asdict(view), refused_again=[refusal_id(each.number) for each in again])


def _view(kept: KeptRefusal) -> RefusedView:
    refusal, retried = kept.refusal, kept.retried
    return RefusedView(
        id=refusal_id(kept.number),
        card=read_stream(refusal.stream).id,
        command=refusal.command,
        content=msgspec.Raw(refusal.content),
        reason=refusal.reason,
        detail=refusal.text,
        refused_at=iso_time(refusal.refused_at_ms),
        actor=refusal.actor,
        correlation_id=refusal.correlation_id,
        retry_of=None if refusal.retry_of is None else refusal_id(refusal.retry_of),
        retried=None if retried is None else RetriedView(retried.version, iso_time(retried.at_ms), retried.actor),
    )
