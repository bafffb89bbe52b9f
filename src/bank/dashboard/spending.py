"""Charts of spending: a card's days from its view, its hours from the analytical store, the highest cards."""

from nicegui import ui

from bank.dashboard.charts import Bars
from bank.dashboard.choosing import choose_card
from mainstem.dashboard.frame import Desk
from mainstem.dashboard.lists import Rows
from mainstem.dashboard.watch import Followed

_DAYS = 31
_HOURS = 48


class _Spending:
    """What was spent with the card of the page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._followed: list[Followed] = []
        ui.html("<h2>By day, as the view has it</h2>", sanitize=False)
        self._place = ui.element("div").classes("ms-place")
        self._days = Bars("Amount withdrawn on each day", "#2563eb")
        columns = {"day": "Day (UTC)", "withdrawals": "Withdrawals", "amount": "Amount"}
        self._rows = Rows("Spending by day", columns, "Nothing was withdrawn yet.", numbers=["withdrawals", "amount"])
        ui.html("<h2>By hour, as the analytical store has it</h2>", sanitize=False)
        self._hours = Bars("Amount withdrawn in each hour", "#0d9488")

    def choose(self, card: str) -> None:
        """Another card."""
        for each in self._followed:
            self._desk.leave(each)
        with self._place:
            self._followed = [
                self._desk.follow(f"/cards/{card}/spending?limit={_DAYS}", self._by_day),
                self._desk.follow(f"/analytics/spending?grain=hour&debitCardId={card}&limit={_HOURS}", self._by_hour),
            ]

    def _by_day(self, found: Followed) -> None:
        days = found.content
        self._days.show([each["day"] for each in reversed(days)], [each["amount"] for each in reversed(days)])
        self._rows.show(
            [
                {"day": each["day"], "withdrawals": each["withdrawals"], "amount": f"{each['amount']:,.2f}"}
                for each in days
            ]
        )

    def _by_hour(self, found: Followed) -> None:
        hours = list(reversed(found.content))
        names = [each["period"][5:16].replace("T", " ") for each in hours]
        self._hours.show(names, [each["amount"] for each in hours])


def build(desk: Desk) -> None:
    """The page."""
    chooser = ui.element("div")
    spending = _Spending(desk)
    ui.html("<h2>The cards that spend most</h2>", sanitize=False)
    top = Bars("Amount withdrawn by card", "#9333ea")

    def show(found: Followed) -> None:
        top.show([each["debitCardId"] for each in found.content], [each["amount"] for each in found.content])

    desk.follow("/analytics/top-cards?limit=10", show)
    with chooser:
        choose_card(desk, spending.choose)
