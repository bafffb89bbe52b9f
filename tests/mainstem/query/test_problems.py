"""Every error of mainstem's as a problem: its status, its stable type, and when to try again."""

from typing import Any

import msgspec
import pytest
from litestar import Request
from structlog.testing import capture_logs

from mainstem import errors
from mainstem.health import Trouble
from mainstem.query.problems import InvalidInput, Problem, exception_handlers, problem_of

_SCOPE: Any = {"type": "http", "path": "/", "headers": [], "method": "GET"}
_REQUEST: Request[Any, Any, Any] = Request(_SCOPE)
_REFUSALS = {"card-unknown": 404}
_CASES: list[tuple[errors.MainstemError, int, str, str | None]] = [
    (errors.Refused("card-unknown", "no such card"), 404, "card-unknown", None),
    (errors.Refused("card-blocked", "blocked"), 409, "card-blocked", None),
    (errors.Refused("view-unknown", "no such view"), 404, "view-unknown", None),
    (errors.Refused("listener-unknown", "no such listener"), 404, "listener-unknown", None),
    (errors.Refused("value-unfit", "no message"), 422, "value-unfit", None),
    (errors.InvalidCommand("no"), 422, "invalid-command", None),
    (errors.IdempotencyConflict("other content"), 422, "idempotency-key-reused", None),
    (errors.TryAgain("full", 7), 503, "try-again", "7"),
    (errors.AnswerTimeout("late"), 504, "answer-timeout", None),
    (errors.ShuttingDown("stopping"), 503, "shutting-down", "1"),
    (errors.VersionConflict("a-1", 1, 2), 409, "version-conflict", None),
    (errors.StateDrift("drift"), 409, "state-drift", None),
    (errors.StoreFull("no space left"), 503, "store-unavailable", "1"),
    (errors.StoreCorrupt("damaged"), 503, "store-unavailable", "1"),
    (errors.UnknownTopic("x"), 503, "log-unavailable", "1"),
    (errors.InvalidQuery("x"), 400, "invalid-query", None),
    (errors.NotYetThere("x"), 503, "not-yet-there", "1"),
    (errors.Unauthenticated("who"), 401, "unauthenticated", None),
    (errors.InvalidToken("bad"), 401, "invalid-token", None),
    (errors.Forbidden("no"), 403, "forbidden", None),
    (errors.TooManyRequests("slower", 3), 429, "too-many-requests", "3"),
    (errors.KeysUnavailable("none"), 503, "keys-unavailable", "1"),
    (errors.CodecError("x"), 500, "internal-error", None),
    (errors.ConfigurationError("x"), 500, "internal-error", None),
    (InvalidInput("amount", "amount is missing"), 422, "invalid-input", None),
]


def _unexplained(*_: object) -> None:
    return None


def _anybody(_: object) -> bool:
    return True


@pytest.mark.parametrize(("error", "status", "name", "retry_after"), _CASES)
def test_an_error_as_a_problem(error: errors.MainstemError, status: int, name: str, retry_after: str | None) -> None:
    handler = exception_handlers(_REFUSALS, dict, _anybody, _unexplained)[errors.MainstemError]
    with capture_logs() as logged:
        answer = handler(_REQUEST, error)
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert (answer.status_code, problem.status) == (status, status)
    assert [each["exc_info"] for each in logged] == ([error] if status == 500 else [])
    assert problem.type == f"urn:mainstem:problem:{name}"
    assert answer.headers.get("Retry-After") == retry_after
    assert problem.title


def test_what_does_not_work_and_since_when_is_told() -> None:
    troubles = {"mysql": Trouble("cannot be reached", "2026-01-31T09:30:00Z")}
    handler = exception_handlers({}, lambda: troubles, _anybody, _unexplained)[errors.MainstemError]
    failed = msgspec.json.decode(handler(None, errors.StoreUnavailable("x")).content, type=Problem)  # type: ignore[arg-type]
    assert failed.troubles == troubles
    full = msgspec.json.decode(handler(None, errors.TryAgain("full", 1)).content, type=Problem)  # type: ignore[arg-type]
    assert full.troubles is None


def test_what_does_not_work_is_told_only_to_those_who_may_see_it() -> None:
    troubles = {"mysql": Trouble("cannot be reached at 10.0.0.7", "2026-01-31T09:30:00Z")}
    handler = exception_handlers({}, lambda: troubles, lambda _: False, _unexplained)[errors.MainstemError]
    failed = msgspec.json.decode(handler(None, errors.StoreUnavailable("x")).content, type=Problem)  # type: ignore[arg-type]
    assert failed.troubles is None


def test_troubles_that_cannot_be_told_hide_no_error() -> None:
    def broken() -> dict[str, Trouble]:
        raise errors.StoreUnavailable("this one too")

    handler = exception_handlers({}, broken, _anybody, _unexplained)[errors.MainstemError]
    answer = handler(None, errors.StoreCorrupt("damaged"))  # type: ignore[arg-type]
    assert (answer.status_code, msgspec.json.decode(answer.content, type=Problem).troubles) == (503, None)


def test_a_fault_in_the_program_tells_nothing_of_itself() -> None:
    assert "secret" not in problem_of(errors.CodecError("secret"), {}).detail


def test_the_field_that_is_wrong_is_named() -> None:
    assert problem_of(InvalidInput("amount", "amount is missing"), {}).field == "amount"
