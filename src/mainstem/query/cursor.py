"""Cursors: opaque tokens that say behind which row the next page begins, each of the query that has given it out."""

import base64
import binascii
import hashlib
from collections.abc import Sequence

import msgspec

from mainstem.errors import InvalidQuery

LONGEST = 1024
_SHOWN = 40
_INTEGERS = 2**63


def cursor_token(values: Sequence[str | int], query: str) -> str:
    """The token of the last row's values in the order's columns. `query` is what was asked: path and parameters."""
    return base64.urlsafe_b64encode(msgspec.json.encode([_mark(query), *values])).decode().rstrip("=")


def read_cursor(token: str, kinds: Sequence[type], query: str) -> list[str | int]:
    """The values of a token, one of each kind. Raises InvalidQuery for one that this query has not given out."""
    try:
        if len(token) > LONGEST:
            raise ValueError("longer than any token")
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        mark, *values = msgspec.json.decode(data, type=list[str | int])
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise _foreign(token) from error
    if mark != _mark(query):
        raise InvalidQuery(
            f"the cursor {token[:_SHOWN]!r} is of another query: a cursor goes with what it was given for"
        )
    if len(values) != len(kinds) or not all(map(isinstance, values, kinds)):
        raise _foreign(token)
    if any(isinstance(value, int) and not 0 <= value < _INTEGERS for value in values):
        raise _foreign(token)
    return values


def _mark(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:8]


def _foreign(token: str) -> InvalidQuery:
    shown = f"the cursor {token[:_SHOWN]!r} is not one that this query returned"
    return InvalidQuery(f"{shown}: take it from the Link header of the page before")
