"""The OpenAPI description of bodies and headers that handlers read themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from litestar.datastructures import ResponseHeader
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Parameter, RequestBody, Schema
from litestar.plugins import OpenAPISchemaPlugin

_KEY = Parameter(
    name="Idempotency-Key",
    param_in="header",
    required=False,
    description="The same key with the same content gets the same answer; with other content, 422.",
    schema=Schema(type=OpenAPIType.STRING, pattern=r"^[\x21-\x7e]{1,255}$", min_length=1, max_length=255),
)


COMMAND_HEADERS = (
    ResponseHeader(name="Location", documentation_only=True, description="Where the effect can be read"),
    ResponseHeader(
        name="Mainstem-Position", documentation_only=True, description="The position that a query can wait for"
    ),
    ResponseHeader(
        name="Idempotency-Replayed",
        documentation_only=True,
        description="true for a repeated answer",
    ),
)
"""The headers on the answer of a command."""

PAGE_HEADERS = (
    ResponseHeader(name="Link", documentation_only=True, description="The next page, rel=next; absent on the last"),
)
"""The headers on a page of rows."""


class DecimalSchemaPlugin(OpenAPISchemaPlugin):
    """Decimals are JSON numbers, written with all their digits."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Decimals only."""
        return value is Decimal

    def to_openapi_schema(self, field_definition: Any, schema_creator: Any) -> Schema:  # noqa: ARG002 - the plugin's form
        """A number."""
        return Schema(type=OpenAPIType.NUMBER)


def command_operation(optional: Mapping[str, Schema] | None = None, /, **fields: Schema) -> type[Operation]:
    """An operation that takes an Idempotency-Key and a JSON object of exactly these fields, some of them if at all."""
    return _operation(fields, (_KEY,), optional)


def keyed_operation() -> type[Operation]:
    """An operation that takes an Idempotency-Key and no body."""

    @dataclass
    class KeyedOperation(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*(self.parameters or []), _KEY]

    return KeyedOperation


def body_operation(optional: Mapping[str, Schema] | None = None, /, **fields: Schema) -> type[Operation]:
    """The same without an Idempotency-Key: what it does is the same however often it is asked for."""
    return _operation(fields, (), optional)


def _operation(
    fields: Mapping[str, Schema], more: Sequence[Parameter], optional: Mapping[str, Schema] | None = None
) -> type[Operation]:
    schema = Schema(
        type=OpenAPIType.OBJECT,
        properties={**fields, **(optional or {})},
        required=sorted(fields) or None,
        additional_properties=False,
    )

    @dataclass
    class CommandOperation(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody({"application/json": OpenAPIMediaType(schema=schema)}, required=True)
            self.parameters = [*(self.parameters or []), *more]

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


def flag_schema(description: str) -> Schema:
    """True or false."""
    return Schema(type=OpenAPIType.BOOLEAN, description=description)


def text_schema(pattern: str, description: str, example: Any = None) -> Schema:
    """A string of that pattern."""
    return Schema(
        type=OpenAPIType.STRING, pattern=pattern, description=description, examples=[example] if example else None
    )
