"""Suspicious activity: found in windows of time, over HTTP, the newest first."""

from decimal import Decimal

from bank.card import OpenCard, Withdraw
from bank.suspicious import AMOUNT_WINDOW
from mainstem.assembly import Embedded
from mainstem.testing import FakeClock
from tests.serving import Client, pages


def _withdraw(running: Embedded, clock: FakeClock, card: str, amount: int, times: int, every_s: int) -> None:
    for _ in range(times):
        running.commands.execute(Withdraw(card=card, amount=Decimal(amount)))
        clock.advance(s=every_s)


def test_too_often_and_too_much(running: Embedded, client: Client, clock: FakeClock) -> None:
    clock.now_ms = 1_700_000_100_000  # a quarter of an hour begins
    for card in ("quick", "slow", "rich"):
        running.commands.execute(OpenCard(card=card, limit=Decimal(100_000)))
    _withdraw(running, clock, "quick", 1, times=5, every_s=59)
    _withdraw(running, clock, "slow", 1, times=6, every_s=60)
    clock.advance(s=3_600)
    _withdraw(running, clock, "quick", 1, times=6, every_s=1)
    _withdraw(running, clock, "rich", 2_500, times=2, every_s=1_200)
    running.settle()
    often = pages(client, "/suspicious", kind="velocity", limit=1)
    assert [(each["debitCardId"], each["withdrawals"], each["amount"]) for each in often] == [
        ("quick", 6, 6.0),
        ("quick", 5, 5.0),
    ]
    assert often[1] == {
        "debitCardId": "quick",
        "kind": "velocity",
        "begin": "2023-11-14T22:15:00.000Z",
        "end": "2023-11-14T22:19:56.000Z",
        "withdrawals": 5,
        "amount": 5.0,
    }
    much = pages(client, "/suspicious", kind="amount", limit=1)
    assert {(each["debitCardId"], each["amount"]) for each in much} == {("rich", 5000.0)}
    assert len(much) == 2
    assert pages(client, "/suspicious", kind="amount", debitCardId="quick") == []
    assert pages(client, "/suspicious", kind="amount", debitCardId="rich", limit=1) == much
    assert client.get("/suspicious", params={"kind": "colour"}).status_code == 400


def test_what_is_too_old_goes(running: Embedded, clock: FakeClock) -> None:
    running.commands.execute(OpenCard(card="a", limit=Decimal(100_000)))
    _withdraw(running, clock, "a", 1, times=2, every_s=91 * 86_400)
    running.settle()
    assert running.views.count(AMOUNT_WINDOW) == 4
