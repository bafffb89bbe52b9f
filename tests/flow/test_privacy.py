"""A card holder's name over HTTP, in both forms: shown where it is asked for, at rest nowhere, forgotten everywhere."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from deploy.application import environment
from mainstem.privacy.port import FORGOTTEN, Forgetting
from tests.distributed import Deployed, DistributedBank, distributed_bank
from tests.flow.test_story import Bank, eventually
from tests.process import BankProcess, bank_process

_OTHER_PROCESS_S = 20.0


@pytest.fixture(params=["embedded", pytest.param("distributed", marks=pytest.mark.stack)])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bank]:
    """The bank in either form, running."""
    if request.param == "embedded":
        with bank_process(tmp_path / "data") as process:
            yield process
    else:
        with distributed_bank(request.getfixturevalue("deployed")) as processes:
            yield processes


class Person:
    """A customer of a test's own, with a name that nobody else has."""

    def __init__(self) -> None:
        number = uuid.uuid4().hex[:12]
        self.customer, self.name = f"c-{number}", f"Ada Lovelace {number[::-1]}"
        self.subject = f"customer:{self.customer}"
        self.opening = {"id": f"card-{number}", "limit": 100, "customer": self.customer, "holder": self.name}
        self.card = f"/cards/{self.opening['id']}"

    def open(self, client: httpx.Client) -> None:
        """A card; and once more, which is refused and kept; the first answer is kept under a key."""
        answer = client.post("/cards", json=self.opening, headers={"Idempotency-Key": self.customer})
        assert answer.status_code == 201, answer.text
        assert "holder" not in answer.json()
        position = {"Mainstem-Position": answer.headers["Mainstem-Position"]}
        eventually(lambda: client.get(self.card, headers=position).status_code, 200, within_s=60)
        assert client.get(self.card, headers=position).json()["holder"] == self.name
        assert client.post("/cards", json=self.opening).json()["type"].endswith("card-exists")


@pytest.fixture
def person() -> Person:
    return Person()


def _kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


def _places(found: Forgetting) -> dict[tuple[str, str], int]:
    return {(each.place, each.name): each.found for each in found.places}


def _folders(bank: Bank) -> list[Path]:
    """All that is kept, by whatever part, and what the processes have printed."""
    if isinstance(bank, BankProcess):
        return [bank.folder, bank.process.output]
    return [bank.deployed.place.data, bank.api.process.output, bank.views.output]


def _holding(bank: Bank, text: str) -> list[str]:
    done = subprocess.run(
        ["grep", "-rlaF", text, *map(str, _folders(bank))], capture_output=True, text=True, timeout=300, check=False
    )
    return done.stdout.split()


def _forget(client: httpx.Client, subject: str, **body: Any) -> Forgetting:
    answer = client.post(f"/subjects/{subject}/forget", json={"why": "asked for", **body}, timeout=300)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=Forgetting)


def test_a_holder_is_shown_and_forgotten(bank: Bank, person: Person) -> None:
    """The whole story. Where the token is says the report; the name itself is in no file of any part."""
    with bank.client() as client:
        person.open(client)
        (opened,) = client.get(f"{person.card}/history").json()
        assert opened["data"]["holder"] == person.name
        assert client.get(person.card, params={"asOf": 1}).json()["holder"] == person.name
        changes = client.get(f"{person.card}/difference", params={"from": 0}).json()["changes"]
        assert {"field": "holder", "before": None, "after": person.name} in changes
        expected = {
            ("events", f"debit_card-{person.opening['id']} CardOpened"): 1,
            ("refused commands", ""): 1,
            ("view", "card_holder"): 1,
            ("topic", "event"): 1,
            ("topic", "refused_command"): 1,
        }
        eventually(lambda: _places(_forget(client, person.subject, dryRun=True)), expected, within_s=bank.patience_s)
        assert _holding(bank, person.customer)
        assert _holding(bank, person.name) == []
        done = _forget(client, person.subject)
        assert done.tombstone is not None
        assert done.tombstone.why == "asked for"
        assert (_places(done), done.missed) == (expected, ())
        _is_forgotten(client, person)
    assert bank.stop() == 0
    bank.start()
    with bank.client() as client:
        _is_forgotten(client, person)
        assert bank.reconcile().clean
    assert _holding(bank, person.name) == []


def _is_forgotten(client: httpx.Client, person: Person) -> None:
    assert client.get(person.card).json()["holder"] == FORGOTTEN
    (opened, *_) = client.get(f"{person.card}/history").json()
    assert opened["data"]["holder"] == FORGOTTEN
    again = client.post("/cards", json={**person.opening, "id": f"{person.opening['id']}x"})
    assert (again.status_code, _kind(again)) == (409, "subject-forgotten")
    withdrawal = {"debitCard": person.opening["id"], "amount": 1}
    assert client.post("/moneywithdrawals", json=withdrawal).status_code == 201
    other = {**person.opening, "id": f"{person.opening['id']}y"}
    del other["holder"]
    assert client.post("/cards", json=other).status_code in (201, 409)


