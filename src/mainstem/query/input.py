"""Reading requests: every input has a limit and a clear error, and money never passes through a float."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import msgspec
from litestar import Request
from msgspec import Struct

from mainstem.errors import InvalidQuery
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
        self._required = sum(field.required for field in msgspec.structs.fields(type_))

    async def read(self, request: Request[Any, Any, Any]) -> Any:
        """The body. Raises InvalidInput: 415 for another content type, 400 for no JSON, 422 for other fields.

        A field that is named twice is 400: whoever reads the first of them would take the body for another.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in _JSON and not media_type.endswith("+json"):
            text = "the body must be application/json"
            raise InvalidInput("content-type", text, reason="unsupported-media-type", status=415)
        data = await request.body()
        try:
            content = self._decoder.decode(data)
            if data.count(b":") > self._required:  # a tenth of a microsecond tells that nothing can be there twice
                _check_once(data.decode())
        except msgspec.ValidationError as error:
            raise InvalidInput("body", f"the body does not fit: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(
                "body", f"the body is not JSON: {error}", reason="malformed-request", status=400
            ) from error
        return content


def _check_once(text: str) -> None:
    """Raises RecursionError where a value that the decoder has left as it is nests too deep to be looked through."""
    pairs: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=list, parse_int=str)  # of any length
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            said = f"the body has the field {name} more than once"
            raise InvalidInput(name, said, reason="malformed-request", status=400)


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


@contextmanager
def parameter(name: str) -> Iterator[None]:
    """Name the query's parameter in what an InvalidQuery of the block says."""
    try:
        yield
    except InvalidQuery as error:
        raise InvalidInput(name, f"{name}: {error}", reason="invalid-query", status=400) from error
