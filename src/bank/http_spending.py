"""Daily spending over HTTP: the days of a card, and who spent most on a day."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from bank.cents import money_of
from bank.inputs import READING, CardId, Cursor, Limit, behind_of, linked
from bank.service import Bank
from bank.spending import GROUP, DailySpending, days_of, spenders_of
from mainstem.query.access import Grant, tenant_of
from mainstem.query.openapi import PAGE_HEADERS
from mainstem.query.problems import InvalidInput
from mainstem.query.reading import reads
from mainstem.tenancy import qualified, shown

_Request = Request[Any, Any, Any]

_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


class SpendingView(Struct, frozen=True, rename="camel"):
    """What was withdrawn from a card on a day (UTC)."""

    debit_card_id: str
    day: str
    withdrawals: int
    amount: Decimal


def spending_routes(bank: Bank) -> list[BaseRouteHandler]:
    """All about daily spending."""

    @get(
        "/cards/{card_id:str}/spending",
        tags=["cards"],
        operation_id="dailySpending",
        opt=reads(GROUP),
        response_headers=PAGE_HEADERS,
        responses=READING,
    )
    async def of_card(
        request: _Request,
        card_id: CardId,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[list[SpendingView]]:
        """What was withdrawn from the card on each day, the newest first; days without a withdrawal are left out."""
        asked = f"/cards/{card_id}/spending"
        after = behind_of(request, asked, (int,), cursor)

        def asking(grant: Grant) -> list[DailySpending]:
            return days_of(bank.views, qualified(grant.tenant, card_id), limit, after)

        rows = await bank.read(request, asking)
        return linked(request, asked, rows, limit, "begin_ms", view=lambda row: _view(row, card_id))

    @get(
        "/spending",
        tags=["cards"],
        operation_id="topSpenders",
        opt=reads(GROUP),
        response_headers=PAGE_HEADERS,
        responses=READING,
    )
    async def of_day(
        request: _Request,
        day: Annotated[str, QueryParameter(pattern=_DAY, description="The day (UTC), as 2026-01-31")],
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[list[SpendingView]]:
        """The cards from which most was withdrawn on a day, the highest amount first."""
        asked, day_ms = f"/spending?day={day}", _day_ms(day)
        after, tenant = behind_of(request, asked, (int, str), cursor), tenant_of(request)
        rows = await bank.read(request, lambda _: spenders_of(bank.views, tenant, day_ms, limit, after))

        def view(row: DailySpending) -> SpendingView:
            return _view(row, shown(tenant, row.card))

        return linked(request, asked, rows, limit, "cents", "card", view=view)

    return [of_card, of_day]


def _day_ms(text: str) -> int:
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError as error:
        raise InvalidInput(
            "day", f"{text!r:.40} is no day: as 2026-01-31", reason="invalid-query", status=400
        ) from error


def _view(row: DailySpending, card_id: str) -> SpendingView:
    day = datetime.fromtimestamp(row.begin_ms / 1000, UTC)
    return SpendingView(card_id, f"{day:%Y-%m-%d}", row.withdrawals, money_of(row.cents))
