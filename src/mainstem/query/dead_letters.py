"""Dead letters over HTTP, for operators: listed, shown, edited, tried again, dropped; and what was asked for."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get, post, put
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Schema
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from mainstem.codec import iso_time
from mainstem.listener.actions import WAITING, Action
from mainstem.listener.dead_letters import WholeLetter
from mainstem.listener.desk import Listeners, Place, Waiting, place_of
from mainstem.query.access import Rule, grant_of, may
from mainstem.query.cursor import cursor_token, read_cursor
from mainstem.query.input import Body
from mainstem.query.openapi import PAGE_HEADERS, body_operation, text_schema
from mainstem.query.problems import InvalidInput
from mainstem.query.reading import LIVE, reads
from mainstem.query.web import OPERATOR, json_response, problem_responses

DEAD_LETTER_RULES: Mapping[str, Rule] = {
    "GET /dead-letters": may(OPERATOR, whole=True),
    "GET /dead-letters/{listener}/{letter}": may(OPERATOR, whole=True),
    "PUT /dead-letters/{listener}/{letter}": may(OPERATOR, whole=True),
    "POST /dead-letters/{listener}/retry": may(OPERATOR, whole=True),
    "POST /dead-letters/{listener}/drop": may(OPERATOR, whole=True),
    "GET /actions": may(OPERATOR, whole=True),
}
"""Who may call these routes, for the application's own table."""

_Request = Request[Any, Any, Any]
_TEXT_MAX = 200
_PAGE_MAX = 1_000
_WAIT_S = 5.0

Listener = Annotated[str, PathParameter(description="The listener's group")]
_Letter = Annotated[str, PathParameter(description="The letter's id, as 0-12: partition and offset of its record")]
_OfListener = Annotated[str | None, QueryParameter(description="Of this listener only")]
_Limit = Annotated[int, QueryParameter(ge=1, le=_PAGE_MAX, description="The most rows to return")]
CHANGING = problem_responses(404, 409, 503, body=True)
REASON = text_schema(rf"^[^\x00-\x1f]{{1,{_TEXT_MAX}}}$", "Why, for the record", "the fold was mended")
_KEY = text_schema(r"^(.|\n)*$", "The letters of this key", "debit_card-zoe")
_ID = text_schema(r"^[0-9]{1,10}-[0-9]{1,12}$", "This letter, the first of its key", "0-12")


class LetterView(Struct, frozen=True, rename="camel"):
    """A dead letter: `failed`, or `behind` one of its key. `origin` is where its record stands."""

    listener: str
    id: str
    key: str
    reason: str
    cause: str
    origin: str
    edited: bool
    at: str


class EditView(Struct, frozen=True):
    """Another value that somebody has given a letter."""

    value: Any
    by: str
    why: str


class WholeLetterView(LetterView, frozen=True, rename="camel"):
    """With its value, or its `text` where that is no JSON; its headers, the traceback, and its edits, oldest first."""

    value: Any
    text: str | None
    headers: dict[str, str]
    traceback: str
    edits: list[EditView]


class ActionView(Struct, frozen=True, rename="camel"):
    """What was asked for, by whom and why; `waiting`, `done` or `failed`, and what is told of it."""

    id: str
    listener: str
    kind: str
    key: str | None
    letter: str | None
    who: str
    why: str
    asked_at: str
    state: str
    count: int
    told: str | None
    done_at: str | None


class _Which(Struct, frozen=True, forbid_unknown_fields=True):
    reason: str
    key: str | None = None
    letter: str | None = None


class _Value(Struct, frozen=True, forbid_unknown_fields=True):
    value: msgspec.Raw
    reason: str


def dead_letter_routes(desk: Listeners) -> list[BaseRouteHandler]:
    """All of them."""
    return [*_questions(desk), *_changes(desk)]


def _questions(desk: Listeners) -> list[BaseRouteHandler]:
    @get(
        "/dead-letters",
        tags=["listeners"],
        operation_id="deadLetters",
        opt=reads(LIVE),
        response_headers=PAGE_HEADERS,
        responses=problem_responses(400, 404, 503),
    )
    async def page(
        listener: _OfListener = None,
        key: Annotated[str | None, QueryParameter(description="Of this key only")] = None,
        limit: _Limit = 100,
        cursor: Annotated[str | None, QueryParameter(description="From the Link header of the page before")] = None,
    ) -> Response[list[LetterView]]:
        """Records that could not be handled, and those behind them, by listener, key and the key's order."""
        named = {name: value for name, value in (("listener", listener), ("key", key)) if value is not None}
        query = f"/dead-letters?{urlencode(named)}"
        after = None if cursor is None else _place(cursor, query)
        rows = await asyncio.to_thread(desk.dead_letters, listener, key, after=after, limit=limit)
        return json_response(list(map(letter_view, rows)), headers=_next(query, rows, limit))

    @get(
        "/dead-letters/{listener:str}/{letter:str}",
        tags=["listeners"],
        operation_id="getDeadLetter",
        opt=reads(LIVE),
        responses=problem_responses(400, 404, 503),
    )
    async def one(listener: Listener, letter: _Letter) -> Response[WholeLetterView]:
        """A dead letter with its content, the traceback and where it came from."""
        return json_response(whole_view(listener, await asyncio.to_thread(desk.dead_letter, listener, letter)))

    @get(
        "/actions",
        tags=["listeners"],
        operation_id="actions",
        opt=reads(LIVE),
        response_headers=PAGE_HEADERS,
        responses=problem_responses(400, 404, 503),
    )
    async def actions(
        listener: _OfListener = None,
        limit: _Limit = 100,
        cursor: Annotated[str | None, QueryParameter(description="From the Link header of the page before")] = None,
    ) -> Response[list[ActionView]]:
        """What was asked of listeners, by whom and why, and what came of it; the newest first."""
        query = f"/actions?{urlencode({} if listener is None else {'listener': listener})}"
        before = None if cursor is None else str(read_cursor(cursor, (str,), query)[0])
        rows = await asyncio.to_thread(desk.actions, listener, before=before, limit=limit)
        headers = _link(query, [rows[-1].id], limit) if len(rows) == limit else {}
        return json_response(list(map(action_view, rows)), headers=headers)

    return [page, one, actions]


