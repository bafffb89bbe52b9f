"""Several banks in one: the story of two tenants with cards of the same name, and what neither can do to the other.

One story for both forms: embedded in one process, and distributed on MySQL, Debezium, Kafka and Druid.
"""

import base64
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.distributed import distributed_bank
from tests.flow.test_story import Bank, amounts, decoded, eventually, withdraw
from tests.process import BankProcess, bank_process
from tests.tokens import SECRET, bearer, token

TENANTS = ("acme", "north-bank")


@pytest.fixture(params=["embedded", pytest.param("distributed", marks=pytest.mark.stack)])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bank]:
    """The bank of two tenants beside one of none, in either form, running."""
    served = ",".join(TENANTS)
    if request.param == "embedded":
        with bank_process(tmp_path / "data", tenants=served, bank_block_after_refusals="2") as process:
            yield process
    else:
        deployed = request.getfixturevalue("deployed")
        with distributed_bank(deployed, tenants=served, bank_block_after_refusals="2") as processes:
            yield processes


@pytest.fixture
def name() -> str:
    """Of cards, customers and transfers that nobody has used before."""
    return f"n{uuid.uuid4().hex[:12]}"


def client_of(bank: Bank, tenant: str | None) -> httpx.Client:
    client = bank.client()
    if tenant is not None:
        client.headers["X-Tenant"] = tenant
    return client


