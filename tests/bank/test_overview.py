"""The customer overview: all cards of a customer together, and each of them, over HTTP."""

from decimal import Decimal

from bank.card import BlockCard, CardCommand, ChangeLimit, CloseCard, OpenCard, Repay, UnblockCard, Withdraw
from bank.customer import RemoveOverallLimit, SetOverallLimit
from mainstem.assembly import Embedded
from mainstem.testing import FakeClock
from tests.serving import Client, pages


def test_all_cards_of_a_customer(running: Embedded, client: Client, clock: FakeClock) -> None:
    """And those of nobody else; who has just withdrawn waits for the view."""
    m = Decimal
    commands: list[CardCommand] = [
        OpenCard(card="a", limit=m(100), customer="c-1"),
        OpenCard(card="b", limit=m(50), customer="c-1"),
        OpenCard(card="c", limit=m(70), customer="c-2"),
        OpenCard(card="d", limit=m(70)),
        OpenCard(card="e", limit=m(10), customer="c-1"),
        Withdraw(card="a", amount=m("10.25")),
        Withdraw(card="b", amount=m("0.5")),
        Withdraw(card="c", amount=m(70)),
        Repay(card="a", amount=m("0.25")),
        ChangeLimit(card="b", limit=m(60)),
        BlockCard(card="b", reason="lost"),
        BlockCard(card="e", reason="lost"),
        UnblockCard(card="e"),
        CloseCard(card="e"),
    ]
    for command in commands:
        running.commands.execute(command)
    running.commands.execute(SetOverallLimit(customer="c-1", limit=m(120)))
    running.settle()
    clock.advance(s=1)
    answer = client.post("/moneywithdrawals", json={"debitCard": "a", "amount": 2})
    shown = client.get("/customers/c-1", headers={"mainstem-position": answer.headers["mainstem-position"]})
    assert shown.json() == {
        "id": "c-1",
        "overallLimit": 120.0,
        "cards": 3,
        "used": 12.5,
        "withdrawn": 12.75,
        "withdrawals": 3,
        "lastActivity": "2023-11-14T22:13:21.000Z",
    }
    found = pages(client, "/customers/c-1/cards", limit=2)
    assert [(each["id"], each["used"], each["limit"], each["status"]) for each in found] == [
        ("a", 12.0, 100.0, "active"),
        ("b", 0.5, 60.0, "blocked"),
        ("e", 0.0, 10.0, "closed"),
    ]
    assert client.get("/customers/c-2").json()["overallLimit"] is None
    assert pages(client, "/customers/nobody/cards") == []
    unknown = client.get("/customers/nobody")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:mainstem:problem:customer-unknown")


def test_a_customer_with_a_limit_and_no_card(running: Embedded, client: Client) -> None:
    running.commands.execute(SetOverallLimit(customer="c-1", limit=Decimal(120)))
    running.settle()
    found = client.get("/customers/c-1").json()
    assert (found["overallLimit"], found["cards"], found["lastActivity"]) == (120.0, 0, None)


def test_a_limit_that_was_removed(running: Embedded, client: Client) -> None:
    for command in (
        OpenCard(card="a", limit=Decimal(100), customer="c-1"),
        SetOverallLimit(customer="c-1", limit=Decimal(120)),
        RemoveOverallLimit(customer="c-1"),
    ):
        running.commands.execute(command)
    running.settle()
    assert client.get("/customers/c-1").json()["overallLimit"] is None
    running.commands.execute(SetOverallLimit(customer="c-1", limit=Decimal(50)))
    running.settle()
    assert client.get("/customers/c-1").json()["overallLimit"] == 50
