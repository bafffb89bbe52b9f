"""The bank's customers over HTTP: how much their cards may use together."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, put
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter
from msgspec import Struct

from bank.customer import RemoveOverallLimit, SetOverallLimit
from bank.overall import CUSTOMER_ID
from bank.service import Bank, CustomerView
from mainstem.query.input import Body, decimal_of
from mainstem.query.openapi import command_operation, keyed_operation, money_schema
from mainstem.query.web import problem_responses

_Request = Request[Any, Any, Any]
_Customer = Annotated[str, PathParameter(description="The customer's id", pattern=rf"^{CUSTOMER_ID.pattern}$")]


class _Limit(Struct, frozen=True, forbid_unknown_fields=True):
    limit: msgspec.Raw


def customer_routes(bank: Bank) -> list[BaseRouteHandler]:
    """All about customers."""
    body = Body(_Limit)

    @put(
        "/customers/{customer_id:str}/limit",
        tags=["customers"],
        operation_id="setOverallLimit",
        operation_class=command_operation(limit=money_schema(0, "How much all cards may use together")),
        responses=problem_responses(409, 503, 504, body=True),
    )
    async def set_limit(request: _Request, customer_id: _Customer) -> Response[CustomerView]:
        """Set what all of the customer's cards may use together, not below what they use."""
        content = await body.read(request)
        command = SetOverallLimit(customer=customer_id, limit=decimal_of(content.limit, "limit"))
        return await bank.command_of_customer(request, command)

    @delete(
        "/customers/{customer_id:str}/limit",
        status_code=200,
        tags=["customers"],
        operation_id="removeOverallLimit",
        operation_class=keyed_operation(),
        responses=problem_responses(400, 409, 422, 503, 504),
    )
    async def remove_limit(request: _Request, customer_id: _Customer) -> Response[CustomerView]:
        """Let each of the customer's cards have its own limit alone. Where there is none, nothing changes."""
        return await bank.command_of_customer(request, RemoveOverallLimit(customer=customer_id))

    return [set_limit, remove_limit]
