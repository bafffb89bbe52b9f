"""Every query's answer says how far it has come, and waits for as much as is wanted."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import get

from bank.access import WHO_MAY
from bank.balance import GROUP as BALANCE_GROUP
from mainstem import Position, position_token, read_position_token
from mainstem.assembly import Embedded
from mainstem.assembly.web import operations_of
from mainstem.errors import ConfigurationError
from mainstem.query.access import access_of, public
from mainstem.query.metrics import Metrics
from mainstem.query.reading import LIVE, reads
from mainstem.query.web import About, web_application
from tests.web import Web, bank_here

CARD = "fresh-1"

Bank = tuple[Embedded, Web]

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
    "GET /customers/{customer_id}": "/customers/c-1",
    "GET /customers/{customer_id}/cards": "/customers/c-1/cards",
    "GET /transfers/{transfer_id}": "/transfers/t-1",
    "GET /refusals": "/refusals",
    "GET /refusals/counts": "/refusals/counts",
    "GET /refusals/{refusal_id}": "/refusals/{refusal}",
    "GET /processes": "/processes",
    "GET /dead-letters": "/dead-letters",
    "GET /actions": "/actions",
    "GET /bindings": "/bindings",
    "GET /rebuilds": "/rebuilds",
    "GET /analytics/cards": "/analytics/cards",
    "GET /analytics/top-cards": "/analytics/top-cards",
    "GET /analytics/spending": "/analytics/spending",
}
"""Every route that answers a query, with one that is answered."""

UNANSWERED = {"GET /dead-letters/{listener}/{letter}"}
"""There is no dead letter here. That the route says what it reads is seen at the start."""

OF_NOW = {"GET /refusals", "GET /refusals/counts", "GET /transfers/{transfer_id}", "GET /cards/{card_id}/history"}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    folder: Path = tmp_path_factory.mktemp("fresh")
    with bank_here(folder) as (running, asked):
        sent = (
            ("/cards", {"id": CARD, "limit": 1000, "customer": "c-1"}),
            ("/cards", {"id": "fresh-2", "limit": 1000}),
            ("/moneywithdrawals", {"debitCard": CARD, "amount": 7, "merchant": "Shop"}),
            ("/transfers", {"transferId": "t-1", "fromCard": CARD, "toCard": "fresh-2", "amount": 1}),
        )
        for path, body in sent:
            asked.ask("POST", path, json=body).raise_for_status()
        assert asked.ask("POST", "/moneywithdrawals", json={"debitCard": CARD, "amount": 5000}).status_code == 409
        assert running.settle()
        yield running, asked


def ask(bank: Bank, name: str, **headers: str) -> httpx.Response:
    path = QUERIES[name]
    if "{refusal}" in path:
        path = path.format(refusal=bank[1].ask("GET", "/refusals").json()[0]["id"])
    return bank[1].ask("GET", path, headers={each.replace("_", "-"): value for each, value in headers.items()})


def test_no_query_is_left_out() -> None:
    assert QUERIES.keys() | UNANSWERED == {name for name in WHO_MAY if name.startswith("GET ")}


@pytest.mark.parametrize("name", QUERIES)
def test_every_answer_says_how_far_it_has_come(bank: Bank, name: str) -> None:
    before_ms = time.time() * 1000
    answer = ask(bank, name)
    assert answer.status_code == 200, answer.text
    age_s = float(answer.headers["Mainstem-Age"])
    position = read_position_token(answer.headers["Mainstem-Position"])
    assert 0 <= age_s < 10
    assert position.key == ""
    assert abs(time.time() * 1000 - age_s * 1000 - position.version) < 5_000
    assert position.version <= time.time() * 1000
    if name in OF_NOW:
        assert position.version >= int(before_ms)


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_can_be_wanted_fresh(bank: Bank, name: str) -> None:
    """With an age of 0 it has what was there when it was asked."""
    asked_ms = int(time.time() * 1000)
    answer = ask(bank, name, Mainstem_Max_Age="0", Prefer="wait=5")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Preference-Applied"] == "wait=5"
    assert read_position_token(answer.headers["Mainstem-Position"]).version >= asked_ms


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_waits_for_the_position_of_another(bank: Bank, name: str) -> None:
    seen = ask(bank, "GET /refusals").headers["Mainstem-Position"]
    answer = ask(bank, name, Mainstem_Position=seen)
    assert answer.status_code == 200, answer.text
    assert read_position_token(answer.headers["Mainstem-Position"]).version >= read_position_token(seen).version


def test_the_document_tells_of_it(bank: Bank) -> None:
    document = bank[1].ask("GET", "/openapi/openapi.json").json()
    for name in (*QUERIES, *UNANSWERED):
        operation = document["paths"][name.removeprefix("GET ")]["get"]
        asked = {each["name"] for each in operation["parameters"]}
        assert {"position", "Mainstem-Position", "Mainstem-Max-Age", "Prefer"} <= asked, name
        told = operation["responses"]["200"]["headers"]
        assert {"Mainstem-Position", "Mainstem-Age", "Preference-Applied"} <= told.keys(), name


def test_an_error_and_a_probe_say_nothing_of_it(bank: Bank) -> None:
    for path in ("/cards/nobody", "/health/live", "/status"):
        assert not {"mainstem-age", "mainstem-position"} & {*bank[1].ask("GET", path).headers}, path


def test_the_analytical_store_shows_ones_own_write(bank: Bank) -> None:
    _, asked = bank
    for number in range(1, 4):
        sent = asked.ask("POST", "/moneywithdrawals", json={"debitCard": "fresh-2", "amount": 1})
        answer = asked.ask("GET", f"/analytics/cards?debitCardId=fresh-2&position={sent.headers['Mainstem-Position']}")
        assert answer.json()[0]["withdrawals"] == number


def test_what_is_paused_grows_old_and_is_not_waited_for_in_vain(bank: Bank) -> None:
    running, asked = bank
    seen = asked.ask("GET", f"/cards/{CARD}").headers["Mainstem-Position"]
    paused = running.bindings.pause(BALANCE_GROUP, who="test", why="to see it grow old")
    try:
        assert running.bindings.seen(paused, 20) == 1
        asked.ask("POST", "/moneywithdrawals", json={"debitCard": CARD, "amount": 1}).raise_for_status()
        deadline = time.monotonic() + 20
        answer = asked.ask("GET", f"/cards/{CARD}")
        while float(answer.headers["Mainstem-Age"]) < 2.5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            answer = asked.ask("GET", f"/cards/{CARD}")
        stood = read_position_token(answer.headers["Mainstem-Position"]).version
        assert stood >= read_position_token(seen).version
        late = asked.ask("GET", f"/cards/{CARD}", headers={"Mainstem-Max-Age": "1", "Prefer": "wait=0"})
        assert (late.status_code, late.json()["type"]) == (503, "urn:mainstem:problem:not-yet-there")
        asked.ask("GET", f"/cards/{CARD}", headers={"Mainstem-Position": seen}).raise_for_status()
    finally:
        running.bindings.resume(BALANCE_GROUP, who="test", why="seen")
    now = asked.ask("GET", f"/cards/{CARD}", headers={"Mainstem-Max-Age": "0"})
    assert (now.status_code, now.json()["version"]) == (
        200,
        asked.ask("GET", f"/cards/{CARD}/history").json()[-1]["version"],
    )


def test_a_time_that_has_not_come_is_waited_for_no_longer_than_one_may(bank: Bank) -> None:
    token = position_token(Position("", int(time.time() * 1000) + 3_600_000))
    answer = bank[1].ask("GET", f"/cards/{CARD}", headers={"Mainstem-Position": token, "Prefer": "wait=0"})
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("opt", "text"),
    [
        ({}, "GET /things does not say what it reads: give it opt="),
        (reads(), "GET /things does not say what it reads: give it opt="),
        (
            reads(LIVE, "card-ballance"),
            "GET /things reads 'card-ballance', which is no stage; known are ",
        ),
    ],
)
def test_a_route_that_does_not_say_what_it_reads(bank: Bank, opt: dict[str, Any], text: str) -> None:
    running, _ = bank

    @get("/things", opt=opt)
    async def things() -> str:
        return "things"

    with pytest.raises(ConfigurationError, match=text):
        web_application(
            about=About("Things", "1", "Things."),
            routes=[things],
            access=access_of(running.settings, {"GET /things": public()}),
            operations=operations_of(running, Metrics(lambda: ())),
            refusals={},
            body_max_bytes=1000,
        )
