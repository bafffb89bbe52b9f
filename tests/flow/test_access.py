"""Who may call what: every route, by every kind of caller, of a real process with real tokens, against the table."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bank.access import WHO_MAY
from mainstem.query.web import OPERATIONS_RULES
from tests.process import BankProcess, bank_process
from tests.tokens import AUDIENCE, SECRET, bearer, jwk, key_server, rsa_key, token

OWN, FOREIGN = "own-card", "foreign-card"
_RULES = {**OPERATIONS_RULES, **WHO_MAY}

CALLERS: dict[str, dict[str, Any] | None] = {
    "nobody": None,
    "customer": {"sub": "carla", "scope": "customer", "cards": [OWN]},
    "teller": {"sub": "tess", "scope": "teller"},
    "analyst": {"sub": "anna", "scope": "analyst"},
    "operator": {"sub": "olaf", "scope": "operator"},
    "without scope": {"sub": "walt", "scope": None},
    "customer of none": {"sub": "nora", "scope": "customer"},
}

WHO_IS_LET_IN: dict[str, set[str]] = {
    "POST /moneywithdrawals": {"teller", "customer"},
    "GET /moneywithdrawals": {"teller", "analyst", "customer"},
    "POST /cards": {"teller"},
    "GET /cards/{card_id}": {"teller", "customer"},
    "GET /cards/{card_id}/history": {"teller", "customer"},
    "GET /cards/{card_id}/difference": {"teller", "customer"},
    "GET /cards/{card_id}/spending": {"teller", "analyst", "customer"},
    "GET /spending": {"teller", "analyst"},
    "GET /payments": {"teller", "analyst", "customer"},
    "GET /suspicious": {"teller", "analyst"},
    "POST /cards/{card_id}/repayments": {"teller", "customer"},
    "PUT /cards/{card_id}/limit": {"teller"},
    "POST /cards/{card_id}/block": {"teller"},
    "POST /cards/{card_id}/unblock": {"teller"},
    "POST /cards/{card_id}/close": {"teller"},
    "GET /cards/{card_id}/refusals": {"teller", "customer"},
    "GET /refusals": {"teller", "operator"},
    "GET /refusals/counts": {"teller", "operator"},
    "GET /refusals/{refusal_id}": {"teller", "operator"},
    "POST /refusals/{refusal_id}/retry": {"teller", "operator"},
    "POST /transfers": {"teller", "customer"},
    "GET /transfers/{transfer_id}": {"teller", "customer"},
    "GET /customers/{customer_id}": {"teller"},
    "GET /customers/{customer_id}/cards": {"teller"},
    "PUT /customers/{customer_id}/limit": {"teller"},
    "DELETE /customers/{customer_id}/limit": {"teller"},
    "GET /processes": {"operator"},
    "POST /processes/{manager}/{process_id}/resume": {"operator"},
    "POST /processes/{manager}/{process_id}/cancel": {"operator"},
    "GET /dead-letters": {"operator"},
    "GET /dead-letters/{listener}/{letter}": {"operator"},
    "PUT /dead-letters/{listener}/{letter}": {"operator"},
    "POST /dead-letters/{listener}/retry": {"operator"},
    "POST /dead-letters/{listener}/drop": {"operator"},
    "GET /actions": {"operator"},
    "GET /bindings": {"operator"},
    "POST /bindings/{listener}/pause": {"operator"},
    "POST /bindings/{listener}/resume": {"operator"},
    "POST /bindings/{listener}/restart": {"operator"},
    "POST /bindings/{listener}/move": {"operator"},
    "GET /rebuilds": {"operator"},
    "POST /rebuilds/{view}": {"operator"},
    "POST /rebuilds/{view}/compare": {"operator"},
    "POST /rebuilds/{view}/cancel": {"operator"},
    "POST /rebuilds/{view}/roll-back": {"operator"},
    "POST /rebuilds/{view}/forget": {"operator"},
    "GET /layers": {"operator"},
    "GET /layers/{layer}/lineage": {"operator"},
    "POST /subjects/{subject}/forget": {"operator"},
    "GET /analytics/cards": {"analyst", "customer"},
    "GET /analytics/top-cards": {"analyst"},
    "GET /analytics/spending": {"analyst", "customer"},
    "GET /analytics/query": {"analyst", "customer"},
    "GET /health/live": {*CALLERS},
    "GET /health/ready": {*CALLERS},
    "GET /metrics": {"operator"},
    "GET /status": {"operator"},
    "GET /reconciliation": {"operator"},
    "GET /asyncapi.json": {"operator"},
    "GET /openapi": {*CALLERS},
    "GET /openapi/openapi.json": {*CALLERS},
    "GET /openapi/{path}": {*CALLERS},
}
"""Written down a second time, by the kind of caller, so that a slip in the table of the application is seen.

