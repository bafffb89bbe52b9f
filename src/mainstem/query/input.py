"""Reading requests: every input has a limit and a clear error, and money never passes through a float."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from math import isinf
from typing import Any, TypeVar

import msgspec
from litestar import Request
from msgspec import Struct

from mainstem.errors import InvalidQuery
from mainstem.query.problems import InvalidInput

S = TypeVar("S", bound=Struct)

_NUMBER = re.compile(rb"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_NUMBER_MAX = 64
_NAME_SHOWN = 64
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
        _check_media_type(request)
        return _decode(self._decoder, await request.body(), self._required)


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body the framework reads, for handlers that take `data`, with the care that `Body` takes."""

    __slots__ = ()

    async def json(self) -> Any:
        """The body; of a number with a point or an exponent a field that is a Decimal gets exactly what was written.

        Raises InvalidInput: 415 for another content type, 400 for no JSON, 422 for an integer beyond any bound.
        """
        _check_media_type(self)
        return _decode(_EXACT, await self.body(), 0)


def _check_media_type(request: Request[Any, Any, Any]) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _JSON and not media_type.endswith("+json"):
        text = "the body must be application/json"
        raise InvalidInput("content-type", text, reason="unsupported-media-type", status=415)


def _decode(decoder: msgspec.json.Decoder[Any], data: bytes, required: int) -> Any:
    """What the body says, in which no name is there twice; with only so many of them none can be."""
    try:
        content = decoder.decode(data)
        if data.count(b":") > required:  # a tenth of a microsecond tells that nothing can be there twice
            _check_once(data.decode())
    except msgspec.ValidationError as error:
        raise InvalidInput("body", f"the body does not fit: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = f"the body is not JSON: {error}"
        raise InvalidInput("body", text, reason="malformed-request", status=400) from error
    return content


def _exact(text: str) -> Decimal | float:
    """A number with a point or an exponent, for a field of any type: neither too long, nor beyond a float's range.

    A float where that is written with the same digits, which a Decimal of it has then; a Decimal where it is not.
    """
    if len(text) > _NUMBER_MAX:
        said = f"the body has a number of more than {_NUMBER_MAX} characters"
        raise InvalidInput("body", said, reason="malformed-request", status=400)
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent that no decimal has
        number = Decimal("inf")
    rounded = float(number)
    if isinf(rounded):
        said = f"the body has a number that is out of range: {text}"
        raise InvalidInput("body", said, reason="malformed-request", status=400)
    return rounded if Decimal(repr(rounded)) == number else number


_EXACT = msgspec.json.Decoder(float_hook=_exact)


def _check_once(text: str) -> None:
    """Raises RecursionError where a value that the decoder has left as it is nests too deep to be looked through."""
    json.loads(text, object_pairs_hook=_once, parse_int=str)  # of any length


def _once(fields: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in fields:
        if name in names:
            said = f"the body has the field {name[:_NAME_SHOWN]} more than once"
            raise InvalidInput(name[:_NAME_SHOWN], said, reason="malformed-request", status=400)
        names.add(name)


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
