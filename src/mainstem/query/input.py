"""Reading requests: every input has a limit and a clear error, and money never passes through a float."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import msgspec
from litestar import Request
from msgspec import Struct

from mainstem.query.problems import InvalidInput

S = TypeVar("S", bound=Struct)

_NUMBER = re.compile(rb"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_NUMBER_MAX = 64
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_JSON = ("application/json", "text/json")


class Body:
    """Decodes JSON bodies of one Struct type. Fields of type `msgspec.Raw` are read by `decimal_of` and the like."""

    def __init__(self, type_: type[S]) -> None:
        self._decoder = msgspec.json.Decoder(type_)

    async def read(self, request: Request[Any, Any, Any]) -> Any:
        """The body. Raises InvalidInput: 415 for another content type, 400 for no JSON, 422 for other fields."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in _JSON and not media_type.endswith("+json"):
            text = "the body must be application/json"
            raise InvalidInput("content-type", text, reason="unsupported-media-type", status=415)
        data = await request.body()
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as error:
            raise InvalidInput("body", f"the body does not fit: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(
                "body", f"the body is not JSON: {error}", reason="malformed-request", status=400
            ) from error


def decimal_of(raw: msgspec.Raw, field: str) -> Decimal:
    """A JSON number as the exact decimal that was written, minus zero as zero. Raises InvalidInput for others."""
    text = bytes(raw).strip()
    if not text:
        raise InvalidInput(field, f"{field} is missing")
    if len(text) > _NUMBER_MAX or not _NUMBER.fullmatch(text):
        raise InvalidInput(field, f"{field} must be a JSON number of at most {_NUMBER_MAX} characters")
    try:
        number = Decimal(text.decode())
    except InvalidOperation as error:  # an exponent that no decimal has
        raise InvalidInput(field, f"{field} is out of range") from error
    return number or abs(number)


def idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    """The Idempotency-Key header: one of 1 to 255 visible ASCII characters. Raises InvalidInput (400) for another."""
    keys = request.headers.getall("idempotency-key", [])
    key = keys[0] if keys else None
    if key is not None and (len(keys) > 1 or not _KEY.fullmatch(key)):
        text = "there must be one Idempotency-Key, of 1 to 255 visible ASCII characters"
        raise InvalidInput("idempotency-key", text, reason="malformed-request", status=400)
    return key
