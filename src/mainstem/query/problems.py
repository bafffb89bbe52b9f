"""Errors as RFC 9457 problem details: every error has a stable type, a status, and a text for people."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import Struct
from msgspec.structs import replace

from mainstem import errors
from mainstem.health import Trouble

_log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_URN = "urn:mainstem:problem:"

_STATUS: dict[type[errors.MainstemError], tuple[int, str]] = {
    errors.Refused: (409, "refused"),
    errors.InvalidCommand: (422, "invalid-command"),
    errors.IdempotencyConflict: (422, "idempotency-key-reused"),
    errors.TryAgain: (503, "try-again"),
    errors.AnswerTimeout: (504, "answer-timeout"),
    errors.ShuttingDown: (503, "shutting-down"),
    errors.SubjectForgotten: (409, "subject-forgotten"),
    errors.KeyStoreUnavailable: (503, "key-store-unavailable"),
    errors.VersionConflict: (409, "version-conflict"),
    errors.TagConflict: (409, "tag-conflict"),
    errors.StateDrift: (409, "state-drift"),
    errors.StoreError: (503, "store-unavailable"),
    errors.LogError: (503, "log-unavailable"),
    errors.InvalidQuery: (400, "invalid-query"),
    errors.NotYetThere: (503, "not-yet-there"),
    errors.Unauthenticated: (401, "unauthenticated"),
    errors.InvalidToken: (401, "invalid-token"),
    errors.Forbidden: (403, "forbidden"),
    errors.UnknownTenant: (400, "unknown-tenant"),
    errors.TooManyRequests: (429, "too-many-requests"),
    errors.KeysUnavailable: (503, "keys-unavailable"),
}

_HTTP_TYPES = {
    400: "malformed-request",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "body-timeout",
    413: "body-too-large",
    414: "uri-too-long",
    415: "unsupported-media-type",
    421: "misdirected-request",
    422: "invalid-input",
    431: "headers-too-large",
}


OWN_REFUSALS: Mapping[str, int] = {
    "layer-unknown": 404,
    "letter-unknown": 404,
    "listener-unknown": 404,
    "process-unknown": 404,
    "value-unfit": 422,
    "view-unknown": 404,
}
"""The HTTP status of what the house itself refuses, unless an application says otherwise; any other reason is 409."""


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details. `type` never changes for one kind of problem; `field` names the input that was wrong.

    `troubles` has, with 503, what is known not to work at the moment, by name, and since when.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    troubles: dict[str, Trouble] | None = None


class InvalidInput(errors.MainstemError):
    """A field of a request cannot be used."""

    def __init__(self, field: str, text: str, *, reason: str = "invalid-input", status: int = 422) -> None:
        super().__init__(text)
        self.field = field
        self.reason = reason
        self.status = status


Handler = Callable[[Request[Any, Any, Any], Any], Response[bytes]]


def exception_handlers(
    refusals: Mapping[str, int],
    troubles: Callable[[], Mapping[str, Trouble]],
    sees_troubles: Callable[[Request[Any, Any, Any]], bool],
    explained: Callable[[Request[Any, Any, Any], ValidationException], InvalidInput | None],
) -> dict[Any, Handler]:
    """Handlers for every exception; `refusals` gives a refusal's reason a status other than 409, or than ours.

    `troubles` is asked where a store or the log has failed, for callers who may see that; `explained` says which
    parameter of a request does not fit.
    """

    def known(request: Request[Any, Any, Any], error: errors.MainstemError) -> Response[bytes]:
        problem = problem_of(error, refusals)
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            _log_fault(request, error)
        unavailable = problem.status == HTTPStatus.SERVICE_UNAVAILABLE
        if unavailable and isinstance(error, errors.StoreError | errors.LogError) and sees_troubles(request):
            problem = replace(problem, troubles=_known(troubles))
        return response(problem, headers_of(error, problem.status))

    def invalid(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
        found = explained(request, error)
        return http(request, error) if found is None else response(problem_of(found, refusals))

    def http(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
        name = _HTTP_TYPES.get(error.status_code, "http-error")
        headers = {k: v for k, v in (error.headers or {}).items() if k.lower() in ("allow", "retry-after")}
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {name: _allowed(value) for name, value in headers.items()}
        if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            headers["Connection"] = "close"  # the rest of the body is not read, so nothing can follow it
        return response(_problem(error.status_code, name, str(error.detail)), headers)

    def unknown(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        _log_fault(request, error)
        return response(_problem(500, "internal-error", "A fault in the program; it was logged."))

    return {errors.MainstemError: known, ValidationException: invalid, HTTPException: http, Exception: unknown}


def _log_fault(request: Request[Any, Any, Any], error: Exception) -> None:
    _log.error("a request met a fault in the program", path=request.url.path[:200], exc_info=error)


def _allowed(methods: str) -> str:
    """The methods of a route; the gate answers HEAD wherever there is GET."""
    named = set(methods.split(", "))
    return ", ".join(sorted(named | {"HEAD"} if "GET" in named else named))


def problem_of(error: errors.MainstemError, refusals: Mapping[str, int]) -> Problem:
    """The problem details of an error."""
    if isinstance(error, errors.Refused):
        status = refusals.get(error.reason) or OWN_REFUSALS.get(error.reason, 409)
        return _problem(status, error.reason, str(error))
    if isinstance(error, InvalidInput):
        return _problem(error.status, error.reason, str(error), error.field)
    for kind in type(error).__mro__:
        if kind in _STATUS:
            status, name = _STATUS[kind]
            return _problem(status, name, str(error))
    return _problem(500, "internal-error", "A fault in the program; it was logged.")


def _known(troubles: Callable[[], Mapping[str, Trouble]]) -> dict[str, Trouble] | None:
    try:
        return dict(troubles()) or None
    except errors.MainstemError:  # the store that failed is the one that would tell
        return None


def response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """The problem as a response."""
    content = msgspec.json.encode(problem)
    return Response(content, status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def _problem(status: int, name: str, detail: str, field: str | None = None) -> Problem:
    return Problem(type=_URN + name, title=HTTPStatus(status).phrase, status=status, detail=detail, field=field)


def headers_of(error: errors.MainstemError, status: int) -> dict[str, str]:
    """The headers that belong to an error: when to try again, by what to be let in (RFC 6750), whether it was kept."""
    if isinstance(error, errors.TryAgain | errors.TooManyRequests):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, errors.Refused) and error.replayed:
        return {"Idempotency-Replayed": "true"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": "1"}
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return {"Connection": "close"}  # the rest of the request may still come, and would be taken for the next one
    if isinstance(error, errors.InvalidToken):
        return {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{error}"'}
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, errors.Forbidden) and error.scopes:
        return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{" ".join(error.scopes)}"'}
    return {}
