"""What several of the bank's routes take and answer, and what the OpenAPI document says of it."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Request, Response
from litestar.params import PathParameter, QueryParameter

from bank.card import CARD_ID
from mainstem.query.access import tenant_of
from mainstem.query.cursor import cursor_token, read_cursor
from mainstem.query.openapi import money_schema, text_schema
from mainstem.query.problems import InvalidInput
from mainstem.query.web import json_response, problem_responses
from mainstem.tenancy import qualified

_Request = Request[Any, Any, Any]

CARD_SCHEMA = text_schema(rf"^{CARD_ID.pattern}$", "The card's id", "123456789")
AMOUNT_SCHEMA = money_schema(0.01, "An amount of money")
REFUSING = problem_responses(404, 409, 503, 504, body=True)
READING = problem_responses(400, 503)

_PAGE_MAX = 1_000

CardId = Annotated[str, PathParameter(description="The card's id", pattern=rf"^{CARD_ID.pattern}$")]
Limit = Annotated[int, QueryParameter(ge=1, le=_PAGE_MAX, description="The most rows to return")]
Cursor = Annotated[str | None, QueryParameter(description="From the Link header of the page before")]


def card_id_of(text: str, field: str) -> str:
    """The card's id that the field holds. Raises InvalidInput for what cannot be one."""
    return named(text, field, CARD_ID)


def named(text: str, field: str, pattern: re.Pattern[str]) -> str:
    """The id that the field holds. Raises InvalidInput for what cannot be one."""
    if not pattern.fullmatch(text):
        raise InvalidInput(field, f"{field} must be 1 to 36 letters, digits, '.', '_' or '-', a letter or digit first")
    return text


def behind_of(request: _Request, asked: str, kinds: Sequence[type], cursor: str | None) -> list[str | int] | None:
    """The values behind which the page begins, one of each kind; None for the first page. `asked` is its address.

    Raises InvalidQuery for a cursor of another query, or of another tenant's.
    """
    return None if cursor is None else read_cursor(cursor, kinds, qualified(tenant_of(request), asked))


def linked(
    request: _Request,
    asked: str,
    rows: Sequence[Any],
    limit: int,
    *columns: str,
    view: Callable[[Any], Any] | None = None,
) -> Response[Any]:
    """A page of rows, each as `view` shows it; where it is full, with a link to the next.

    `asked` is its address. The next page begins behind the last row's values in the columns of the order.
    """
    headers: dict[str, str] = {}
    if len(rows) == limit:
        behind = [getattr(rows[-1], name) for name in columns]
        query = urlencode({"limit": limit, "cursor": cursor_token(behind, qualified(tenant_of(request), asked))})
        headers["Link"] = f'<{asked}{"&" if "?" in asked else "?"}{query}>; rel="next"'
    return json_response(rows if view is None else list(map(view, rows)), headers=headers)
