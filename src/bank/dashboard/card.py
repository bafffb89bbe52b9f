"""A card: what can be withdrawn, a form to withdraw, and the mini statement, which updates itself."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

from nicegui import ui

from bank.dashboard.choosing import choose_card, moment
from mainstem.dashboard.api import ApiAway, ApiError
from mainstem.dashboard.frame import Desk, tell
from mainstem.dashboard.lists import Rows
from mainstem.dashboard.watch import Followed

_LINES = 10
_TEXT_MAX = 140


class _Card:
    """The card of the page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._card = ""
        self._followed: list[Followed] = []
        with ui.element("div").classes("ms-card").props('role=status aria-label="Balance"'):
            self._balance = ui.label().classes("ms-big").props("id=balance")
            self._state = ui.label().classes("ms-note")

    def choose(self, card: str) -> None:
        """Another card."""
        for each in self._followed:
            self._desk.leave(each)
        self._card = card
        self._balance.set_text("…")
        self._state.set_text("")
        self.rows.show([])
        with self.place:
            self._followed = [
                self._desk.follow(f"/cards/{card}", self._shown),
                self._desk.follow(f"/moneywithdrawals?debitCardId={card}&limit={_LINES}", self._lines),
            ]

    def statement(self) -> None:
        """Build the statement."""
        self.place = ui.element("div").classes("ms-place")
        self.rows = Rows(
            "Mini statement", {"at": "When", "amount": "Amount"}, "No withdrawals yet.", numbers=["amount"]
        )

    def _shown(self, found: Followed) -> None:
        card = found.content
        self._balance.set_text(f"{card['balance']:,.2f} can be withdrawn")
        self._state.set_text(
            f"card {card['id']}, {card['status']}: limit {card['limit']:,.2f}, used {card['used']:,.2f}"
        )

    def _lines(self, found: Followed) -> None:
        self.rows.show(
            [{"at": moment(each["transactionDate"]), "amount": f"{each['amount']:,.2f}"} for each in found.content]
        )

    def form(self) -> None:
        """Build the form."""
        with ui.element("form").classes("ms-form").on("submit.prevent", self._withdraw).props('aria-label="Withdraw"'):
            self._amount = ui.input("Amount").props("outlined dense inputmode=decimal maxlength=24 autocomplete=off")
            optional = "outlined dense autocomplete=off"
            self._merchant = ui.input("Merchant (optional)").props(f"{optional} maxlength={_TEXT_MAX}")
            self._reference = ui.input("Reference (optional)").props(f"{optional} maxlength={_TEXT_MAX}")
            self._button = ui.button("Withdraw").props("type=submit no-caps")
        self._told = ui.label().classes("ms-error").props("role=alert id=withdraw-error")
        self._told.set_visibility(False)
        self._key = uuid4().hex
        self._sent: Mapping[str, Any] | None = None

    async def _withdraw(self) -> None:
        """The same content again, after no answer came, has the same key: it is withdrawn once."""
        amount = _amount(self._amount.value)
        if amount is None:
            self._fault("Amount: a number, as 12.50")
            return
        content: dict[str, Any] = {"debitCard": self._card, "amount": amount}
        content |= {
            name: field.value.strip()
            for name, field in (("merchant", self._merchant), ("reference", self._reference))
            if field.value and field.value.strip()
        }
        if content != self._sent:
            self._key, self._sent = uuid4().hex, content
        self._button.disable()
        try:
            answer = await self._desk.api.post("/moneywithdrawals", content, key=self._key)
        except ApiAway as error:
            self._fault(f"{error}. Press again: it is withdrawn once at most.")
        except ApiError as error:
            self._sent = None
            self._fault(str(error))
        else:
            self._sent = None
            self._done(answer.content)
        finally:
            self._button.enable()

    def _done(self, card: Mapping[str, Any]) -> None:
        self._told.set_visibility(False)
        for field in (self._amount, self._merchant, self._reference):
            field.set_value("")
        tell(f"Withdrawn. {card['balance']:,.2f} are left on card {card['id']}.")

    def _fault(self, text: str) -> None:
        self._told.set_text(text)
        self._told.set_visibility(True)


def _amount(text: str | None) -> Decimal | None:
    try:
        found = Decimal((text or "").strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def build(desk: Desk) -> None:
    """The page."""
    chooser = ui.element("div")
    card = _Card(desk)
    ui.html("<h2>Withdraw</h2>", sanitize=False)
    card.form()
    ui.html("<h2>Mini statement</h2>", sanitize=False)
    ui.label(f"The last {_LINES} withdrawals, as the view has them; it updates itself.").classes("ms-note")
    card.statement()
    with chooser:
        choose_card(desk, card.choose)
