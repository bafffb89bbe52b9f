"""Many clients at once, over HTTP against a real process: no lost update, and a key is carried out once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process import BankProcess, bank_process

_CLIENTS = 16
_EACH = 50


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    with bank_process(tmp_path / "data") as process:
        yield process


def _all_at_once(bank: BankProcess, work: Any) -> list[list[httpx.Response]]:
    def one(number: int) -> list[httpx.Response]:
        with bank.client() as client:
            return [work(client, number, count) for count in range(_EACH)]

    with ThreadPoolExecutor(_CLIENTS) as pool:
        return list(pool.map(one, range(_CLIENTS)))


def _withdraw(client: httpx.Client, card: str, amount: str, **headers: str) -> httpx.Response:
    content = f'{{"debitCard":"{card}","amount":{amount}}}'
    return client.post("/moneywithdrawals", content=content, headers={"Content-Type": "application/json", **headers})


def _reason(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


def test_sixteen_clients_on_one_card(bank: BankProcess) -> None:
    """Each withdrawal has a version of its own, and the sum is exact."""
    answers = _all_at_once(bank, lambda client, _, __: _withdraw(client, "123456789", "0.01"))
    found = [answer for row in answers for answer in row]
    assert {answer.status_code for answer in found} == {201}
    versions = sorted(answer.json()["version"] for answer in found)
    assert versions == list(range(2, 2 + _CLIENTS * _EACH))
    with bank.client() as client:
        position = max(found, key=lambda answer: int(answer.json()["version"])).headers["Mainstem-Position"]
        card = client.get("/cards/123456789", params={"position": position}).json()
        assert Decimal(str(card["used"])) == Decimal(_CLIENTS * _EACH) / 100
    assert bank.reconcile().clean


def test_the_limit_holds_whoever_comes_first(bank: BankProcess) -> None:
    """Of 800 withdrawals of 1.00 a card with 300.00 grants 300, and says to each other what it says to anybody."""
    with bank.client() as client:
        client.post("/cards", json={"id": "small", "limit": 300}).raise_for_status()
    answers = _all_at_once(bank, lambda client, _, __: _withdraw(client, "small", "1.00"))
    statuses = [answer.status_code for row in answers for answer in row]
    assert statuses.count(201) == 300
    assert statuses.count(409) == _CLIENTS * _EACH - 300
    with bank.client() as client:
        assert client.get("/cards/small").json()["balance"] == 0
    found = bank.reconcile()
    assert found.clean, found.differences


def test_a_key_that_all_use_at_once_is_carried_out_once(bank: BankProcess) -> None:
    """All get the same answer, whoever was first."""

    def work(client: httpx.Client, _: int, count: int) -> httpx.Response:
        return _withdraw(client, "123456789", "1.00", **{"Idempotency-Key": f"key-{count}"})

    answers = _all_at_once(bank, work)
    for count in range(_EACH):
        same = [row[count] for row in answers]
        assert len({(answer.status_code, answer.content) for answer in same}) == 1
        assert sum("Idempotency-Replayed" in answer.headers for answer in same) == _CLIENTS - 1
    with bank.client() as client:
        assert client.get("/cards/123456789").json()["used"] == _EACH
    assert bank.reconcile().clean


def test_the_overall_limit_holds_whichever_card_comes_first(bank: BankProcess) -> None:
    """Of 800 withdrawals of 1.00 on four cards of one customer with 250.00 in all, 250 are granted."""
    cards = [f"of-c-1-{number}" for number in range(4)]
    with bank.client() as client:
        client.put("/customers/c-1/limit", json={"limit": 250}).raise_for_status()
        for card in cards:
            client.post("/cards", json={"id": card, "limit": 100, "customer": "c-1"}).raise_for_status()

    def work(client: httpx.Client, number: int, count: int) -> httpx.Response:
        return _withdraw(client, cards[(number + count) % 4], "1.00")

    found = [answer for row in _all_at_once(bank, work) for answer in row]
    assert sum(answer.status_code == 201 for answer in found) == 250
    reasons = {_reason(answer) for answer in found if answer.status_code != 201}
    assert reasons <= {"overall-limit-exceeded", "insufficient-balance"}
    with bank.client() as client:
        lowered = client.put("/customers/c-1/limit", json={"limit": 249.99})
        assert (lowered.status_code, _reason(lowered)) == (409, "overall-limit-below-used")
        client.post(f"/cards/{cards[0]}/repayments", json={"amount": 1}).raise_for_status()
        again = client.put("/customers/c-1/limit", json={"limit": 249})
        assert (again.status_code, again.json()) == (200, {"id": "c-1", "limit": 249, "version": 2})
        assert _reason(_withdraw(client, cards[1], "1.00")) == "overall-limit-exceeded"
        removed = [client.delete("/customers/c-1/limit", headers={"Idempotency-Key": "r"}) for _ in range(2)]
        assert [each.json() for each in removed] == [{"id": "c-1", "limit": None, "version": 3}] * 2
        assert removed[1].headers["Idempotency-Replayed"] == "true"
        assert _withdraw(client, cards[1], "1.00").status_code == 201
    assert bank.reconcile().clean
