"""Cursors: opaque tokens that say behind which row the next page begins."""

import base64
import binascii
from collections.abc import Sequence

import msgspec

from mainstem.errors import InvalidQuery

_LONGEST = 1024


def cursor_token(values: Sequence[str | int]) -> str:
    """The token of the last row's values in the order's columns."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(values))).decode().rstrip("=")


def read_cursor(token: str, kinds: Sequence[type]) -> list[str | int]:
    """The values of a token, one of each kind. Raises InvalidQuery for a token that nobody gave out."""
    try:
        if len(token) > _LONGEST:
            raise ValueError("longer than any token")
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        values = msgspec.json.decode(data, type=list[str | int])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidQuery("the cursor is not one that this query returned") from error
    if len(values) != len(kinds) or not all(map(isinstance, values, kinds)):
        raise InvalidQuery("the cursor is not one that this query returned")
    return values