def test_a_holder_without_a_customer_and_other_bad_input(bank: Bank, person: Person) -> None:
    """A name is somebody's, and a text of its own; a subject is one of the application's."""
    with bank.client() as client:
        nobody = {"id": person.opening["id"], "limit": 1, "holder": "Ada"}
        answer = client.post("/cards", json=nobody)
        assert (answer.status_code, answer.json()["field"]) == (422, "customer")
        for wrong in ("", " ", "x" * 201, "a\nb"):
            answer = client.post("/cards", json={**person.opening, "holder": wrong})
            assert (answer.status_code, answer.json()["field"]) == (422, "holder"), wrong
        assert _kind(client.post("/subjects/nobody/forget", json={"why": "asked for"})) == "invalid-query"
        assert _kind(client.post(f"/subjects/{person.subject}/forget", json={"why": " "})) == "invalid-query"
        assert _kind(client.post(f"/subjects/{person.subject}/forget", json={})) == "invalid-input"


@pytest.mark.stack
def test_two_processes(deployed: Deployed, person: Person) -> None:
    """What one has kept the other shows; what the command line forgets both show as forgotten within seconds."""
    with distributed_bank(deployed) as bank:
        other = deployed.api()
        other.start()
        try:
            with bank.client() as here, other.client() as there:
                person.open(here)
                assert there.get(person.card).json()["holder"] == person.name
                told = _command_line(bank, person.subject)
                assert (told.subject, told.missed) == (person.subject, ())
                assert ("view", "card_holder") in _places(told)
                for client in (here, there):
                    eventually(
                        lambda client=client: client.get(person.card).json()["holder"],  # type: ignore[misc]
                        FORGOTTEN,
                        within_s=_OTHER_PROCESS_S,
                    )
        finally:
            other.process.stop()


def _command_line(bank: DistributedBank, subject: str) -> Forgetting:
    done = subprocess.run(
        [sys.executable, "-m", "mainstem", "forget", subject, "--why", "asked for", "--yes", "--json"],
        env=environment(bank.deployed.place, log_level="error"),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Forgetting)


def test_a_tenant_forgets_its_own(tmp_path: Path, person: Person) -> None:
    """The same customer and card of another tenant, and those of none, are somebody else's, and stay readable."""
    names = {"acme": f"{person.name} A", "north-bank": f"{person.name} N", None: person.name}
    with bank_process(tmp_path / "data", tenants="acme,north-bank") as bank, bank.client() as client:

        def of(tenant: str | None) -> dict[str, str]:
            return {} if tenant is None else {"X-Tenant": tenant}

        def shown(tenant: str | None) -> set[str]:
            """By the view, the history, the past, and what has changed."""
            headers = of(tenant)
            (opened,) = client.get(f"{person.card}/history", headers=headers).json()
            changes = client.get(f"{person.card}/difference", params={"from": 0}, headers=headers).json()["changes"]
            return {
                client.get(person.card, headers=headers).json()["holder"],
                opened["data"]["holder"],
                client.get(person.card, params={"asOf": 1}, headers=headers).json()["holder"],
                *(change["after"] for change in changes if change["field"] == "holder"),
            }

        for tenant, name in names.items():
            opening = {**person.opening, "holder": name}
            answer = client.post("/cards", json=opening, headers=of(tenant)).raise_for_status()
            position = {"Mainstem-Position": answer.headers["Mainstem-Position"]}
            eventually(
                lambda tenant=tenant, position=position: (
                    client.get(  # type: ignore[misc]
                        person.card, headers={**of(tenant), **position}
                    ).status_code
                ),
                200,
                within_s=60,
            )
            assert shown(tenant) == {name}
        asked = client.post(f"/subjects/{person.subject}/forget", json={"why": "asked for"}, headers=of("acme"))
        done = msgspec.json.decode(asked.raise_for_status().content, type=Forgetting)
        assert (done.subject, done.missed) == (person.subject, ())
        assert [each.name for each in done.places if each.place == "events"] == [
            f"/acme/debit_card-{person.opening['id']} CardOpened"
        ]
        assert {tenant: shown(tenant) for tenant in names} == {
            tenant: {FORGOTTEN if tenant == "acme" else name} for tenant, name in names.items()
        }
        another = {**person.opening, "id": f"{person.opening['id']}x"}
        refused = client.post("/cards", json=another, headers=of("acme"))
        assert (refused.status_code, _kind(refused)) == (409, "subject-forgotten")
        assert refused.json()["detail"].startswith(f"{person.subject} is forgotten")
        assert client.post("/cards", json=another, headers=of("north-bank")).status_code == 201
