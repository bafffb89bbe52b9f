"""What goes on across cards, over real HTTP, in both forms: transfers, and the watch over refused withdrawals."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.distributed import distributed_bank
from tests.flow.test_story import Bank, amounts, decoded, eventually, withdraw
from tests.process import BankProcess, bank_process, variable_of

_WITHIN_S = 60.0
_SETTINGS = {"bank_block_after_refusals": "3", "bank_block_within_ms": "60000"}


@pytest.fixture(scope="module", params=["embedded", pytest.param("distributed", marks=pytest.mark.stack)])
def bank(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """The bank in either form, running, that blocks after three refusals in a minute."""
    if request.param == "embedded":
        with bank_process(tmp_path_factory.mktemp("processes") / "data", **_SETTINGS) as process:
            yield process
    else:
        with distributed_bank(request.getfixturevalue("deployed"), **_SETTINGS) as processes:
            yield processes


@pytest.fixture
def client(bank: Bank) -> Iterator[httpx.Client]:
    with bank.client() as client:
        yield client


@pytest.fixture
def cards(client: httpx.Client) -> tuple[str, str]:
    """Two new ones, of the second 50 are used."""
    found = tuple(f"card-{uuid.uuid4().hex[:12]}" for _ in range(2))
    for card in found:
        client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()
    withdraw(client, found[1], 50).raise_for_status()
    return found[0], found[1]


def move(client: httpx.Client, source: str, target: str, amount: float, name: str = "") -> httpx.Response:
    name = name or f"t-{uuid.uuid4().hex[:12]}"
    body = {"transferId": name, "fromCard": source, "toCard": target, "amount": amount}
    return client.post("/transfers", json=body)


def ended(client: httpx.Client, answer: httpx.Response) -> Any:
    assert answer.status_code == 202, answer.text
    place = answer.headers["Location"]
    eventually(lambda: client.get(place).json()["ended"], True, _WITHIN_S)
    return decoded(client.get(place))


def used(client: httpx.Client, card: str) -> Any:
    now = client.get(f"/cards/{card}", params={"asOf": "2999-01-01T00:00:00Z"})
    return decoded(now)["used"]


def test_money_moves(bank: Bank, client: httpx.Client, cards: tuple[str, str]) -> None:
    source, target = cards
    first = move(client, source, target, 20.5)
    done = ended(client, first)
    assert (done["status"], done["reason"], done["amount"]) == ("completed", None, Decimal("20.5"))
    again = move(client, source, target, 20.5, done["transferId"])
    assert (again.status_code, again.json()["status"]) == (202, "completed")
    other = move(client, source, target, 21, done["transferId"])
    assert (other.status_code, other.json()["type"]) == (409, "urn:mainstem:problem:transfer-exists")
    assert (used(client, source), used(client, target)) == (Decimal("20.5"), Decimal("29.5"))
    eventually(lambda: amounts(client, source), [Decimal("20.5")], bank.patience_s)
    history = client.get(f"/cards/{source}/history").json()
    assert [each["type"] for each in history] == ["CardOpened", "MoneyWithdrawn", "TransferSettled"]
    stream = f"transfer-{done['transferId']}"
    causes = [(each["correlationId"], each["causationId"]) for each in history[1:]]
    assert causes == [(stream, f"{stream}:1"), (stream, f"{stream}:3")]
    assert history[1]["data"]["transfer"] == done["transferId"]


@pytest.mark.parametrize(
    ("amount", "target", "status", "reason"),
    [
        (60, None, "returned", "repayment-too-large"),
        (10, "nobody", "returned", "card-unknown"),
        (101, None, "refused", "insufficient-balance"),
    ],
)
def test_money_stays(
    client: httpx.Client, cards: tuple[str, str], amount: int, target: str | None, status: str, reason: str
) -> None:
    done = ended(client, move(client, cards[0], target or cards[1], amount))
    assert (done["status"], done["reason"]) == (status, reason)
    assert (used(client, cards[0]), used(client, cards[1])) == (0, 50)


def test_what_is_no_transfer(client: httpx.Client, cards: tuple[str, str]) -> None:
    for answer, status, kind in (
        (move(client, cards[0], cards[0], 1), 422, "same-card"),
        (move(client, *cards, 0), 422, "invalid-amount"),
        (move(client, *cards, 0.001), 422, "invalid-amount"),
        (move(client, *cards, 1, "-x"), 422, "invalid-input"),
        (client.get("/transfers/nothing"), 404, "transfer-unknown"),
        (client.post("/processes/transfer/nothing/resume", json={}), 404, "process-unknown"),
        (client.post("/processes/nobody/nothing/cancel", json={"reason": "x"}), 404, "process-unknown"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:mainstem:problem:{kind}")


def test_refused_withdrawals_block_a_card(bank: Bank, client: httpx.Client, cards: tuple[str, str]) -> None:
    card = cards[0]
    for _ in range(2):
        withdraw(client, card, 101)
    withdraw(client, card, 1).raise_for_status()
    withdraw(client, card, 101)
    eventually(lambda: client.get(f"/cards/{card}/history").json()[-1]["type"], "CardBlocked", _WITHIN_S)
    blocked = client.get(f"/cards/{card}/history").json()[-1]
    assert blocked["data"]["note"] == "3 withdrawals were refused within 60 s"
    assert (blocked["actor"], blocked["correlationId"]) == ("process:card_guard", f"card_guard-{card}")
    assert blocked["causationId"] == f"card_guard-{card}:3"
    assert withdraw(client, card, 1).json()["type"] == "urn:mainstem:problem:card-blocked"
    client.post(f"/cards/{card}/unblock", json={}).raise_for_status()
    withdraw(client, card, 101)  # the count has begun anew
    eventually(lambda: len(client.get("/processes", params={"manager": "card_guard"}).json()) > 0, True, _WITHIN_S)
    assert withdraw(client, card, 1).status_code == 201


def test_all_accounts_agree(bank: Bank) -> None:
    found = bank.reconcile()
    assert found.clean, found.differences[:5]


def test_operators_look_at_processes(bank: Bank, client: httpx.Client, cards: tuple[str, str]) -> None:
    """By the command line, beside the running bank."""
    done = ended(client, move(client, *cards, 1))
    name = done["transferId"]
    if isinstance(bank, BankProcess):
        own = {"MAINSTEM_DATA_DIR": str(bank.folder)}
    else:
        own = {variable_of(key): value for key, value in bank.deployed.settings.items()}
    _await_row(client, name)
    listed = _mainstem(own, "processes", "list", "--manager", "transfer", "--limit", "10000", "--json")
    assert name in listed.stdout
    cancelled = _mainstem(own, "processes", "cancel", "transfer", name, "--reason", "too late")
    assert cancelled.returncode == 2
    assert f"Refused: {name} has ended" in cancelled.stderr


def _await_row(client: httpx.Client, name: str) -> None:
    ask = {"manager": "transfer", "status": "ended", "limit": "10000"}
    eventually(lambda: name in client.get("/processes", params=ask).text, True, _WITHIN_S)


def _mainstem(own: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
    return subprocess.run(
        [sys.executable, "-m", "mainstem", *words],
        env=clean | own,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_a_process_is_helped_where_nothing_runs(tmp_path: Path) -> None:
    """The command line brings the application up for it."""
    with bank_process(tmp_path / "data") as bank, bank.client() as client:
        client.post("/cards", json={"id": "anna", "limit": 100}).raise_for_status()
        done = ended(client, move(client, "anna", "nobody", 1, "t-1"))
        assert done["status"] == "returned"
        assert bank.stop() == 0
    own = {"MAINSTEM_DATA_DIR": str(tmp_path / "data")}
    resumed = _mainstem(own, "processes", "resume", "transfer", "t-1")
    assert (resumed.returncode, "t-1 has ended" in resumed.stderr) == (2, True)
    listed = _mainstem(own, "processes", "list")
    assert "t-1" in listed.stdout
    assert "There are none" in _mainstem(own, "processes", "list", "--stuck").stdout
