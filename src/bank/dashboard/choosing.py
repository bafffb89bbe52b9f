"""Which card a page is about."""

import re
from collections.abc import Callable

from nicegui import ui

from mainstem.dashboard.frame import Desk, keep_in_address

FIRST = "123456789"
"""The card that the bank starts with."""

_CARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}")


def choose_card(desk: Desk, chosen: Callable[[str], None]) -> None:
    """A field for the card's id; `chosen` is told it now and whenever it becomes another. The address keeps it."""
    asked = desk.query.get("card", FIRST)
    with ui.element("form").classes("ms-row") as form:
        field = ui.input("Card", value=asked, validation=_fault).props(
            "outlined dense hide-bottom-space maxlength=36 autocomplete=off"
        )
        ui.button("Show card", color=None).props("type=submit outline no-caps").classes("ms-button")

    def choose() -> None:
        card = (field.value or "").strip()
        if field.validate():
            keep_in_address({"card": card})
            chosen(card)

    form.on("submit.prevent", choose)

    chosen(asked if _fault(asked) is None else FIRST)


def _fault(text: str | None) -> str | None:
    return (
        None
        if _CARD.fullmatch((text or "").strip())
        else "1 to 36 letters, digits, dots, dashes; a letter or digit first"
    )


def moment(text: str) -> str:
    """A time of the API as people read it, in UTC."""
    return f"{text[:10]} {text[11:19]} UTC"
