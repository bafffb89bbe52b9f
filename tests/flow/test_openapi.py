"""The OpenAPI document against the real process: every answer is documented, never a 500; the page for people."""

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from bank.access import WHO_MAY
from mainstem.query.web import OPERATIONS_RULES
from tests.process import BankProcess, bank_process
from tests.tokens import SECRET, bearer, token

_EXAMPLES = 60
_FEW_EXAMPLES = 15
_NOT_TOLD_BY_A_SCHEMA = [positive_data_acceptance]
"""Tokens that were never given out, and amounts that a card refuses, are of the right form all the same."""


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    folder: Path = tmp_path_factory.mktemp("openapi")
    with bank_process(folder / "data") as process:
        yield process
        assert "fault in the program" not in process.text()


def test_what_it_answers_is_what_it_documents(bank: BankProcess) -> None:
    """Generated requests, good and bad, of every operation."""
    schema = schemathesis.openapi.from_url(f"{bank.url}/openapi/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) >= 18
    for operation in operations:
        _try(operation)
    assert bank.reconcile().clean
    assert bank.running()


def _try(operation: Any, *, examples: int = _EXAMPLES, headers: Mapping[str, str] | None = None) -> None:
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def call(case: Any) -> None:
        case.call_and_validate(timeout=30, headers=dict(headers or {}), excluded_checks=_NOT_TOLD_BY_A_SCHEMA)

    call()


def test_it_documents_who_may_call_it(tmp_path: Path) -> None:
    """With tokens of all scopes: every answer is documented, and what needs a token answers nobody without one."""
    scopes = {scope for rule in {**OPERATIONS_RULES, **WHO_MAY}.values() for scope in rule.sufficient}
    shown = bearer(token(scope=" ".join(scopes), aud=None, cards=["123456789"], exp=int(time.time()) + 3600))
    with bank_process(tmp_path / "data", auth_key=SECRET, rate_limit_per_minute="0") as bank:
        document = httpx.get(f"{bank.url}/openapi/openapi.json").raise_for_status().json()
        assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
        for name, rule in {**OPERATIONS_RULES, **WHO_MAY}.items():
            method, path = name.split(" ")
            if path in document["paths"]:
                operation = document["paths"][path][method.lower()]
                assert operation.get("security", []) == [{"bearer": [scope]} for scope in rule.sufficient], name
        schema = schemathesis.openapi.from_url(f"{bank.url}/openapi/openapi.json")
        for found in schema.get_all_operations():
            if isinstance(found, Ok):
                _try(found.ok(), examples=_FEW_EXAMPLES, headers=shown)


def test_the_page_needs_no_other_host(bank: BankProcess) -> None:
    found = httpx.get(f"{bank.url}/openapi")
    assert found.headers["content-type"].startswith("text/html")
    assert "<script" not in found.text
    assert not re.findall(r"(?:src|href)=\"(?!/|#)[^\"]*\"", found.text)
    document = httpx.get(f"{bank.url}/openapi/openapi.json").json()
    for path, item in document["paths"].items():
        for method in item:
            assert f"{method.upper()} {path}" in found.text


def test_the_pages_curl_examples_name_fields_that_exist(bank: BankProcess) -> None:
    found = httpx.get(f"{bank.url}/openapi").text
    assert "&quot;debitCard&quot;: &quot;123456789&quot;, &quot;amount&quot;: 10.0" in found
