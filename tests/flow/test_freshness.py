"""Every query's answer says how far it has come, and waits for as much as is wanted."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import get

from bank.access import WHO_MAY
from bank.balance import GROUP as BALANCE_GROUP
from bank.main import application
from mainstem import Position, position_token, read_position_token
from mainstem.assembly import embedded
from mainstem.assembly.web import operations_of
from mainstem.errors import ConfigurationError
from mainstem.query.access import access_of, public
from mainstem.query.metrics import Metrics
from mainstem.query.reading import LIVE, reads
from mainstem.query.web import About, web_application
from mainstem.settings import Settings
from tests.distributed import distributed_bank
from tests.flow.test_story import Bank, eventually
from tests.process import bank_process

_RUN = uuid.uuid4().hex[:8]
CARD, OTHER, CUSTOMER, TRANSFER = (f"{what}-{_RUN}" for what in ("fresh", "other", "customer", "transfer"))
_WITHIN_S = 60.0

QUERIES: dict[str, str] = {
    "GET /moneywithdrawals": f"/moneywithdrawals?debitCardId={CARD}",
    "GET /cards/{card_id}": f"/cards/{CARD}",
    "GET /cards/{card_id}/history": f"/cards/{CARD}/history",
    "GET /cards/{card_id}/difference": f"/cards/{CARD}/difference?from=1",
    "GET /cards/{card_id}/spending": f"/cards/{CARD}/spending",
    "GET /cards/{card_id}/refusals": f"/cards/{CARD}/refusals",
    "GET /spending": "/spending?day=2026-01-31",
    "GET /payments": "/payments?text=shop",
    "GET /suspicious": "/suspicious?kind=amount",
    "GET /customers/{customer_id}": f"/customers/{CUSTOMER}",
    "GET /customers/{customer_id}/cards": f"/customers/{CUSTOMER}/cards",
    "GET /transfers/{transfer_id}": f"/transfers/{TRANSFER}",
    "GET /refusals": "/refusals",
    "GET /refusals/counts": "/refusals/counts",
    "GET /refusals/{refusal_id}": "/refusals/{refusal}",
    "GET /processes": "/processes",
    "GET /dead-letters": "/dead-letters",
    "GET /actions": "/actions",
    "GET /bindings": "/bindings",
    "GET /rebuilds": "/rebuilds",
    "GET /layers": "/layers",
    "GET /analytics/cards": "/analytics/cards",
    "GET /analytics/top-cards": "/analytics/top-cards",
    "GET /analytics/spending": "/analytics/spending",
    "GET /analytics/query": "/analytics/query?groupBy=debitCardId&grain=day",
}
"""Every route that answers a query, with one that is answered."""

UNANSWERED = {"GET /dead-letters/{listener}/{letter}", "GET /layers/{layer}/lineage"}
"""There is no dead letter here, and no layer. That the routes say what they read is seen at the start."""

OF_NOW = {"GET /refusals", "GET /refusals/counts", "GET /transfers/{transfer_id}", "GET /cards/{card_id}/history"}


@pytest.fixture(scope="module", params=["embedded", pytest.param("distributed", marks=pytest.mark.stack)])
def bank(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the bank in either form, in which something has happened and was looked at."""
    with ExitStack() as stack:
        if request.param == "embedded":
            process: Bank = stack.enter_context(bank_process(tmp_path_factory.mktemp("fresh") / "data"))
        else:
            process = stack.enter_context(distributed_bank(request.getfixturevalue("deployed")))
        client = stack.enter_context(process.client(60))
        for path, body in (
            ("/cards", {"id": CARD, "limit": 1000, "customer": CUSTOMER}),
            ("/cards", {"id": OTHER, "limit": 1000}),
            ("/moneywithdrawals", {"debitCard": CARD, "amount": 7, "merchant": "Shop"}),
            ("/transfers", {"transferId": TRANSFER, "fromCard": CARD, "toCard": OTHER, "amount": 1}),
        ):
            client.post(path, json=body).raise_for_status()
        assert client.post("/moneywithdrawals", json={"debitCard": CARD, "amount": 5000}).status_code == 409
        for name in QUERIES:
            eventually(partial(_is_told, client, name), True, _WITHIN_S)
        yield client


def _is_told(client: httpx.Client, name: str) -> bool:
    return "Mainstem-Age" in ask(client, name).headers


def ask(client: httpx.Client, name: str, **headers: str) -> httpx.Response:
    path = QUERIES[name]
    if "{refusal}" in path:
        path = path.format(refusal=client.get("/refusals").json()[0]["id"])
    return client.get(path, headers={each.replace("_", "-"): value for each, value in headers.items()})


def test_no_query_is_left_out() -> None:
    assert QUERIES.keys() | UNANSWERED == {name for name in WHO_MAY if name.startswith("GET ")}


