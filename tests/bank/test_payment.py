"""Payments: found by the words of merchants and references, over HTTP; withdrawals without them are what they were."""

from decimal import Decimal
from typing import Any

import pytest

from bank.card import CARD, Card, MoneyWithdrawn, OpenCard, Withdraw
from bank.payment import PAYMENT
from mainstem import Refused
from mainstem.assembly import Embedded
from mainstem.eventstore.reader import EventReader
from mainstem.testing import FakeClock
from tests.serving import Client, pages


def _pay(client: Client, card: str, amount: float, **told: str) -> str:
    answer = client.post("/moneywithdrawals", json={"debitCard": card, "amount": amount, **told})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["mainstem-position"])


def test_payments_are_found_by_their_words(running: Embedded, client: Client, clock: FakeClock) -> None:
    running.commands.execute(OpenCard(card="a", limit=Decimal(100), customer="c-1"))
    running.commands.execute(OpenCard(card="b", limit=Decimal(100), customer="c-1"))
    running.commands.execute(OpenCard(card="c", limit=Decimal(100)))
    _pay(client, "a", 1, merchant="Café Müller", reference="Invoice 4711")
    clock.advance(s=1)
    _pay(client, "b", 2.5, merchant="Cafeteria")
    _pay(client, "b", 3)
    clock.advance(s=1)
    position = _pay(client, "c", 4, reference="cafe, table 7")
    found = pages(client, "/payments", text="cafe*", position=position, limit=1)
    assert [(each["debitCardId"], each["amount"]) for each in found] == [("c", 4.0), ("b", 2.5), ("a", 1.0)]
    assert {name: value for name, value in found[2].items() if name != "id"} == {
        "debitCardId": "a",
        "customer": "c-1",
        "merchant": "Café Müller",
        "reference": "Invoice 4711",
        "amount": 1.0,
        "transactionDate": "2023-11-14T22:13:20.000Z",
    }
    running.settle()
    asked: list[tuple[dict[str, str], list[str]]] = [
        ({"text": "CAFÉ*", "debitCardId": "b"}, ["b"]),
        ({"text": "cafe*", "customer": "c-1"}, ["b", "a"]),
        ({"text": "4711 caf*"}, ["a"]),
        ({"text": "card"}, []),
        ({"text": "cafe"}, ["c", "a"]),
        ({"text": "c*"}, ["c", "b", "a"]),
    ]
    for query, cards in asked:
        assert [each["debitCardId"] for each in pages(client, "/payments", **query)] == cards, query
    assert running.views.count(PAYMENT) == 3


@pytest.mark.parametrize(
    "query", [{"text": "-"}, {"text": "a b c d e f g h i j k"}, {"text": "a", "customer": "c", "debitCardId": "d"}, {}]
)
def test_what_cannot_be_sought(client: Client, query: dict[str, str]) -> None:
    assert client.get("/payments", params=query).status_code == 400


def test_a_withdrawal_without_them_is_stored_as_it_was(running: Embedded, client: Client) -> None:
    """Byte for byte, and one with them is read by its class."""
    running.commands.execute(OpenCard(card="a", limit=Decimal(100)))
    answer = client.post("/moneywithdrawals", content=b'{"debitCard":"a","amount":10.00}', headers=_JSON)
    assert answer.content == b'{"id":"a","limit":100.00,"used":10.00,"balance":90.00,"status":"active","version":2}'
    _pay(client, "a", 1, merchant="Shop")
    stored = running.events.read("debit_card-a")
    assert bytes(stored[1].payload) == b'{"type":"MoneyWithdrawn","amount":"10.00"}'
    events: list[Any] = list(EventReader(CARD.events).of_stream(stored))
    assert (events[1].merchant, events[2].merchant) == (None, "Shop")


_JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("text", ["", " \t", "x" * 141, "a\nb", "\ud800"])
@pytest.mark.parametrize("name", ["merchant", "reference"])
def test_a_text_that_is_none_is_refused(name: str, text: str) -> None:
    told: dict[str, Any] = {name: text}
    with pytest.raises(Refused, match="1 to 140"):
        CARD.decide(_OPENED, Withdraw(card="a", amount=Decimal(1), **told))


_OPENED = Card("active", Decimal(10))


@pytest.mark.parametrize("text", ["x", "x" * 140, "東京 7-Eleven", "O'Neill & Sons"])
def test_texts_of_any_script(text: str) -> None:
    (event,) = CARD.decide(_OPENED, Withdraw(card="a", amount=Decimal(1), merchant=text, reference=text))
    assert event == MoneyWithdrawn(amount=Decimal(1), merchant=text, reference=text)
