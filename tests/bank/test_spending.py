"""Daily spending: the days of a card and the spenders of a day, over HTTP, by their indexes."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bank.card import MoneyRepaid, MoneyWithdrawn, OpenCard, Withdraw
from bank.spending import DAILY_SPENDING, DAY_MS, SPENDING, DailySpending
from mainstem import Event, Recorded
from mainstem.assembly import Embedded
from mainstem.testing import FakeClock
from mainstem.view.apply import working
from mainstem.view.sqlite import SqliteViews
from tests.serving import Client, pages


def _recorded(version: int, at_ms: int, payload: Event) -> Recorded[Any]:
    return Recorded(
        stream="debit_card-anna", version=version, occurred_at_ms=at_ms, recorded_at_ms=0, actor="a", payload=payload
    )


def test_a_late_withdrawal_counts_on_its_day_and_once(tmp_path: Path) -> None:
    """Whatever else happens to the card, and however often it is sent."""
    views = SqliteViews(tmp_path / "views.db")
    views.create(DAILY_SPENDING)
    assert SPENDING.projection is not None
    messages = [
        _recorded(1, DAY_MS + 5, MoneyWithdrawn(amount=Decimal("1.50"))),
        _recorded(2, DAY_MS + 6, MoneyRepaid(amount=Decimal(1))),
        _recorded(3, DAY_MS - 1, MoneyWithdrawn(amount=Decimal("0.07"))),
        _recorded(4, 2 * DAY_MS - 1, MoneyWithdrawn(amount=Decimal(2))),
    ]
    for batch in (messages[:3], messages[1:], messages):
        work = working(SPENDING.projection, views.get, views.find_each)
        work.handle_all(batch, range(len(batch)))
        with views.transaction() as transaction:
            work.write(transaction)
    assert list(views.scan(DAILY_SPENDING)) == [
        DailySpending("anna", 0, DAY_MS, 7, 1, 3),
        DailySpending("anna", DAY_MS, 2 * DAY_MS, 350, 2, 4),
    ]
    views.close()


def test_the_days_of_a_card_and_the_spenders_of_a_day(running: Embedded, client: Client, clock: FakeClock) -> None:
    """Page by page; who has just withdrawn waits for the view."""
    begin = clock()
    for card in ("a", "b"):
        running.commands.execute(OpenCard(card=card, limit=Decimal(1_000)))
    for card, days, amount in (("a", 0, "2.00"), ("a", 1, "9.00"), ("b", 1, "10.50"), ("a", 1, "1"), ("a", 2, "0.5")):
        clock.now_ms = begin + days * DAY_MS
        running.commands.execute(Withdraw(card=card, amount=Decimal(amount)))
    answer = client.post("/moneywithdrawals", json={"debitCard": "a", "amount": 0.5})
    position = answer.headers["mainstem-position"]
    found = pages(client, "/cards/a/spending", limit=2, position=position)
    assert [(each["day"][-2:], each["withdrawals"], each["amount"]) for each in found] == [
        ("16", 2, 1.0),
        ("15", 2, 10.0),
        ("14", 1, 2.0),
    ]
    spenders = pages(client, "/spending", day="2023-11-15", limit=1)
    assert [(each["debitCardId"], each["amount"]) for each in spenders] == [("b", 10.5), ("a", 10.0)]
    for day in ("2023-02-30", "٢٠٢٣-01-01", "today"):
        assert client.get("/spending", params={"day": day}).status_code == 400
    assert running.reconcile().clean


def test_a_day_that_lacks_a_cent_is_told(running: Embedded) -> None:
    running.commands.execute(OpenCard(card="a", limit=Decimal(10)))
    running.commands.execute(Withdraw(card="a", amount=Decimal(3)))
    running.settle()
    (row,) = running.views.scan(DAILY_SPENDING)
    with running.views.transaction() as transaction:
        transaction.put(DAILY_SPENDING, [replace(row, cents=row.cents - 1)])
    (difference,) = running.reconcile().differences
    assert (difference.key, difference.figure, difference.values["daily_spending"]) == ("a", "withdrawn", "2.99")
