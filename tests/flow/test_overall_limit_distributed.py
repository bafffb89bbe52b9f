"""Two processes of the distributed bank at once: the cards of one customer use no more than they may together."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from tests.distributed import Api, Deployed

_CLIENTS = 16
_EACH = 25
_LIMIT = 150


@pytest.mark.stack
def test_sixteen_clients_of_two_processes_on_four_cards(deployed: Deployed) -> None:
    """Of 400 withdrawals of 1.00 exactly 150 are granted; nobody is told of a conflict."""
    customer = f"c-{uuid.uuid4().hex[:8]}"
    cards = [f"{customer}-{number}" for number in range(4)]
    with ExitStack() as stack:
        apis = [deployed.api(), deployed.api()]
        for api in apis:
            stack.callback(api.process.stop)
            api.start()
        with apis[0].client() as client:
            client.put(f"/customers/{customer}/limit", json={"limit": _LIMIT}).raise_for_status()
            for card in cards:
                opened = {"id": card, "limit": 100, "customer": customer}
                client.post("/cards", json=opened).raise_for_status()
        with ThreadPoolExecutor(_CLIENTS) as pool:
            told = sum(pool.map(lambda number: _withdraw(apis[number % 2], cards, number), range(_CLIENTS)), Counter())
        assert told["201"] == _LIMIT, told
        assert set(told) <= {"201", "overall-limit-exceeded", "insufficient-balance"}, told
        with apis[1].client() as client:
            lowered = client.put(f"/customers/{customer}/limit", json={"limit": _LIMIT - 1})
            assert _kind(lowered) == "overall-limit-below-used"


def _withdraw(api: Api, cards: list[str], number: int) -> Counter[str]:
    with api.client() as client:
        asked = [{"debitCard": cards[(number + count) % len(cards)], "amount": 1} for count in range(_EACH)]
        return Counter(_kind(client.post("/moneywithdrawals", json=each)) for each in asked)


def _kind(answer: httpx.Response) -> str:
    return str(answer.status_code) if answer.is_success else str(answer.json()["type"]).rpartition(":")[2]
