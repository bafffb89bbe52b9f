"""Payments over HTTP: found by the words of merchants and references."""

from decimal import Decimal
from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, get
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from bank.card import CARD_ID
from bank.inputs import READING, Cursor, Limit, PositionHeader, PositionQuery, linked
from bank.overall import CUSTOMER_ID
from bank.payment import GROUP, Payment, of_card, of_customer, search
from bank.service import Bank
from mainstem import iso_time
from mainstem.query.cursor import read_cursor
from mainstem.query.input import parameter
from mainstem.query.openapi import PAGE_HEADERS
from mainstem.query.problems import InvalidInput
from mainstem.words import WORDS_MAX, asked_words

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
        response_headers=PAGE_HEADERS,
        responses=READING,
    )
    async def payments(
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
        position: PositionQuery = None,
        at: PositionHeader = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[list[PaymentView]]:
        """Withdrawals whose merchant and reference have all of these words, the newest first."""
        within = _within(card, customer)
        with parameter("text"):
            asked_words(text)
        named = {"text": text, "debitCardId": card, "customer": customer}
        asked = f"/payments?{urlencode({name: value for name, value in named.items() if value is not None})}"
        after = None if cursor is None else read_cursor(cursor, (str,), asked)
        rows = await bank.read(lambda: search(bank.views, text, within, limit, after), GROUP, position, at)
        return linked(asked, list(map(_view, rows)), limit, [rows[-1].id] if rows else [])

    return [payments]


def _within(card: str | None, customer: str | None) -> str | None:
    if card is not None and customer is not None:
        text = "debitCardId and customer: one of the two at most"
        raise InvalidInput("customer", text, reason="invalid-query", status=400)
    return of_card(card) if card is not None else None if customer is None else of_customer(customer)


def _view(row: Payment) -> PaymentView:
    return PaymentView(
        row.id,
        row.card,
        row.customer,
        row.merchant,
        row.reference,
        Decimal(row.cents).scaleb(-2),
        iso_time(row.occurred_at_ms),
    )
