"""A route without a row ends the start, and so does a row without a route; what was not granted is not given."""

from collections.abc import Mapping
from typing import Any

import pytest
from litestar import Litestar, asgi, get
from litestar.connection import ASGIConnection
from litestar.params import FromPath

from mainstem.errors import ConfigurationError, Forbidden
from mainstem.query.access import Caller, Grant, Rule, grant_of, may, may_see
from mainstem.query.access.rules import check_rules


@get("/things/{name:str}")
async def things(name: FromPath[str]) -> str:
    return name


@asgi("/mounted", is_mount=True, copy_scope=True)
async def mounted(scope: Any, receive: Any, send: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({}, "GET /things/{name}"),
        ({"GET /things/{name}": may("a"), "POST /things": may("a")}, "POST /things"),
        ({"GET /things/{id}": may("a")}, "no row says who may call GET /things/{name}"),
    ],
)
def test_routes_and_rows_belong_together(rules: Mapping[str, Rule], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        check_rules(Litestar([things], openapi_config=None), rules)


def test_a_row_for_each_is_enough() -> None:
    check_rules(Litestar([things], openapi_config=None), {"GET /things/{name}": may("a")})


def test_what_is_no_http_route_cannot_be_declared() -> None:
    with pytest.raises(ConfigurationError, match="/mounted"):
        check_rules(Litestar([mounted], openapi_config=None), {})


def connection(**scope: Any) -> ASGIConnection[Any, Any, Any, Any]:
    return ASGIConnection({"type": "http", "client": ("192.0.2.7", 1), **scope})  # type: ignore[arg-type]


def test_without_authentication_everything_is_granted() -> None:
    assert grant_of(connection()) == Grant("anonymous@192.0.2.7")
    assert may_see(connection(), "operator")
    grant_of(connection()).check("anything")
    assert grant_of(connection()).key("k") == "k"


def test_with_authentication_nothing_is_that_was_not_granted() -> None:
    caller = Caller("a", frozenset({"operator"}))
    for found in (None, caller):
        with pytest.raises(Forbidden):
            grant_of(connection(user=found))
    assert may_see(connection(user=caller), "operator")
    assert not may_see(connection(user=caller), "teller")
    assert not may_see(connection(user=None), "operator")


def test_a_kept_answers_key_is_the_callers_own() -> None:
    one, other = Grant("a", shown=True), Grant("b", shown=True)
    assert one.key("k") == one.key("k") != other.key("k")
    assert Grant("ab", shown=True).key("c") != Grant("a", shown=True).key("bc")
    assert len(one.key("k" * 255) or "") <= 255
    assert one.key(None) is None
