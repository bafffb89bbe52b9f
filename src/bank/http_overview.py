"""The customer overview over HTTP."""

from decimal import Decimal
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter
from msgspec import Struct

from bank.cents import money_of
from bank.inputs import READING, Cursor, Limit, behind_of, linked
from bank.overall import CUSTOMER_ID
from bank.overview import CARDS_GROUP, LIMITS_GROUP, CustomerCard, Overview, cards_of, overview_of
from bank.service import Bank, CardView
from mainstem import iso_time
from mainstem.query.access import Grant
from mainstem.query.openapi import PAGE_HEADERS
from mainstem.query.reading import reads
from mainstem.query.web import json_response, problem_responses
from mainstem.tenancy import qualified, shown

_Request = Request[Any, Any, Any]

_CustomerId = Annotated[str, PathParameter(description="The customer's id", pattern=rf"^{CUSTOMER_ID.pattern}$")]


class OverviewView(Struct, frozen=True, rename="camel"):
    """A customer: how many cards, what these use and may use together, and what was ever withdrawn."""

    id: str
    overall_limit: Decimal | None
    cards: int
    used: Decimal
    withdrawn: Decimal
    withdrawals: int
    last_activity: str | None


def overview_routes(bank: Bank) -> list[BaseRouteHandler]:
    """All that is asked about customers."""

    @get(
        "/customers/{customer_id:str}",
        tags=["customers"],
        operation_id="customerOverview",
        opt=reads(CARDS_GROUP, LIMITS_GROUP),
        responses=problem_responses(400, 404, 503),
    )
    async def overview(
        request: _Request,
        customer_id: _CustomerId,
    ) -> Response[OverviewView]:
        """A customer's cards together. The position of a command for one of the cards can be waited for."""

        def asking(grant: Grant) -> OverviewView:
            return _view(overview_of(bank.views, customer_id, grant.tenant))

        found = await bank.read(request, asking)
        return json_response(found)

    @get(
        "/customers/{customer_id:str}/cards",
        tags=["customers"],
        operation_id="customerCards",
        opt=reads(CARDS_GROUP),
        response_headers=PAGE_HEADERS,
        responses=READING,
    )
    async def cards(
        request: _Request,
        customer_id: _CustomerId,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[list[CardView]]:
        """A customer's cards by their ids."""
        asked = f"/customers/{customer_id}/cards"
        after = behind_of(request, asked, (str,), cursor)

        def asking(grant: Grant) -> list[CardView]:
            behind = None if after is None else [qualified(grant.tenant, str(after[0]))]
            rows = cards_of(bank.views, qualified(grant.tenant, customer_id), limit, behind)
            return [_card(row, grant) for row in rows]

        rows = await bank.read(request, asking)
        return linked(request, asked, rows, limit, "id")

    return [overview, cards]


def _view(found: Overview) -> OverviewView:
    return OverviewView(
        found.id,
        None if found.limit_cents is None else money_of(found.limit_cents),
        found.cards,
        money_of(found.used_cents),
        money_of(found.withdrawn_cents),
        found.withdrawals,
        iso_time(found.occurred_at_ms) if found.cards else None,
    )


def _card(row: CustomerCard, grant: Grant) -> CardView:
    limit, used = money_of(row.limit_cents), money_of(row.used_cents)
    return CardView(shown(grant.tenant, row.id), limit, used, limit - used, row.status, row.version)
