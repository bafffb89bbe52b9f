"""Refused commands by HTTP and by the command line, beside the running bank and while it is stopped."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process import BankProcess, bank_process

CARD = "anna"


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    """A bank with a card of 100, on which 150, 160 and 170 were refused, and -1, and a card that is not there."""
    with bank_process(tmp_path / "data") as process:
        with process.client() as client:
            client.post("/cards", json={"id": CARD, "limit": 100}).raise_for_status()
            for amount in (150, 160, 170, -1):
                client.post("/moneywithdrawals", json={"debitCard": CARD, "amount": amount})
            client.post("/cards/nobody/unblock", json={})
        yield process


@pytest.fixture
def client(bank: BankProcess) -> Iterator[httpx.Client]:
    with bank.client() as client:
        yield client


def refusals(client: httpx.Client, **query: str) -> Any:
    return client.get("/refusals", params=query).raise_for_status().json()


def call(bank: BankProcess, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mainstem", "refusals", *words],
        env={**os.environ, "MAINSTEM_DATA_DIR": str(bank.folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_they_are_found_by_what_they_have(client: httpx.Client) -> None:
    every = refusals(client)
    assert [each["reason"] for each in every] == ["card-unknown", "invalid-amount", *["insufficient-balance"] * 3]
    assert every[-1]["content"] == {"type": "Withdraw", "card": CARD, "amount": "150"}
    assert every[-1]["retried"] is None
    for query, found in (
        ({"debitCardId": CARD}, every[1:]),
        ({"reason": "insufficient-balance"}, every[2:]),
        ({"command": "UnblockCard"}, every[:1]),
        ({"actor": every[0]["actor"]}, every),
        ({"actor": "nobody"}, []),
        ({"from": "2020-01-01T00:00:00Z"}, every),
        ({"to": "2020-01-01T00:00:00Z"}, []),
        ({"debitCardId": CARD, "reason": "invalid-amount"}, every[1:2]),
    ):
        assert refusals(client, **query) == found, query
    one = client.get(f"/refusals/{every[0]['id']}").raise_for_status().json()
    assert one == {**every[0], "refusedAgain": []}
    own = client.get(f"/cards/{CARD}/refusals").json()
    assert {each["id"] for each in own} <= {each["id"] for each in every}


def test_they_are_read_in_pages(client: httpx.Client) -> None:
    found, url = [], "/refusals?limit=2&debitCardId=anna"
    while url:
        answer = client.get(url).raise_for_status()
        found += answer.json()
        url = answer.links.get("next", {}).get("url", "")
    assert found == refusals(client, debitCardId=CARD)


def test_they_are_counted(client: httpx.Client) -> None:
    counted = client.get("/refusals/counts").raise_for_status().json()
    assert counted[0] == {"reason": "insufficient-balance", "refusals": 3}
    assert {each["reason"]: each["refusals"] for each in counted} == {
        "insufficient-balance": 3,
        "invalid-amount": 1,
        "card-unknown": 1,
    }
    by_day = client.get("/refusals/counts", params={"by": "day", "reason": "insufficient-balance"}).json()
    assert sum(each["refusals"] for each in by_day) == 3
    assert all(each["period"].endswith("T00:00:00.000Z") for each in by_day)
    metrics = client.get("/metrics").text
    assert 'mainstem_refusals_total{reason="insufficient-balance"} 3.0' in metrics


def test_one_is_tried_again_once(client: httpx.Client) -> None:
    """The first try is refused again, and names what it was a retry of; that one is accepted later, once."""
    first = refusals(client, command="Withdraw")[-1]["id"]
    answers = [client.post(f"/refusals/{first}/retry", json={}) for _ in range(2)]
    assert [each.status_code for each in answers] == [409, 409]
    assert [each.headers.get("idempotency-replayed") for each in answers] == [None, "true"]
    second = refusals(client)[0]
    assert (second["retryOf"], client.get(f"/refusals/{first}").json()["refusedAgain"]) == (first, [second["id"]])
    client.put(f"/cards/{CARD}/limit", json={"limit": 1000}).raise_for_status()
    position = ""
    for replayed in (None, "true"):
        answer = client.post(f"/refusals/{second['id']}/retry", json={}).raise_for_status()
        assert (answer.json()["used"], answer.headers.get("idempotency-replayed")) == (150, replayed)
        position = answer.headers["mainstem-position"]
    line = client.get("/moneywithdrawals", params={"debitCardId": CARD, "position": position}).raise_for_status()
    assert [each["amount"] for each in line.json()] == [150]
    retried = client.get(f"/refusals/{second['id']}").json()["retried"]
    assert (retried["version"], retried["actor"]) == (3, second["actor"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/refusals/{'0' * 16}", 404),
        ("GET", "/refusals/7", 400),
        ("POST", f"/refusals/{'0' * 16}/retry", 404),
        ("POST", f"/refusals/{'9' * 16}/retry", 404),
        ("GET", "/refusals?from=yesterday", 400),
        ("GET", "/refusals?cursor=x", 400),
        ("GET", "/refusals/counts?by=week", 400),
    ],
)
def test_a_bad_question_is_told(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, json={} if method == "POST" else None)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_command_line_beside_the_running_bank(bank: BankProcess, client: httpx.Client) -> None:
    listed = json.loads(call(bank, "list", "--json").stdout)
    assert [each["id"] for each in listed] == [each["id"] for each in refusals(client)]
    behind = json.loads(call(bank, "list", "--json", "--behind", listed[1]["id"], "--limit", "2").stdout)
    assert behind == listed[2:4]
    assert "insufficient-balance" in call(bank, "list", "--reason", "insufficient-balance").stdout
    counted = json.loads(call(bank, "count", "--by", "hour", "--category", "debit_card", "--json").stdout)
    assert sum(each["refusals"] for each in counted) == 5
    first = listed[-1]["id"]
    ended = call(bank, "retry", first)
    assert (ended.returncode, ended.stdout[:16]) == (1, "Refused again, a"), ended.stderr
    second = json.loads(call(bank, "show", first, "--json").stdout)["refusedAgain"][0]
    client.put(f"/cards/{CARD}/limit", json={"limit": 1000}).raise_for_status()
    for _ in range(2):
        assert call(bank, "retry", second).stdout == "Accepted: debit_card-anna is at version 3\n"
    assert "version 3" in call(bank, "list").stdout
    assert client.get(f"/cards/{CARD}").json()["used"] == 150
    ended = call(bank, "show", "0" * 16)
    assert (ended.returncode, "there is no refusal" in ended.stderr) == (2, True)


def test_the_command_line_while_the_bank_is_stopped(bank: BankProcess, client: httpx.Client) -> None:
    client.put(f"/cards/{CARD}/limit", json={"limit": 1000}).raise_for_status()
    bank.stop()
    unknown, *_, first = json.loads(call(bank, "list", "--json").stdout)
    ended = call(bank, "retry", first["id"], "--json")
    assert json.loads(ended.stdout)["version"] == 3, ended.stderr
    ended = call(bank, "retry", unknown["id"])
    assert (ended.returncode, "card-unknown: Card nobody does not exist" in ended.stdout) == (1, True), ended.stderr
    bank.start()
    assert bank.reconcile().clean
