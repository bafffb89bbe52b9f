"""Analytical queries over HTTP: what was withdrawn, from the analytical store."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from bank import analytics
from bank.card import CARD_ID
from bank.inputs import READING, Limit
from bank.service import Bank
from mainstem.olap.asking import Found
from mainstem.olap.question import Question
from mainstem.query.questions import question_route
from mainstem.query.reading import reads
from mainstem.query.web import json_response

_Request = Request[Any, Any, Any]

_BANKAPP = f"olap-{analytics.BANKAPP.name}"


def analytics_routes(bank: Bank) -> list[BaseRouteHandler]:
    """All of them."""
    only_card = QueryParameter(name="debitCardId", pattern=rf"^{CARD_ID.pattern}$", description="Of this card only")

    @get("/analytics/cards", tags=["analytics"], operation_id="spendingPerCard", opt=reads(_BANKAPP), responses=READING)
    async def per_card(
        request: _Request, card: Annotated[str | None, only_card] = None, limit: Limit = 100
    ) -> Response[list[analytics.CardSpending]]:
        """What was withdrawn from each card, from the analytical store."""
        return json_response(
            await bank.analyse(request, lambda grant: analytics.spending_per_card(bank.facts(grant), card, limit))
        )

    @get("/analytics/top-cards", tags=["analytics"], operation_id="topCards", opt=reads(_BANKAPP), responses=READING)
    async def top(request: _Request, limit: Limit = 10) -> Response[list[analytics.CardSpending]]:
        """The cards from which most was withdrawn."""
        return json_response(await bank.analyse(request, lambda grant: analytics.top_cards(bank.facts(grant), limit)))

    @get(
        "/analytics/spending",
        tags=["analytics"],
        operation_id="spendingOverTime",
        opt=reads(_BANKAPP),
        responses=READING,
    )
    async def over_time(
        request: _Request,
        grain: Annotated[analytics.Grain, QueryParameter(description="The length of a period")] = "day",
        card: Annotated[str | None, only_card] = None,
        limit: Limit = 100,
    ) -> Response[list[analytics.PeriodSpending]]:
        """What was withdrawn in each hour or day, the newest first."""
        return json_response(
            await bank.analyse(
                request, lambda grant: analytics.spending_over_time(bank.facts(grant), grain, card, limit)
            )
        )

    async def asking(request: _Request, question: Question) -> Found:
        return await bank.analyse(request, lambda grant: analytics.answer(bank.facts(grant), question))

    pattern = rf"^{CARD_ID.pattern}$"
    query = question_route("/analytics/query", analytics.BANKAPP, "debitCardId", pattern, asking, tags=["analytics"])
    return [per_card, top, over_time, query]
