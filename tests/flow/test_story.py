"""The bank's story, over real HTTP against real processes: from the command to the analytical store, and back again.

One story for both forms: embedded in one process, with its views in SQLite, DuckDB and PostgreSQL, and distributed on
MySQL, Debezium, Kafka and Druid.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.distributed import Deployed, DistributedBank, distributed_bank
from tests.postgres import PostgresDatabases, postgres_settings
from tests.process import BankProcess, bank_process

FIRST_CARD = "123456789"
TAKE_UP_S = 240.0
"""How long a listener that is new on the stack may take for what the tests before have left on its topic."""
_DECODER = msgspec.json.Decoder(float_hook=Decimal)

Bank = BankProcess | DistributedBank


@pytest.fixture(params=["sqlite", "duckdb", "postgres", pytest.param("distributed", marks=pytest.mark.stack)])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bank]:
    """The bank in either form, running; embedded, with its views wherever they may live."""
    if request.param != "distributed":
        settings = {"views": request.param}
        if request.param == "postgres":
            settings |= postgres_settings(request.getfixturevalue("postgres_databases")(tmp_path))
        with bank_process(tmp_path / "data", **settings) as process:
            yield process
    else:
        with distributed_bank(request.getfixturevalue("deployed")) as processes:
            yield processes


@pytest.fixture
def card(bank: Bank) -> str:
    """A new card of the test's own."""
    name = f"card-{uuid.uuid4().hex[:12]}"
    with bank.client() as client:
        client.post("/cards", json={"id": name, "limit": 10_000}).raise_for_status()
    return name


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


def _analysed(client: httpx.Client, card: str) -> Any:
    found = client.get(f"/analytics/cards?debitCardId={card}")  # 503 until Druid serves its first row
    return [row["amount"] for row in decoded(found)] if found.is_success else found.text


def withdraw(client: httpx.Client, card: str, amount: float | int | str, **headers: str) -> httpx.Response:
    return client.post("/moneywithdrawals", json={"debitCard": card, "amount": amount}, headers=headers)


def amounts(client: httpx.Client, card: str, **headers: str) -> list[Decimal]:
    return [line["amount"] for line in decoded(client.get(f"/moneywithdrawals?debitCardId={card}", headers=headers))]


def test_the_bank_begins_with_the_seeds_card(bank: Bank) -> None:
    with bank.client() as client:
        eventually(lambda: client.get(f"/cards/{FIRST_CARD}").status_code, 200, within_s=bank.patience_s)


def test_the_seeds_story(bank: Bank, card: str) -> None:
    """A withdrawal by the seed's URLs, in the statement and in the analytical store; all of it after a restart."""
    with bank.client() as client:
        answer = withdraw(client, card, 10.00)
        assert answer.status_code == 201
        assert decoded(answer)["balance"] == Decimal("9990.00")

        eventually(lambda: amounts(client, card), [Decimal("10.00")], within_s=bank.patience_s)
        eventually(lambda: _analysed(client, card), [Decimal("10.00")], within_s=bank.patience_s)

        refused = withdraw(client, card, 20000)
        assert refused.status_code == 409
        assert decoded(refused)["detail"] == f"Card {card} not able to withdraw 20000. Balance is 9990"
        eventually(lambda: len(decoded(client.get(f"/cards/{card}/refusals"))), 1, within_s=bank.patience_s)
        found = bank.reconcile()
        assert found.clean, found.differences
    assert bank.stop() == 0
    bank.start()
    with bank.client() as client:
        assert amounts(client, card) == [10]
        assert decoded(client.get(f"/cards/{card}"))["used"] == 10
        assert bank.reconcile().clean


@pytest.mark.stack
def test_views_of_the_distributed_form_in_postgres(
    deployed: Deployed, postgres_databases: PostgresDatabases, tmp_path: Path
) -> None:
    """New ones, which take up all that the topics hold; what was sent of it is not sent again."""
    settings = {"views": "postgres"} | postgres_settings(postgres_databases(tmp_path))
    with distributed_bank(deployed, **settings) as bank, bank.client() as client:
        card = f"card-{uuid.uuid4().hex[:12]}"
        client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()
        withdraw(client, card, 10).raise_for_status()
        eventually(lambda: amounts(client, card), [Decimal("10.00")], within_s=TAKE_UP_S)
        withdraw(client, card, 5).raise_for_status()
        eventually(lambda: amounts(client, card), [Decimal("5.00"), Decimal("10.00")], within_s=bank.patience_s)
        eventually(lambda: _analysed(client, card), [Decimal("15.00")], within_s=bank.patience_s)