def kind(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"]).rpartition(":")[2]


def test_two_banks_have_a_card_of_one_name(bank: Bank, name: str) -> None:
    """And so has the bank of no tenant. Statement, balance, history, refusals and analytics are each bank's own."""
    whose: dict[str | None, int] = {None: 3, "acme": 5, "north-bank": 7}
    for tenant, amount in whose.items():
        with client_of(bank, tenant) as client:
            opened = client.post("/cards", json={"id": name, "limit": 1_000 * amount})
            assert (opened.status_code, opened.json()["id"], opened.json()["version"]) == (201, name, 1)
            answer = withdraw(client, name, amount, **{"Idempotency-Key": name})
            assert answer.headers["location"] == f"/moneywithdrawals?debitCardId={name}"
            again = withdraw(client, name, amount, **{"Idempotency-Key": name})
            assert (again.content, again.headers["idempotency-replayed"]) == (answer.content, "true")
            token = {"Mainstem-Position": answer.headers["mainstem-position"]}
            assert amounts(client, name, **token) == [amount]
            assert decoded(client.get(f"/cards/{name}", headers=token))["balance"] == 999 * amount
            assert kind(withdraw(client, name, 1_000 * amount)) == (409, "insufficient-balance")
    for tenant, amount in whose.items():
        with client_of(bank, tenant) as client:
            lines = client.get("/moneywithdrawals", params={"debitCardId": name}).json()
            assert [(line["debitCardId"], line["amount"]) for line in lines] == [(name, amount)]
            happened = [each["data"] for each in client.get(f"/cards/{name}/history").json()]
            assert [data.get("amount") for data in happened] == [None, amount]

            def refused(client: httpx.Client = client) -> list[str]:
                return [each["detail"] for each in client.get(f"/cards/{name}/refusals").raise_for_status().json()]

            told = f"Card {name} not able to withdraw {1_000 * amount}. Balance is {999 * amount}"
            eventually(refused, [told], within_s=bank.patience_s + 10)
            kept = client.get("/refusals", params={"debitCardId": name}).json()
            assert [(each["card"], each["content"]["amount"]) for each in kept] == [(name, f"{1_000 * amount}")]

            def analysed(client: httpx.Client = client) -> list[Any]:
                answer = client.get("/analytics/cards", params={"debitCardId": name})
                found = answer.json() if answer.is_success else []  # Druid may not be there at once
                return [(row["debitCardId"], row["withdrawals"], row["amount"]) for row in found]

            eventually(analysed, [(name, 1, amount)], within_s=bank.patience_s + 10)
    assert bank.reconcile().clean


def test_money_moves_within_a_tenant(bank: Bank, name: str) -> None:
    """A transfer's cards are those of its tenant; a card that another tenant alone has is not there."""
    for tenant in TENANTS:
        with client_of(bank, tenant) as client:
            client.post("/cards", json={"id": f"{name}-1", "limit": 100}).raise_for_status()
            client.post("/cards", json={"id": f"{name}-{tenant}", "limit": 100}).raise_for_status()
            withdraw(client, f"{name}-{tenant}", 50).raise_for_status()
    with client_of(bank, "acme") as acme, client_of(bank, "north-bank") as north:
        for number, target in enumerate((f"{name}-acme", f"{name}-north-bank")):
            asked = {"transferId": f"{name}-{number}", "fromCard": f"{name}-1", "toCard": target, "amount": 20}
            assert acme.post("/transfers", json=asked).status_code == 202
        for number, end in enumerate(("completed", "returned")):

            def stands(number: int = number) -> str:
                return str(acme.get(f"/transfers/{name}-{number}").json()["status"])

            eventually(stands, end, within_s=bank.patience_s + 30)
            assert kind(north.get(f"/transfers/{name}-{number}")) == (404, "transfer-unknown")
        assert acme.get(f"/transfers/{name}-1").json()["reason"] == "card-unknown"
        events = [each["type"] for each in north.get(f"/cards/{name}-north-bank/history").json()]
        assert events == ["CardOpened", "MoneyWithdrawn"]
        assert [each["type"] for each in north.get(f"/cards/{name}-1/history").json()] == ["CardOpened"]
        own = [each["id"] for each in acme.get("/processes", params={"manager": "transfer", "limit": 10_000}).json()]
        assert {f"{name}-0", f"{name}-1"} <= set(own)
        for another in (None, "north-bank"):
            with client_of(bank, another) as other:
                found = other.get("/processes", params={"limit": 10_000}).json()
            assert not [each["id"] for each in found if name in each["id"] and each["manager"] == "transfer"]


def test_a_card_is_blocked_in_its_tenant(bank: Bank, name: str) -> None:
    """A process that the refusals of a tenant begin acts in that tenant."""
    for tenant in (None, *TENANTS):
        with client_of(bank, tenant) as client:
            client.post("/cards", json={"id": name, "limit": 10}).raise_for_status()
            kind(withdraw(client, name, 1_000))
    with client_of(bank, "acme") as client:
        assert kind(withdraw(client, name, 1_000))[0] == 409

        def stands(client: httpx.Client = client) -> str:
            return str(client.get(f"/cards/{name}").json().get("status"))

        eventually(stands, "blocked", within_s=bank.patience_s + 30)
    for tenant in (None, "north-bank"):
        with client_of(bank, tenant) as client:
            assert withdraw(client, name, 1).status_code == 201


def test_an_overall_limit_is_a_tenants_own(bank: Bank, name: str) -> None:
    """A decision over tags sees no event of another tenant."""
    for tenant, limit in (("acme", 50), ("north-bank", 500)):
        with client_of(bank, tenant) as client:
            client.put(f"/customers/{name}/limit", json={"limit": limit}).raise_for_status()
            client.post("/cards", json={"id": name, "limit": 1_000, "customer": name}).raise_for_status()
    with client_of(bank, "north-bank") as north, client_of(bank, "acme") as acme:
        assert withdraw(north, name, 450).status_code == 201
        assert withdraw(acme, name, 50).status_code == 201
        assert kind(withdraw(acme, name, 1)) == (409, "overall-limit-exceeded")
        assert withdraw(north, name, 50).status_code == 201
        assert kind(withdraw(north, name, 1)) == (409, "overall-limit-exceeded")


def test_a_position_is_of_its_tenant(bank: Bank, name: str) -> None:
    """One that was given out to another, or to none, or is made up, is refused; and is not waited for."""
    tokens: dict[str | None, str] = {}
    for tenant in (None, *TENANTS):
        with client_of(bank, tenant) as client:
            client.post("/cards", json={"id": name, "limit": 10}).raise_for_status()
            tokens[tenant] = withdraw(client, name, 1).headers["mainstem-position"]
    made_up = base64.urlsafe_b64encode(json.dumps(["/north-bank/other", 1]).encode()).decode().rstrip("=")
    for tenant in (None, *TENANTS):
        with client_of(bank, tenant) as client:
            for of, position in (*tokens.items(), ("nobody", made_up)):
                for path in (f"/cards/{name}", f"/moneywithdrawals?debitCardId={name}"):
                    answer = client.get(path, headers={"Mainstem-Position": position})
                    if of == tenant:
                        assert answer.status_code == 200
                    elif (tenant, of) != ("north-bank", "nobody"):
                        assert kind(answer) == (403, "forbidden"), (tenant, of)


def test_a_cursor_is_of_its_tenant(bank: Bank, name: str) -> None:
    for tenant in (None, *TENANTS):
        with client_of(bank, tenant) as client:
            client.post("/cards", json={"id": name, "limit": 10}).raise_for_status()
            position = [withdraw(client, name, 1).headers["mainstem-position"] for _ in range(3)][-1]
            assert len(amounts(client, name, **{"Mainstem-Position": position})) == 3
            assert kind(withdraw(client, name, 100)) == (409, "insufficient-balance")
    for path in (
        f"/moneywithdrawals?debitCardId={name}&limit=1",
        f"/cards/{name}/history?limit=1",
        "/refusals?limit=1",
    ):
        for tenant, other in ((None, "acme"), ("acme", None), ("acme", "north-bank")):
            with client_of(bank, tenant) as client, client_of(bank, other) as another:
                following = client.get(path).links["next"]["url"]
                assert client.get(following).status_code == 200
                assert kind(another.get(following)) == (400, "invalid-query")


def test_a_refusal_is_of_its_tenant(bank: Bank, name: str) -> None:
    """By its number, which others can guess, nobody else sees it or tries it again."""
    with client_of(bank, "acme") as acme:
        acme.post("/cards", json={"id": name, "limit": 10}).raise_for_status()
        assert kind(withdraw(acme, name, 50)) == (409, "insufficient-balance")
        number = acme.get("/refusals", params={"debitCardId": name}).json()[0]["id"]
        acme.put(f"/cards/{name}/limit", json={"limit": 100}).raise_for_status()
        for tenant in (None, "north-bank"):
            with client_of(bank, tenant) as other:
                assert kind(other.get(f"/refusals/{number}")) == (404, "refusal-unknown")
                assert kind(other.post(f"/refusals/{number}/retry", json={})) == (404, "refusal-unknown")
        retried = acme.post(f"/refusals/{number}/retry", json={})
        assert (retried.status_code, retried.headers["location"]) == (200, f"/cards/{name}")
        assert retried.json() == {**retried.json(), "id": name, "used": 50}


@pytest.mark.parametrize("forged", ["/acme/{}", "acme/{}", "//{}", "debit_card-{}", "..", "%2Facme%2F{}"])
def test_no_id_is_another_tenants(bank: Bank, name: str, forged: str) -> None:
    """Not in a body, not in a path, not in a query."""
    with client_of(bank, "acme") as client:
        client.post("/cards", json={"id": name, "limit": 10}).raise_for_status()
        client.post("/cards", json={"id": f"{name}-2", "limit": 10}).raise_for_status()
    card = forged.format(name)
    with client_of(bank, "north-bank") as client:
        answers = [
            withdraw(client, card, 1),
            client.get(f"/cards/{card}"),
            client.get(f"/cards/{card}/history"),
            client.get("/moneywithdrawals", params={"debitCardId": card}),
            client.get("/analytics/cards", params={"debitCardId": card}),
            client.post("/cards", json={"id": card, "limit": 10}) if "/" in card else client.get(f"/cards/{card}"),
            client.post("/transfers", json={"transferId": name, "fromCard": card, "toCard": f"{name}-2", "amount": 1}),
        ]
        for answer in answers:
            assert answer.status_code in (202, 400, 404, 422) or answer.json() == [], answer.text
    with client_of(bank, "acme") as client:
        history = client.get(f"/cards/{name}/history")
        assert history.is_success, history.text
        assert [each["type"] for each in history.json()] == ["CardOpened"]


def test_the_tenant_is_no_part_of_a_body(bank: Bank, name: str) -> None:
    with client_of(bank, "acme") as client:
        body = {"id": name, "limit": 10, "tenant": "north-bank"}
        assert kind(client.post("/cards", json=body)) == (422, "invalid-input")


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([("X-Tenant", "globex")], (400, "unknown-tenant")),
        ([("X-Tenant", "")], (400, "unknown-tenant")),
        ([("X-Tenant", "ACME")], (400, "unknown-tenant")),
        ([("X-Tenant", "acme/")], (400, "unknown-tenant")),
        ([("X-Tenant", "acme,north-bank")], (400, "unknown-tenant")),
        ([("X-Tenant", "acme"), ("X-Tenant", "north-bank")], (400, "malformed-request")),
        ([("X-Tenant", "acme"), ("x-tenant", "acme")], (400, "malformed-request")),
    ],
)
def test_a_header_that_names_no_tenant(bank: Bank, headers: list[tuple[str, str]], told: tuple[int, str]) -> None:
    with bank.client() as client:
        assert kind(client.get("/cards/123456789", headers=headers)) == told
        assert kind(client.post("/cards", json={"id": "x", "limit": 1}, headers=headers)) == told