@pytest.mark.parametrize("name", QUERIES)
def test_every_answer_says_how_far_it_has_come(bank: httpx.Client, name: str) -> None:
    before_ms = time.time() * 1000
    answer = ask(bank, name)
    assert answer.status_code == 200, answer.text
    age_s = float(answer.headers["Mainstem-Age"])
    position = read_position_token(answer.headers["Mainstem-Position"])
    assert 0 <= age_s < 20
    assert position.key == ""
    assert abs(time.time() * 1000 - age_s * 1000 - position.version) < 5_000
    assert position.version <= time.time() * 1000
    if name in OF_NOW:
        assert position.version >= int(before_ms)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_can_be_wanted_fresh(bank: httpx.Client, name: str) -> None:
    """With an age of 0 it has what was there when it was asked."""
    asked_ms = int(time.time() * 1000)
    answer = ask(bank, name, Mainstem_Max_Age="0", Prefer="wait=20")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Preference-Applied"] in ("wait=15", "wait=20")
    assert read_position_token(answer.headers["Mainstem-Position"]).version >= asked_ms


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_waits_for_the_position_of_another(bank: httpx.Client, name: str) -> None:
    seen = ask(bank, "GET /refusals").headers["Mainstem-Position"]
    answer = ask(bank, name, Mainstem_Position=seen)
    assert answer.status_code == 200, answer.text
    assert read_position_token(answer.headers["Mainstem-Position"]).version >= read_position_token(seen).version


def test_the_document_tells_of_it(bank: httpx.Client) -> None:
    document = bank.get("/openapi/openapi.json").json()
    for name in (*QUERIES, *UNANSWERED):
        operation = document["paths"][name.removeprefix("GET ")]["get"]
        asked = {each["name"] for each in operation["parameters"]}
        assert {"position", "Mainstem-Position", "Mainstem-Max-Age", "Prefer"} <= asked, name
        told = operation["responses"]["200"]["headers"]
        assert {"Mainstem-Position", "Mainstem-Age", "Preference-Applied"} <= told.keys(), name


def test_head_is_told_the_same(bank: httpx.Client) -> None:
    answer = bank.head(f"/cards/{CARD}", headers={"Mainstem-Max-Age": "60", "Prefer": "wait=1"})
    assert {"mainstem-age", "mainstem-position", "preference-applied"} <= {*answer.headers}


def test_an_error_and_a_probe_say_nothing_of_it(bank: httpx.Client) -> None:
    for path in ("/cards/nobody", "/health/live", "/status"):
        assert not {"mainstem-age", "mainstem-position"} & {*bank.get(path).headers}, path


def test_the_analytical_store_shows_ones_own_write(bank: httpx.Client) -> None:
    """Within about a second, as Druid's tasks tell; its supervisor, which hears of it every five, tells too late."""
    waits: list[float] = []
    for number in range(1, 10):
        sent = bank.post("/moneywithdrawals", json={"debitCard": OTHER, "amount": 1}).raise_for_status()
        position, began = sent.headers["Mainstem-Position"], time.monotonic()
        answer = bank.get("/analytics/cards", params={"debitCardId": OTHER, "position": position}).raise_for_status()
        waits.append(round(time.monotonic() - began, 3))
        assert answer.json()[0]["withdrawals"] == number
    assert sorted(waits)[len(waits) // 2] < 3, waits


def test_what_is_paused_grows_old_and_is_not_waited_for_in_vain(bank: httpx.Client) -> None:
    seen = bank.get(f"/cards/{CARD}").headers["Mainstem-Position"]
    why = {"reason": "to see it grow old"}
    assert "holds in" in bank.post(f"/bindings/{BALANCE_GROUP}/pause", json=why).raise_for_status().json()["told"]
    try:
        bank.post("/moneywithdrawals", json={"debitCard": CARD, "amount": 1}).raise_for_status()
        eventually(lambda: float(bank.get(f"/cards/{CARD}").headers["Mainstem-Age"]) > 4, True, _WITHIN_S)
        stood = bank.get(f"/cards/{CARD}").headers["Mainstem-Position"]
        assert read_position_token(stood).version >= read_position_token(seen).version
        late = bank.get(f"/cards/{CARD}", headers={"Mainstem-Max-Age": "1", "Prefer": "wait=0"})
        assert (late.status_code, late.json()["type"]) == (503, "urn:mainstem:problem:not-yet-there")
        bank.get(f"/cards/{CARD}", headers={"Mainstem-Position": seen}).raise_for_status()
    finally:
        bank.post(f"/bindings/{BALANCE_GROUP}/resume", json=why).raise_for_status()
    version = bank.get(f"/cards/{CARD}/history").json()[-1]["version"]
    eventually(lambda: bank.get(f"/cards/{CARD}", headers={"Mainstem-Max-Age": "0"}).status_code, 200, _WITHIN_S)
    assert bank.get(f"/cards/{CARD}").json()["version"] == version


def test_a_time_that_has_not_come_is_waited_for_no_longer_than_one_may(bank: httpx.Client) -> None:
    token = position_token(Position("", int(time.time() * 1000) + 3_600_000))
    answer = bank.get(f"/cards/{CARD}", headers={"Mainstem-Position": token, "Prefer": "wait=0"})
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("opt", "text"),
    [
        ({}, "GET /things does not say what it reads: give it opt="),
        (reads(), "GET /things does not say what it reads: give it opt="),
        (reads(LIVE, "card-ballance"), "GET /things reads 'card-ballance', which is no stage; known are "),
    ],
)
def test_a_route_that_does_not_say_what_it_reads(tmp_path: Path, opt: dict[str, Any], text: str) -> None:
    @get("/things", opt=opt)
    async def things() -> str:
        return "things"

    with embedded(application, Settings(data_dir=tmp_path)) as running, pytest.raises(ConfigurationError, match=text):
        web_application(
            about=About("Things", "1", "Things."),
            routes=[things],
            access=access_of(running.settings, {"GET /things": public()}),
            operations=operations_of(running, Metrics(lambda: ())),
            refusals={},
            body_max_bytes=1000,
        )