def test_a_client_reads_its_own_write(bank: Bank, card: str) -> None:
    """With the position that its command returned, as a header or in the query."""
    with bank.client() as client:
        for number in range(1, 21):
            token = withdraw(client, card, 1).headers["Mainstem-Position"]
            assert len(amounts(client, card, **{"Mainstem-Position": token})) == number
            found = decoded(client.get(f"/cards/{card}", params={"position": token}))
            assert (found["used"], found["version"]) == (number, number + 1)


def test_a_card_is_seen_as_it_was(bank: Bank, card: str) -> None:
    """At a version and at a time; and what happened to it, page by page."""
    with bank.client() as client:
        withdraw(client, card, 10)
        withdraw(client, card, 5)
        happened = decoded(client.get(f"/cards/{card}/history"))
        assert [each["type"] for each in happened] == ["CardOpened", "MoneyWithdrawn", "MoneyWithdrawn"]
        for as_of, used in (("1", 0), ("2", 10), ("3", 15), (happened[2]["occurredAt"], 15)):
            assert decoded(client.get(f"/cards/{card}", params={"asOf": as_of}))["used"] == used
        assert client.get(f"/cards/{card}", params={"asOf": "2020-01-01T00:00:00Z"}).status_code == 404
        found = decoded(client.get(f"/cards/{card}/difference", params={"from": 2}))
        assert found["changes"] == [{"field": "used", "before": 10, "after": 15}]
        page = client.get(f"/cards/{card}/history", params={"limit": 2})
        following = client.get(page.links["next"]["url"])
        assert [each["version"] for each in decoded(page) + decoded(following)] == [1, 2, 3]


def test_only_a_withdrawal_makes_a_line(bank: Bank, card: str) -> None:
    """Not a repayment, another limit, a block."""
    with bank.client() as client:
        withdraw(client, card, 100)
        client.post(f"/cards/{card}/repayments", json={"amount": 40}).raise_for_status()
        client.put(f"/cards/{card}/limit", json={"limit": 5000}).raise_for_status()
        client.post(f"/cards/{card}/block", json={"reason": "lost"}).raise_for_status()
        assert withdraw(client, card, 1).status_code == 409
        client.post(f"/cards/{card}/unblock", json={}).raise_for_status()
        token = withdraw(client, card, 5).headers["Mainstem-Position"]
        assert amounts(client, card, **{"Mainstem-Position": token}) == [5, 100]
        assert bank.reconcile().clean


def test_the_same_key_withdraws_once(bank: Bank, card: str) -> None:
    """The same content gets the same answer; other content, 422."""
    key = {"Idempotency-Key": f"k-{card}"}
    with bank.client() as client:
        first = withdraw(client, card, 10, **key)
        again = withdraw(client, card, 10, **key)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        for header in ("Location", "Mainstem-Position"):
            assert again.headers[header] == first.headers[header]
        assert withdraw(client, card, 11, **key).status_code == 422
        position = first.headers["Mainstem-Position"]
        assert decoded(client.get(f"/cards/{card}", params={"position": position}))["used"] == 10


def test_a_refusal_is_kept_with_its_key(bank: Bank, card: str) -> None:
    """And is told as such, since it may be out of date."""
    with bank.client() as client:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        body = {"debitCard": card, "amount": 20_000}
        first = client.post("/moneywithdrawals", json=body, headers=key)
        client.put(f"/cards/{card}/limit", json={"limit": 50_000}).raise_for_status()
        again = client.post("/moneywithdrawals", json=body, headers=key)
        assert (first.status_code, again.status_code) == (409, 409)
        assert (first.json(), again.json()["detail"]) == (again.json(), first.json()["detail"])
        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"


def test_the_statement_comes_in_pages(bank: Bank, card: str) -> None:
    """Each line once, newest first, by the Link header."""
    with bank.client() as client:
        token = ""
        for number in range(1, 8):
            token = withdraw(client, card, number).headers["Mainstem-Position"]
        assert len(amounts(client, card, **{"Mainstem-Position": token})) == 7
        url: str | None = f"/moneywithdrawals?debitCardId={card}&limit=3"
        seen: list[Any] = []
        while url:
            page = client.get(url)
            seen.extend(line["amount"] for line in decoded(page))
            url = page.links.get("next", {}).get("url")
        assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    """The second says who has it, and harms nothing."""
    with bank_process(tmp_path / "data") as bank:
        second = BankProcess(bank.folder)
        second.process.output = bank.folder.with_suffix(".second")
        with pytest.raises(AssertionError, match="is in use by process"):
            second.start()
        with bank.client() as client:
            assert client.get("/health/ready").status_code == 200