_WHOLE = ("/status", "/metrics", "/reconciliation", "/dead-letters", "/actions", "/bindings", "/rebuilds")


def test_what_concerns_all_is_not_for_one(bank: Bank) -> None:
    with client_of(bank, "acme") as client:
        for path in _WHOLE:
            assert kind(client.get(path)) == (403, "forbidden")
        change = {"reason": "for another's view"}
        assert kind(client.post("/bindings/card-balance/pause", json=change)) == (403, "forbidden")
        assert kind(client.post("/rebuilds/card_balance", json={})) == (403, "forbidden")
        assert client.get("/health/ready").json()["troubles"] == {}


def test_without_tenants_the_header_is_refused(tmp_path: Path) -> None:
    """Rather than answered as if it were not there: who sends it means another's data."""
    with bank_process(tmp_path / "data") as bank, bank.client() as client:
        assert client.get("/cards/123456789", headers={"X-Tenant": "acme"}).json()["type"].endswith(":unknown-tenant")
        document = client.get("/openapi/openapi.json").text
        assert "X-Tenant" not in document


def test_with_tenants_the_header_is_documented(tmp_path: Path) -> None:
    with bank_process(tmp_path / "data", tenants="acme") as bank, bank.client() as client:
        paths = client.get("/openapi/openapi.json").json()["paths"]
        having = {
            f"{method} {path}"
            for path, item in paths.items()
            for method, operation in item.items()
            if "X-Tenant" in [each["name"] for each in operation.get("parameters", [])]
        }
        assert "post /cards" in having
        assert "get /processes" in having
        assert not having & {
            "get /status",
            "get /metrics",
            "get /health/live",
            "get /bindings",
            "post /rebuilds/{view}",
        }


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    """A bank of two tenants that asks for tokens, each with a card 1."""
    folder: Path = tmp_path_factory.mktemp("tenants") / "data"
    with bank_process(folder, tenants=",".join(TENANTS), auth_key=SECRET) as process:
        with process.client() as client:
            for tenant in (None, *TENANTS):
                shown = bearer(token(aud=None, tenant=tenant))
                client.post("/cards", json={"id": "1", "limit": 10}, headers=shown).raise_for_status()
        yield process
        assert "fault in the program" not in process.text()


