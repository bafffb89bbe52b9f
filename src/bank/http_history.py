"""A card's past over HTTP: its events, and the difference between two moments."""

from typing import Annotated, Any, Literal

from litestar import Request, Response, get
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from bank.inputs import CardId, Cursor, Limit, linked
from bank.service import Bank, CardDifference, CardEventView
from mainstem import NOW, AsOf, read_moment
from mainstem.query.input import parameter
from mainstem.query.openapi import PAGE_HEADERS
from mainstem.query.reading import LIVE, reads
from mainstem.query.web import json_response, problem_responses

_Request = Request[Any, Any, Any]

Time = Annotated[
    Literal["occurred", "recorded"],
    QueryParameter(description="Whether times are those at which events occurred or were recorded"),
]

MOMENT = "A version, as 7, or a time with its zone, as 2026-01-31T09:30:00Z"


def history_routes(bank: Bank) -> list[BaseRouteHandler]:
    """What happened, and what has changed."""

    @get(
        "/cards/{card_id:str}/history",
        tags=["cards"],
        operation_id="cardHistory",
        opt=reads(LIVE),
        response_headers=PAGE_HEADERS,
        responses=problem_responses(400, 404, 503),
    )
    async def history(
        request: _Request, card_id: CardId, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[list[CardEventView]]:
        """What happened to the card, the oldest first, with who asked for it."""
        rows = await bank.read(request, lambda grant: bank.happened(grant, card_id, limit, cursor))
        return linked(request, f"/cards/{card_id}/history", rows, limit, "version")

    @get(
        "/cards/{card_id:str}/difference",
        tags=["cards"],
        operation_id="cardDifference",
        opt=reads(LIVE),
        responses=problem_responses(400, 404, 503),
    )
    async def difference(
        request: _Request,
        card_id: CardId,
        earlier: Annotated[str, QueryParameter(name="from", description=MOMENT)],
        later: Annotated[
            str | None, QueryParameter(name="to", description=f"{MOMENT}; now where it is left out")
        ] = None,
        time: Time = "occurred",
    ) -> Response[CardDifference]:
        """What has changed of the card from one moment to another."""
        begin = moment_of("from", earlier, time)
        end = NOW if later is None else moment_of("to", later, time)
        return json_response(await bank.read(request, lambda grant: bank.difference(grant, card_id, begin, end)))

    return [history, difference]


def moment_of(name: str, text: str, time: str) -> AsOf:
    """The moment that the parameter names. Raises InvalidInput for what is none."""
    with parameter(name):
        return read_moment(text, recorded=time == "recorded")
