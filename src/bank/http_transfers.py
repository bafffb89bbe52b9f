"""Transfers over HTTP."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter
from msgspec import Struct

from bank.inputs import AMOUNT_SCHEMA, CARD_SCHEMA, REFUSING, card_id_of
from bank.service import Bank, TransferView
from bank.transfer import TRANSFER_ID, TransferRequested
from mainstem.query.input import Body, decimal_of
from mainstem.query.openapi import body_operation, text_schema
from mainstem.query.problems import InvalidInput
from mainstem.query.reading import LIVE, reads
from mainstem.query.web import json_response, problem_responses

_Request = Request[Any, Any, Any]

_TRANSFER_SCHEMA = text_schema(rf"^{TRANSFER_ID.pattern}$", "The transfer's id, of the caller's choice", "t-1")


class _Transfer(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    transfer_id: str
    from_card: str
    to_card: str
    amount: msgspec.Raw


def transfer_routes(bank: Bank) -> list[BaseRouteHandler]:
    """Ask for one, and look at it."""
    body = Body(_Transfer)

    @post(
        "/transfers",
        tags=["transfers"],
        operation_id="transfer",
        status_code=202,
        operation_class=body_operation(
            transferId=_TRANSFER_SCHEMA, fromCard=CARD_SCHEMA, toCard=CARD_SCHEMA, amount=AMOUNT_SCHEMA
        ),
        responses=REFUSING,
    )
    async def transfer(request: _Request) -> Response[TransferView]:
        """Move money from one card to another: both happen, or neither. `Location` shows how far it is.

        The same transfer again changes nothing; another of the same name is refused.
        """
        content = await body.read(request)
        name = content.transfer_id
        if not TRANSFER_ID.fullmatch(name):
            text = "transferId must be 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"
            raise InvalidInput("transferId", text)
        cards = card_id_of(content.from_card, "fromCard"), card_id_of(content.to_card, "toCard")
        asked = TransferRequested(name, *cards, decimal_of(content.amount, "amount"))
        return await bank.transfer(request, asked)

    @get(
        "/transfers/{transfer_id:str}",
        tags=["transfers"],
        operation_id="getTransfer",
        opt=reads(LIVE),
        responses=problem_responses(400, 404, 503),
    )
    async def get_transfer(
        request: _Request,
        transfer_id: Annotated[
            str, PathParameter(description="The transfer's id", pattern=rf"^{TRANSFER_ID.pattern}$")
        ],
    ) -> Response[TransferView]:
        """How far a transfer is, as of now."""
        return json_response(await bank.read(request, lambda grant: bank.transferred(grant, transfer_id)))

    return [transfer, get_transfer]