def shown(tenant: Any, **claims: Any) -> dict[str, str]:
    return bearer(token(aud=None, tenant=tenant, **claims))


@pytest.mark.parametrize("tenant", [None, *TENANTS])
def test_the_token_says_which_tenant(secured: BankProcess, tenant: str | None) -> None:
    """With or without the header, which may say the same and nothing else."""
    with secured.client() as client:
        for named in (None, *TENANTS, "globex", ""):
            headers = shown(tenant) | ({} if named is None else {"X-Tenant": named})
            answers = [
                withdraw(client, "1", 0.01, **headers),
                client.get("/cards/1", headers=headers),
                client.get("/refusals", headers=headers),
            ]
            for answer in answers:
                if named in (None, tenant):
                    assert answer.is_success, answer.text
                else:
                    assert kind(answer) == (403, "forbidden"), answer.text
                    assert answer.json()["detail"] == "your token is not of this tenant"


def test_a_token_of_a_tenant_that_is_not_served(secured: BankProcess) -> None:
    with secured.client() as client:
        for tenant in ("globex", "", "/acme", "acme/1", "../acme"):
            answer = client.get("/cards/1", headers=shown(tenant))
            assert kind(answer) == (403, "forbidden"), tenant
        for wrong in (1, ["acme"], {"acme": 1}, True):
            assert kind(client.get("/cards/1", headers=shown(wrong))) == (401, "invalid-token"), wrong


def test_what_belongs_to_a_customer_belongs_in_their_tenant(secured: BankProcess) -> None:
    """A customer of one bank, with the card 1 of theirs, does nothing to the card 1 of another."""
    with secured.client() as client:
        mine = shown("acme", scope="customer", sub="carla", cards=["1"])
        before = client.get("/cards/1", headers=shown("north-bank")).json()
        answer = withdraw(client, "1", 1, **mine)
        assert answer.status_code == 201
        position = {"Mainstem-Position": answer.headers["mainstem-position"]}
        assert client.get("/cards/1", headers=mine | position).status_code == 200
        for tenant in (None, "north-bank"):
            theirs = shown(tenant, scope="customer", sub="carla", cards=["1"])
            assert kind(client.get("/cards/1", headers=theirs | position)) == (403, "forbidden")
        assert client.get("/cards/1", headers=shown("north-bank")).json() == before


def test_an_operator_of_a_tenant_sees_that_tenant(secured: BankProcess) -> None:
    with secured.client() as client:
        theirs = shown("acme", scope="operator")
        assert client.get("/processes", headers=theirs).json() == []
        for path in _WHOLE:
            assert kind(client.get(path, headers=theirs)) == (403, "forbidden")
            assert client.get(path, headers=shown(None, scope="operator")).status_code == 200


def test_without_tenants_a_claim_means_nothing(tmp_path: Path) -> None:
    """As before: identity providers put claims of that name into tokens for reasons of their own."""
    with bank_process(tmp_path / "data", auth_key=SECRET) as bank, bank.client() as client:
        for tenant in ("acme", 1, ["x"]):
            assert client.get("/cards/123456789", headers=shown(tenant)).status_code == 200
        assert kind(client.get("/cards/123456789", headers=shown("acme") | {"X-Tenant": "acme"}))[0] == 400
