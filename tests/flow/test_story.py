"""The bank's story, over real HTTP against a real process: from the command to the analytical store, and back again."""

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.process import BankProcess, bank_process

CARD = "123456789"
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    with bank_process(tmp_path / "data") as process:
        yield process


def decoded(response: httpx.Response) -> Any:
    """JSON with exact decimals."""
    return _DECODER.decode(response.content)


def eventually(question: Callable[[], Any], expected: Any, within_s: float) -> float:
    """Ask until the answer is the expected one; how long it took."""
    began = time.monotonic()
    while (answer := question()) != expected:
        if time.monotonic() - began > within_s:
            raise AssertionError(f"after {within_s} s the answer is {answer!r}, not {expected!r}")
        time.sleep(0.002)
    return time.monotonic() - began


def withdraw(client: httpx.Client, amount: float | int | str, **headers: str) -> httpx.Response:
    return client.post("/moneywithdrawals", json={"debitCard": CARD, "amount": amount}, headers=headers)


def test_the_seeds_story(bank: BankProcess) -> None:
    """A withdrawal by the seed's URLs, in the statement and in the analytical store; all of it after a restart."""
    with bank.client() as client:
        answer = withdraw(client, 10.00)
        assert answer.status_code == 201
        assert decoded(answer)["balance"] == Decimal("9990.00")

        def amounts() -> list[Decimal]:
            return [line["amount"] for line in decoded(client.get(f"/moneywithdrawals?debitCardId={CARD}"))]

        def analysed() -> list[Any]:
            return [row["amount"] for row in decoded(client.get(f"/analytics/cards?debitCardId={CARD}"))]

        eventually(amounts, [Decimal("10.00")], within_s=1)
        eventually(analysed, [Decimal("10.00")], within_s=1)

        refused = withdraw(client, 20000)
        assert refused.status_code == 409
        assert decoded(refused)["detail"] == f"Card {CARD} not able to withdraw 20000. Balance is 9990"
        eventually(lambda: len(decoded(client.get(f"/cards/{CARD}/refusals"))), 1, within_s=1)
        assert bank.reconcile().clean
    assert bank.stop() == 0
    bank.start()
    with bank.client() as client:
        assert [line["amount"] for line in decoded(client.get(f"/moneywithdrawals?debitCardId={CARD}"))] == [10]
        assert decoded(client.get(f"/cards/{CARD}"))["used"] == 10
        assert bank.reconcile().clean


def test_a_client_reads_its_own_write(bank: BankProcess) -> None:
    """With the position that its command returned, as a header or in the query."""
    with bank.client() as client:
        for number in range(1, 21):
            token = withdraw(client, 1).headers["Mainstem-Position"]
            query = f"/moneywithdrawals?debitCardId={CARD}"
            by_header = decoded(client.get(query, headers={"Mainstem-Position": token}))
            assert len(by_header) == number
            card = decoded(client.get(f"/cards/{CARD}", params={"position": token}))
            assert (card["used"], card["version"]) == (number, number + 1)


def test_only_a_withdrawal_makes_a_line(bank: BankProcess) -> None:
    """Not a repayment, another limit, a block."""
    with bank.client() as client:
        withdraw(client, 100)
        client.post(f"/cards/{CARD}/repayments", json={"amount": 40}).raise_for_status()
        client.put(f"/cards/{CARD}/limit", json={"limit": 5000}).raise_for_status()
        client.post(f"/cards/{CARD}/block", json={"reason": "lost"}).raise_for_status()
        assert withdraw(client, 1).status_code == 409
        client.post(f"/cards/{CARD}/unblock", json={}).raise_for_status()
        token = withdraw(client, 5).headers["Mainstem-Position"]
        lines = decoded(client.get(f"/moneywithdrawals?debitCardId={CARD}", headers={"Mainstem-Position": token}))
        assert [line["amount"] for line in lines] == [5, 100]
        assert bank.reconcile().clean


def test_the_same_key_withdraws_once(bank: BankProcess) -> None:
    """The same content gets the same answer; other content, 422."""
    with bank.client() as client:
        first = withdraw(client, 10, **{"Idempotency-Key": "k-1"})
        again = withdraw(client, 10, **{"Idempotency-Key": "k-1"})
        assert (again.status_code, again.content) == (first.status_code, first.content)
        for header in ("Location", "Mainstem-Position"):
            assert again.headers[header] == first.headers[header]
        assert withdraw(client, 11, **{"Idempotency-Key": "k-1"}).status_code == 422
        assert (
            decoded(client.get(f"/cards/{CARD}", params={"position": first.headers["Mainstem-Position"]}))["used"] == 10
        )


def test_the_statement_comes_in_pages(bank: BankProcess) -> None:
    """Each line once, newest first, by the Link header."""
    with bank.client() as client:
        token = ""
        for number in range(1, 8):
            token = withdraw(client, number).headers["Mainstem-Position"]
        client.get(f"/moneywithdrawals?debitCardId={CARD}", headers={"Mainstem-Position": token}).raise_for_status()
        url: str | None = f"/moneywithdrawals?debitCardId={CARD}&limit=3"
        seen: list[Any] = []
        while url:
            page = client.get(url)
            seen.extend(line["amount"] for line in decoded(page))
            url = page.links.get("next", {}).get("url")
        assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_two_processes_never_share_a_folder(bank: BankProcess) -> None:
    """The second says who has it, and harms nothing."""
    second = BankProcess(bank.folder)
    second.output = bank.folder.with_suffix(".second")
    with pytest.raises(AssertionError, match="is in use by process"):
        second.start()
    with bank.client() as client:
        assert client.get("/health/ready").status_code == 200
