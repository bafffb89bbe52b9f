"""The bank over HTTP: the seed's two URLs, and the cards."""

from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get, post, put
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from bank.balance import GROUP as BALANCE_GROUP
from bank.card import (
    CARD_ID,
    TEXT,
    BlockCard,
    ChangeLimit,
    CloseCard,
    OpenCard,
    Repay,
    UnblockCard,
    Withdraw,
)
from bank.holder import GROUP as HOLDER_GROUP
from bank.http_analytics import analytics_routes
from bank.http_customers import customer_routes
from bank.http_history import MOMENT, Time, history_routes, moment_of
from bank.http_overview import overview_routes
from bank.http_payments import payment_routes
from bank.http_refusals import refusal_routes
from bank.http_spending import spending_routes
from bank.http_suspicious import suspicious_routes
from bank.http_transfers import transfer_routes
from bank.inputs import (
    AMOUNT_SCHEMA,
    CARD_SCHEMA,
    READING,
    REFUSING,
    CardId,
    Cursor,
    Limit,
    card_id_of,
    linked,
    named,
)
from bank.overall import CUSTOMER_ID
from bank.refusal import GROUP as REFUSAL_GROUP
from bank.service import Bank, CardView, RefusalView, StatementLine
from bank.statement import GROUP as STATEMENT_GROUP
from mainstem.query.input import Body, decimal_of
from mainstem.query.openapi import (
    COMMAND_HEADERS,
    PAGE_HEADERS,
    command_operation,
    money_schema,
    text_schema,
)
from mainstem.query.problems import InvalidInput
from mainstem.query.reading import reads
from mainstem.query.web import json_response, problem_responses

_Request = Request[Any, Any, Any]

REFUSALS = {
    "card-unknown": 404,
    "customer-unknown": 404,
    "invalid-amount": 422,
    "invalid-card": 422,
    "invalid-customer": 422,
    "invalid-text": 422,
    "refusal-unknown": 404,
    "same-card": 422,
    "transfer-unknown": 404,
}
"""The HTTP status of refusals by their reason; any other is 409."""

_TEXT_MAX = 200