def _changes(desk: Listeners) -> list[BaseRouteHandler]:
    which, another = Body(_Which), Body(_Value)
    optional = {"key": _KEY, "letter": _ID}

    @put(
        "/dead-letters/{listener:str}/{letter:str}",
        tags=["listeners"],
        operation_id="editDeadLetter",
        operation_class=body_operation(value=Schema(description="The new value, as JSON"), reason=REASON),
        responses=CHANGING,
    )
    async def edit(request: _Request, listener: Listener, letter: _Letter) -> Response[list[ActionView]]:
        """Give a letter another value for the next retry; the one that it came with stays on record."""
        content = await another.read(request)
        if not bytes(content.value):
            raise InvalidInput("value", "value is missing")
        who, why = grant_of(request).subject, reason_of(content.reason)
        return await _done(desk, lambda: desk.edit(listener, letter, bytes(content.value), who=who, why=why))

    @post(
        "/dead-letters/{listener:str}/retry",
        tags=["listeners"],
        operation_id="retryDeadLetters",
        status_code=200,
        operation_class=body_operation(optional, reason=REASON),
        responses=CHANGING,
    )
    async def retry(request: _Request, listener: Listener) -> Response[list[ActionView]]:
        """Try again one letter (the first of its key), all of a key, or those of a thousand keys.

        An action that is `waiting` in the answer is carried out later: `/actions` tells what came of it.
        """
        content = await which.read(request)
        who, why = grant_of(request).subject, reason_of(content.reason)
        return await _done(desk, lambda: desk.retry(listener, key=content.key, letter=content.letter, who=who, why=why))

    @post(
        "/dead-letters/{listener:str}/drop",
        tags=["listeners"],
        operation_id="dropDeadLetters",
        status_code=200,
        operation_class=body_operation(optional, reason=REASON),
        responses=CHANGING,
    )
    async def drop(request: _Request, listener: Listener) -> Response[list[ActionView]]:
        """Leave for good one letter (the first of its key), or all of a key."""
        content = await which.read(request)
        who, why = grant_of(request).subject, reason_of(content.reason)
        return await _done(desk, lambda: desk.drop(listener, key=content.key, letter=content.letter, who=who, why=why))

    return [edit, retry, drop]


async def _done(desk: Listeners, ask: Callable[[], list[Action]]) -> Response[list[ActionView]]:
    """What has come of it, as far as that is known within a few seconds."""
    actions = await asyncio.to_thread(lambda: desk.ended(ask(), _WAIT_S))
    return json_response(list(map(action_view, actions)))


def reason_of(text: str) -> str:
    """Why. Raises InvalidInput where it says nothing, or too much."""
    if not (0 < len(text) <= _TEXT_MAX and text.isprintable() and text.strip()):
        raise InvalidInput("reason", f"reason must be 1 to {_TEXT_MAX} printable characters, not blanks alone")
    return text


def letter_view(letter: Waiting) -> LetterView:
    """A letter as HTTP and the command line show it."""
    told = (letter.listener, letter.id, letter.key, letter.reason, letter.cause, letter.origin, letter.edited)
    return LetterView(*told, iso_time(letter.timestamp_ms))


def whole_view(listener: str, whole: WholeLetter) -> WholeLetterView:
    """The same with all that is kept of it."""
    letter, record = whole.letter, whole.record
    content = record.value or b""
    as_json = _json(content)
    return WholeLetterView(
        listener,
        letter.id,
        letter.key,
        letter.reason,
        letter.cause,
        letter.origin,
        letter.edited,
        iso_time(letter.timestamp_ms),
        as_json,
        None if as_json is not None else content.decode(errors="backslashreplace"),
        {name: value.decode(errors="backslashreplace") for name, value in record.headers},
        whole.traceback,
        [EditView(_json(edit.value), edit.by, edit.why) for edit in whole.edits],
    )


def action_view(action: Action) -> ActionView:
    """An action as HTTP and the command line show it."""
    return ActionView(
        id=action.id,
        listener=action.listener,
        kind=action.kind,
        key=action.key or None,
        letter=action.letter or None,
        who=action.who,
        why=action.why,
        asked_at=iso_time(action.asked_at_ms),
        state=action.state,
        count=action.count,
        told=action.told or None,
        done_at=None if action.done_at_ms is None else iso_time(action.done_at_ms),
    )


def is_waiting(action: ActionView) -> bool:
    """Whether nothing has come of it yet."""
    return action.state == WAITING


def _json(content: bytes) -> msgspec.Raw | None:
    """The content as it is, where it is JSON."""
    try:
        msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return msgspec.Raw(content)


def _place(cursor: str, query: str) -> Place:
    listener, key, offset = read_cursor(cursor, (str, str, int), query)
    return str(listener), str(key), int(offset)


def _next(query: str, rows: Sequence[Waiting], limit: int) -> dict[str, str]:
    return _link(query, place_of(rows[-1]), limit) if len(rows) == limit else {}


def _link(query: str, behind: Sequence[str | int], limit: int) -> dict[str, str]:
    following = urlencode({"limit": limit, "cursor": cursor_token(behind, query)})
    return {"Link": f'<{query}{"" if query.endswith("?") else "&"}{following}>; rel="next"'}
