"""Payments over HTTP: found by the words of merchants and references."""

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
from bank.overall import CUSTOMER_ID
from bank.payment import GROUP, Payment, of_card, of_customer, of_tenant, search
from bank.service import Bank
from mainstem import iso_time
from mainstem.query.access import Grant, tenant_of
from mainstem.query.input import parameter
from mainstem.query.openapi import PAGE_HEADERS
from mainstem.query.problems import InvalidInput
from mainstem.query.reading import reads
from mainstem.tenancy import qualified, shown
from mainstem.words import WORDS_MAX, asked_words

_Request = Request[Any, Any, Any]

_TEXT_MAX = 200


class PaymentView(Struct, frozen=True, rename="camel"):
    """A withdrawal with what is known of its merchant and its reference."""

    id: str
    debit_card_id: str
    customer: str | None
    merchant: str | None
    reference: str | None
    amount: Decimal
    transaction_date: str


def payment_routes(bank: Bank) -> list[BaseRouteHandler]:
    """All about payments."""

    @get(
        "/payments",
        tags=["withdrawals"],
        operation_id="searchPayments",
        opt=reads(GROUP),
        response_headers=PAGE_HEADERS,
        responses=READING,
    )
    async def payments(
        request: _Request,
        text: Annotated[
            str,
            QueryParameter(
                max_length=_TEXT_MAX, description=f"1 to {WORDS_MAX} words; with a * behind it, how one begins"
            ),
        ],
        card: Annotated[
            str | None,
            QueryParameter(name="debitCardId", pattern=rf"^{CARD_ID.pattern}$", description="Of this card only"),
        ] = None,
        customer: Annotated[
            str | None, QueryParameter(pattern=rf"^{CUSTOMER_ID.pattern}$", description="Of this customer's cards only")
        ] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[list[PaymentView]]:
        """Withdrawals whose merchant and reference have all of these words, the newest first."""
        within, tenant = _within(bank, request, card, customer), tenant_of(request)
        with parameter("text"):
            asked_words(text)
        named = {"text": text, "debitCardId": card, "customer": customer}
        asked = f"/payments?{urlencode({name: value for name, value in named.items() if value is not None})}"
        after = behind_of(request, asked, (str,), cursor)

        def asking(_: Grant) -> list[Payment]:
            return search(bank.views, text, within, limit, after)

        rows = await bank.read(request, asking)
        return linked(request, asked, rows, limit, "id", view=lambda row: _view(row, tenant))

    return [payments]


def _within(bank: Bank, request: _Request, card: str | None, customer: str | None) -> str | None:
    if card is not None and customer is not None:
        text = "debitCardId and customer: one of the two at most"
        raise InvalidInput("customer", text, reason="invalid-query", status=400)
    tenant = tenant_of(request)
    if card is not None:
        return of_card(qualified(tenant, card))
    if customer is not None:
        return of_customer(qualified(tenant, customer))
    return of_tenant(tenant) if bank.apart else None


def _view(row: Payment, tenant: str | None) -> PaymentView:
    card = shown(tenant, row.card)
    return PaymentView(
        row.id.replace(row.card, card, 1),
        card,
        None if row.customer is None else shown(tenant, row.customer),
        row.merchant,
        row.reference,
        money_of(row.cents),
        iso_time(row.occurred_at_ms),
    )
