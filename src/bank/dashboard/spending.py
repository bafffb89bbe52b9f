"""Charts of spending: a card's days from its view, its hours from the analytical store, the highest cards."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

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
        ui.label(
            f"At most {_DAYS} days (UTC), up to the last withdrawal; below, the days on which there was one."
        ).classes("ms-note")
        self._place = ui.element("div").classes("ms-place")
        self._days = Bars("Amount withdrawn on each day", "#2563eb")
        columns = {"day": "Day (UTC)", "withdrawals": "Withdrawals", "amount": "Amount"}
        self._rows = Rows("Spending by day", columns, "Nothing was withdrawn yet.", numbers=["withdrawals", "amount"])
        ui.html("<h2>By hour, as the analytical store has it</h2>", sanitize=False)
        ui.label(f"At most {_HOURS} hours (UTC), up to the last withdrawal.").classes("ms-note")
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
        whole = periods({each["day"]: each["amount"] for each in days}, "%Y-%m-%d", timedelta(days=1), _DAYS)
        self._days.show(list(whole), list(whole.values()))
        self._rows.show(
            [
                {"day": each["day"], "withdrawals": each["withdrawals"], "amount": f"{each['amount']:,.2f}"}
                for each in days
            ]
        )

    def _by_hour(self, found: Followed) -> None:
        amounts = {each["period"]: each["amount"] for each in found.content}
        hours = periods(amounts, "%Y-%m-%dT%H:%M:%SZ", timedelta(hours=1), _HOURS)
        self._hours.show([name[5:16].replace("T", " ") for name in hours], list(hours.values()))


def periods(amounts: Mapping[str, Any], form: str, length: timedelta, most: int) -> Mapping[str, Any]:
    """The amounts of the last `most` periods up to the last that there is, the oldest first: 0 of those between.

    Bars stand for times, so one that is left out would bring days that are far from each other side by side.
    """
    begins = sorted(datetime.strptime(name, form) for name in amounts)  # noqa: DTZ007 - all in UTC
    if not begins:
        return {}
    first = max(begins[0], begins[-1] - length * (most - 1))
    number = (begins[-1] - first) // length + 1
    names = [(first + length * each).strftime(form) for each in range(number)]
    return {name: amounts.get(name, 0) for name in names}


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