A customer is let in for their own card only: the tests below ask for both.
"""

_BODIES: dict[str, dict[str, Any]] = {
    "POST /moneywithdrawals": {"amount": 1},
    "POST /cards": {"limit": 10},
    "POST /cards/{card_id}/repayments": {"amount": 1},
    "PUT /cards/{card_id}/limit": {"limit": 1000},
    "PUT /customers/{customer_id}/limit": {"limit": 1000},
    "POST /cards/{card_id}/block": {"reason": "lost"},
    "POST /cards/{card_id}/unblock": {},
    "POST /cards/{card_id}/close": {},
    "POST /refusals/{refusal_id}/retry": {},
    "POST /processes/{manager}/{process_id}/resume": {},
    "POST /processes/{manager}/{process_id}/cancel": {"reason": "lost"},
}
_ABOUT_A_CARD = [name for name, rule in _RULES.items() if rule.own is not None]


@pytest.fixture(scope="module", params=["secret", "key set"])
def bank(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BankProcess, Any]]:
    """A bank that asks for tokens, and what signs them: by a secret, or by a key of a set that a server has."""
    folder: Path = tmp_path_factory.mktemp("access") / "data"
    with key_server() as keys:
        signing: tuple[Any, ...] = (SECRET,)
        settings = {"auth_key": SECRET}
        if request.param == "key set":
            key = rsa_key()
            signing = (key, "RS256", "first")
            keys.serve(jwk(key, "first"))
            settings = {"auth_jwks_url": keys.url}
        with bank_process(folder, auth_audience=AUDIENCE, **settings) as process:
            with process.client() as client:
                client.headers.update(bearer(token(*signing)))
                for card in (OWN, FOREIGN):
                    client.post("/cards", json={"id": card, "limit": 1000}).raise_for_status()
                    moved = {"transferId": card, "fromCard": card, "toCard": "nobody", "amount": 1}
                    client.post("/transfers", json=moved).raise_for_status()
            yield process, signing
            text = process.text()
            assert "fault in the program" not in text
            assert "eyJ" not in text  # as every token begins


def ask(bank: tuple[BankProcess, Any], name: str, caller: str, card: str) -> httpx.Response:
    process, signing = bank
    method, path = (
        name.replace("{card_id}", card).replace("{transfer_id}", card).replace("{refusal_id}", "0" * 16).split(" ")
    )
    path = re.sub(r"\{\w+\}", "nowhere", path)
    given = CALLERS[caller]
    headers = {} if given is None else bearer(token(*signing, **given))
    body = _BODIES.get(name)
    if name == "POST /moneywithdrawals":
        body = {"debitCard": card, "amount": 1}
    elif name == "POST /transfers":
        body = {"transferId": card, "fromCard": card, "toCard": "nobody", "amount": 1}
    elif name == "POST /cards":
        body = {"id": card, "limit": 10}
    query = {"debitCardId": card} if name.endswith(_ASKED_FOR) else {}
    if name.endswith("/difference"):
        query = {"from": "0"}
    with process.client() as client:
        return client.request(method, path, json=body, params=query, headers=headers)


_ASKED_FOR = ("/moneywithdrawals", "/payments", "/analytics/cards", "/spending", "/analytics/query")


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


def test_the_table_has_every_route() -> None:
    assert set(WHO_IS_LET_IN) == set(_RULES)


def test_the_document_has_no_other_route(bank: tuple[BankProcess, Any]) -> None:
    document = httpx.get(f"{bank[0].url}/openapi/openapi.json").raise_for_status().json()
    named = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    assert named == {name for name in _RULES if "/openapi" not in name}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", WHO_IS_LET_IN)
def test_a_caller_is_let_in_as_the_table_says(bank: tuple[BankProcess, Any], name: str, caller: str) -> None:
    """For a card that is the customer's own."""
    answer = ask(bank, name, caller, OWN)
    if caller in WHO_IS_LET_IN[name]:
        assert answer.status_code not in (401, 403), answer.text
    elif caller == "nobody":
        assert (answer.status_code, kind(answer)) == (401, "unauthenticated"), answer.text
        assert answer.headers["www-authenticate"] == "Bearer"
    else:
        assert (answer.status_code, kind(answer)) == (403, "forbidden"), answer.text


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", [name for name in WHO_IS_LET_IN if name.startswith("GET ")])
def test_head_is_let_in_as_get_is(bank: tuple[BankProcess, Any], name: str, caller: str) -> None:
    answers = [ask(bank, method + name.removeprefix("GET"), caller, OWN) for method in ("GET", "HEAD")]
    assert answers[0].status_code == answers[1].status_code


@pytest.mark.parametrize("card", [FOREIGN, "never-opened"])
@pytest.mark.parametrize("name", WHO_IS_LET_IN)
def test_a_customer_uses_no_other_card(bank: tuple[BankProcess, Any], name: str, card: str) -> None:
    """And does not learn whether there is one."""
    answer = ask(bank, name, "customer", card)
    if name in _ABOUT_A_CARD:
        assert (answer.status_code, answer.json()) == (403, _NOT_YOURS), answer.text
    elif "customer" not in WHO_IS_LET_IN[name]:
        assert (answer.status_code, kind(answer)) == (403, "forbidden"), answer.text


_NOT_YOURS = {
    "type": "urn:mainstem:problem:forbidden",
    "title": "Forbidden",
    "status": 403,
    "detail": "this is not yours",
}


@pytest.mark.parametrize("name", _ABOUT_A_CARD)
def test_those_who_work_at_the_bank_use_any_card(bank: tuple[BankProcess, Any], name: str) -> None:
    caller = "teller" if "teller" in WHO_IS_LET_IN[name] else "analyst"
    answer = ask(bank, name, caller, FOREIGN)
    assert answer.status_code not in (401, 403), answer.text