class _Withdrawal(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    debit_card: str
    amount: msgspec.Raw
    merchant: str | None = None
    reference: str | None = None


class _Opening(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    limit: msgspec.Raw
    customer: str | None = None
    holder: str | None = None


class _Amount(Struct, frozen=True, forbid_unknown_fields=True):
    amount: msgspec.Raw


class _Limit(Struct, frozen=True, forbid_unknown_fields=True):
    limit: msgspec.Raw


class _Reason(Struct, frozen=True, forbid_unknown_fields=True):
    reason: str


class _Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    pass


_CUSTOMER_SCHEMA = text_schema(rf"^{CUSTOMER_ID.pattern}$", "Whose card it is", "c-1")
_HOLDER_SCHEMA = text_schema(
    rf"^(?=.*\S)[^\x00-\x1f]{{1,{_TEXT_MAX}}}$", "The name on it, personal data of the customer", "Ada Lovelace"
)
_MERCHANT_SCHEMA = text_schema(rf"^{TEXT.pattern}$", "Who got the money", "Corner Shop")
_REFERENCE_SCHEMA = text_schema(rf"^{TEXT.pattern}$", "What it was for", "Invoice 4711")
_LIMIT_SCHEMA = money_schema(0, "How much may be used in all")
_REASON_SCHEMA = text_schema(rf"^(?=.*\S)[^\x00-\x1f]{{1,{_TEXT_MAX}}}$", "Why", "lost")


def routes(bank: Bank) -> list[BaseRouteHandler]:
    """All of the bank's routes."""
    return [
        *_withdrawal_routes(bank),
        *_card_routes(bank),
        *_state_routes(bank),
        *history_routes(bank),
        *transfer_routes(bank),
        *customer_routes(bank),
        *overview_routes(bank),
        *payment_routes(bank),
        *spending_routes(bank),
        *suspicious_routes(bank),
        *analytics_routes(bank),
        *refusal_routes(bank),
    ]


def _withdrawal_routes(bank: Bank) -> list[BaseRouteHandler]:
    body = Body(_Withdrawal)

    @post(
        "/moneywithdrawals",
        tags=["withdrawals"],
        operation_id="withdraw",
        operation_class=command_operation(
            {"merchant": _MERCHANT_SCHEMA, "reference": _REFERENCE_SCHEMA}, debitCard=CARD_SCHEMA, amount=AMOUNT_SCHEMA
        ),
        response_headers=COMMAND_HEADERS,
        responses=REFUSING,
    )
    async def withdraw(request: _Request) -> Response[CardView]:
        """Withdraw money. The answer's position lets a query of the statement wait for the new line."""
        content = await body.read(request)
        card = card_id_of(content.debit_card, "debitCard")
        amount = decimal_of(content.amount, "amount")
        command = Withdraw(card=card, amount=amount, merchant=content.merchant, reference=content.reference)
        return await bank.command(request, command, 201, f"/moneywithdrawals?{urlencode({'debitCardId': card})}")

    @get(
        "/moneywithdrawals",
        tags=["withdrawals"],
        operation_id="statement",
        opt=reads(STATEMENT_GROUP),
        response_headers=PAGE_HEADERS,
        responses=READING,
    )
    async def statement(
        request: _Request,
        card: Annotated[
            str, QueryParameter(name="debitCardId", pattern=rf"^{CARD_ID.pattern}$", description="The card's id")
        ],
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[list[StatementLine]]:
        """The mini statement, newest first; the Link header leads to the next page."""
        asking = partial(bank.lines, card_id=card, limit=limit, cursor=cursor)
        rows = await bank.read(request, asking)
        asked = f"/moneywithdrawals?{urlencode({'debitCardId': card})}"
        return linked(request, asked, rows, limit, "id")

    return [withdraw, statement]


def _card_routes(bank: Bank) -> list[BaseRouteHandler]:
    opening, amount, limit_body = Body(_Opening), Body(_Amount), Body(_Limit)

    @post(
        "/cards",
        tags=["cards"],
        operation_id="openCard",
        operation_class=command_operation(
            {"customer": _CUSTOMER_SCHEMA, "holder": _HOLDER_SCHEMA}, id=CARD_SCHEMA, limit=_LIMIT_SCHEMA
        ),
        response_headers=COMMAND_HEADERS,
        responses=REFUSING,
    )
    async def open_card(request: _Request) -> Response[CardView]:
        """Open a card; all of one customer's share the customer's overall limit. The holder is in no answer but GET."""
        content = await opening.read(request)
        card = card_id_of(content.id, "id")
        customer = None if content.customer is None else named(content.customer, "customer", CUSTOMER_ID)
        limit, holder = decimal_of(content.limit, "limit"), _holder(content.holder, customer)
        command = OpenCard(card=card, limit=limit, customer=customer, holder=holder)
        return await bank.command(request, command, 201, f"/cards/{card}")

    @get(
        "/cards/{card_id:str}",
        tags=["cards"],
        operation_id="getCard",
        opt=reads(BALANCE_GROUP, HOLDER_GROUP),
        responses=problem_responses(400, 404, 503),
    )
    async def get_card(
        request: _Request,
        card_id: CardId,
        as_of: Annotated[str | None, QueryParameter(name="asOf", description=MOMENT)] = None,
        time: Time = "occurred",
    ) -> Response[CardView]:
        """A card as the balance view has it, or, with `asOf`, as it stood then by its events."""
        if as_of is not None:
            moment = moment_of("asOf", as_of, time)
            return json_response(await bank.read(request, lambda grant: bank.card_at(grant, card_id, moment)))
        found = await bank.read(request, partial(bank.card, card_id=card_id))
        return json_response(found)

    @post(
        "/cards/{card_id:str}/repayments",
        tags=["cards"],
        operation_id="repay",
        operation_class=command_operation(amount=AMOUNT_SCHEMA),
        response_headers=COMMAND_HEADERS,
        responses=REFUSING,
    )
    async def repay(request: _Request, card_id: CardId) -> Response[CardView]:
        """Repay some of what is used."""
        content = await amount.read(request)
        command = Repay(card=card_id, amount=decimal_of(content.amount, "amount"))
        return await bank.command(request, command, 201, f"/cards/{card_id}")

    @put(
        "/cards/{card_id:str}/limit",
        tags=["cards"],
        operation_id="changeLimit",
        operation_class=command_operation(limit=_LIMIT_SCHEMA),
        response_headers=COMMAND_HEADERS,
        responses=REFUSING,
    )
    async def change_limit(request: _Request, card_id: CardId) -> Response[CardView]:
        """Set another limit, not below what is used."""
        content = await limit_body.read(request)
        command = ChangeLimit(card=card_id, limit=decimal_of(content.limit, "limit"))
        return await bank.command(request, command, 200, f"/cards/{card_id}")

    return [open_card, get_card, repay, change_limit]


def _state_routes(bank: Bank) -> list[BaseRouteHandler]:
    reason, nothing = Body(_Reason), Body(_Nothing)

    @post(
        "/cards/{card_id:str}/block",
        tags=["cards"],
        operation_id="blockCard",
        status_code=200,
        operation_class=command_operation(reason=_REASON_SCHEMA),
        response_headers=COMMAND_HEADERS,
        responses=REFUSING,
    )
    async def block(request: _Request, card_id: CardId) -> Response[CardView]:
        """Block the card: no withdrawals until it is unblocked."""
        content = await reason.read(request)
        command = BlockCard(card=card_id, reason=_text(content.reason, "reason"))
        return await bank.command(request, command, 200, f"/cards/{card_id}")

    @post(
        "/cards/{card_id:str}/unblock",
        tags=["cards"],
        operation_id="unblockCard",
        status_code=200,
        operation_class=command_operation(),
        response_headers=COMMAND_HEADERS,
        responses=REFUSING,
    )
    async def unblock(request: _Request, card_id: CardId) -> Response[CardView]:
        """Unblock the card. The body is an empty object."""
        await nothing.read(request)
        return await bank.command(request, UnblockCard(card=card_id), 200, f"/cards/{card_id}")

    @post(
        "/cards/{card_id:str}/close",
        tags=["cards"],
        operation_id="closeCard",
        status_code=200,
        operation_class=command_operation(),
        response_headers=COMMAND_HEADERS,
        responses=REFUSING,
    )
    async def close(request: _Request, card_id: CardId) -> Response[CardView]:
        """Close a card of which nothing is used. The body is an empty object."""
        await nothing.read(request)
        return await bank.command(request, CloseCard(card=card_id), 200, f"/cards/{card_id}")

    @get(
        "/cards/{card_id:str}/refusals",
        tags=["cards"],
        operation_id="refusals",
        opt=reads(REFUSAL_GROUP),
        response_headers=PAGE_HEADERS,
        responses=READING,
    )
    async def refusals(
        request: _Request, card_id: CardId, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[list[RefusalView]]:
        """The card's refused commands, newest first."""
        asking = partial(bank.refusals, card_id=card_id, limit=limit, cursor=cursor)
        rows = await bank.read(request, asking)
        return linked(request, f"/cards/{card_id}/refusals", rows, limit, "id")

    return [block, unblock, close, refusals]


def _holder(name: str | None, customer: str | None) -> str | None:
    if name is None:
        return None
    if customer is None:
        raise InvalidInput("customer", "a holder's name is personal data of a customer, who must be named")
    return _text(name, "holder")


def _text(text: str, field: str) -> str:
    if not (len(text) <= _TEXT_MAX and text.isprintable() and text.strip()):
        raise InvalidInput(field, f"{field} must be 1 to {_TEXT_MAX} printable characters, not blanks alone")
    return text
