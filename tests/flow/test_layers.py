"""The data layers over HTTP, in both forms: from each figure down to the changes, in agreement after a `kill -9`."""

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.distributed import DistributedBank, begin_listening, distributed_bank
from tests.flow.test_story import Bank, eventually
from tests.process import bank_process

_TAKE_UP_S = 120.0
_LEDGERS = {"curated", "integrated", "aggregated by minute", "aggregated by hour", "aggregated by day"}


@pytest.fixture(params=["embedded", pytest.param("distributed", marks=pytest.mark.stack)])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bank]:
    """The bank in either form, with its layers."""
    if request.param == "embedded":
        with bank_process(tmp_path / "data", layers="true") as process:
            yield process
    else:
        deployed = request.getfixturevalue("deployed")
        deployed.deploy(layers="true")
        with distributed_bank(deployed, layers="true") as processes:
            yield processes


def _begin_again(bank: Bank) -> None:
    """Behind a `kill -9` of the process that keeps the layers."""
    if isinstance(bank, DistributedBank):
        bank.views.kill()
        begin_listening(bank.views)
    else:
        bank.kill()
        bank.start()


def _lineage(client: httpx.Client, layer: str, where: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        client.get(f"/layers/{layer}/lineage", params={"where": where}).raise_for_status().json()
    )
    return found


def _facts(client: httpx.Client, card: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for each in _lineage(client, "integrated", f"card={card}"):
        found.setdefault(each["row"]["fact"], []).append(each["row"]["cents"])
    return {fact: sorted(cents) for fact, cents in found.items()}


def _withdraw(client: httpx.Client, card: str, amount: str) -> int:
    return client.post("/moneywithdrawals", json={"debitCard": card, "amount": float(amount)}).status_code


def test_facts_reach_every_layer_once_and_lead_down_to_the_changes(bank: Bank) -> None:
    card = f"layered-{uuid.uuid4().hex[:12]}"
    with bank.client() as client:
        client.post("/cards", json={"id": card, "limit": 100, "customer": "c-1"}).raise_for_status()
        assert [_withdraw(client, card, each) for each in ("12.50", "30", "500")] == [201, 201, 409]
    _begin_again(bank)
    with bank.client() as client:
        assert _withdraw(client, card, "7") == 201
        expected = {"withdrawal": [700, 1250, 3000], "refusal": [50_000]}
        eventually(lambda: _facts(client, card), expected, _TAKE_UP_S)
        whole = _lineage(client, "integrated", f"card={card}")
        down = Counter(step for each in whole for step in _down(each))
    assert down == dict.fromkeys(("integrated", "curated", "cleansed", "raw"), 4)
    assert {each["row"]["customer"] for each in whole} == {"c-1"}


def _down(traced: dict[str, Any]) -> Iterator[str]:
    yield traced["layer"]
    for each in traced["madeOf"]:
        yield from _down(each)


def test_the_layers_are_held_against_all_other_accounts(bank: Bank) -> None:
    card = f"layered-{uuid.uuid4().hex[:12]}"
    with bank.client() as client:
        client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()
        for _ in range(5):
            assert _withdraw(client, card, "1.25") == 201
        _begin_again(bank)
    with bank.client() as client:
        eventually(lambda: _facts(client, card), {"withdrawal": [125] * 5}, _TAKE_UP_S)
    eventually(lambda: bank.reconcile().differences, (), _TAKE_UP_S)
    assert set(bank.reconcile().ledgers) >= _LEDGERS
