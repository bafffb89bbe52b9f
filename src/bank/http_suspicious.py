"""Suspicious activity over HTTP."""

from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Request, Response, get
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from bank.card import CARD_ID
from bank.cents import money_of
from bank.inputs import READING, Cursor, Limit, behind_of, linked
from bank.service import Bank
from bank.suspicious import AMOUNT_GROUP, VELOCITY_GROUP, Activity, Kind, suspicious_of
from mainstem import iso_time
from mainstem.query.access import Grant, tenant_of
from mainstem.query.openapi import PAGE_HEADERS
from mainstem.query.reading import reads
from mainstem.tenancy import qualified, shown

_Request = Request[Any, Any, Any]


class SuspiciousView(Struct, frozen=True, rename="camel"):
    """What was withdrawn from a card in a suspicious window, from `begin` on and before `end`."""

    debit_card_id: str
    kind: str
    begin: str
    end: str
    withdrawals: int
    amount: Decimal


def suspicious_routes(bank: Bank) -> list[BaseRouteHandler]:
    """All about suspicious activity."""

    @get(
        "/suspicious",
        tags=["cards"],
        operation_id="suspiciousActivity",
        opt=reads(VELOCITY_GROUP, AMOUNT_GROUP),
        response_headers=PAGE_HEADERS,
        responses=READING,
    )
    async def suspicious(
        request: _Request,
        kind: Annotated[Kind, QueryParameter(description="Too often, or too much")],
        card: Annotated[
            str | None,
            QueryParameter(name="debitCardId", pattern=rf"^{CARD_ID.pattern}$", description="Of this card only"),
        ] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[list[SuspiciousView]]:
        """Windows of time in which too much was withdrawn from a card, or too often, the newest first."""
        query: dict[str, Any] = {"kind": kind} | ({} if card is None else {"debitCardId": card})
        asked = f"/suspicious?{urlencode(query)}"
        after, tenant = behind_of(request, asked, (int, str), cursor), tenant_of(request)
        of_card = None if card is None else qualified(tenant, card)

        def asking(_: Grant) -> list[Activity]:
            return suspicious_of(bank.views, kind, tenant, of_card, limit, after)

        rows = await bank.read(request, asking)

        def view(row: Activity) -> SuspiciousView:
            return _view(kind, row, shown(tenant, row.card))

        return linked(request, asked, rows, limit, "begin_ms", "card", view=view)

    return [suspicious]


def _view(kind: Kind, row: Activity, card: str) -> SuspiciousView:
    times = iso_time(row.begin_ms), iso_time(row.end_ms)
    return SuspiciousView(card, kind, *times, row.withdrawals, money_of(row.cents))
