"""The OpenAPI description of bodies and headers that handlers read themselves."""

from collections.abc import Mapping
from typing import Any

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Parameter, RequestBody, Schema

_KEY = Parameter(
    name="Idempotency-Key",
    param_in="header",
    required=False,
    description="The same key with the same content gets the same answer; with other content, 422.",
    schema=Schema(type=OpenAPIType.STRING, pattern=r"^[\x21-\x7e]{1,255}$", min_length=1, max_length=255),
)


def command_operation(**fields: Schema) -> type[Operation]:
    """An operation that takes an Idempotency-Key and a JSON object of exactly these fields."""
    return _operation(fields)


def _operation(fields: Mapping[str, Schema]) -> type[Operation]:
    schema = Schema(
        type=OpenAPIType.OBJECT,
        properties=dict(fields),
        required=sorted(fields) or None,
        additional_properties=False,
    )

    class CommandOperation(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody({"application/json": OpenAPIMediaType(schema=schema)}, required=True)
            self.parameters = [*(self.parameters or []), _KEY]

    return CommandOperation


def money_schema(lowest: float, description: str) -> Schema:
    """A number with at most two places."""
    return Schema(
        type=OpenAPIType.NUMBER,
        minimum=lowest,
        maximum=9_999_999_999_999_999.99,
        multiple_of=0.01,
        description=description,
    )


def text_schema(pattern: str, description: str, example: Any = None) -> Schema:
    """A string of that pattern."""
    return Schema(
        type=OpenAPIType.STRING, pattern=pattern, description=description, examples=[example] if example else None
    )
