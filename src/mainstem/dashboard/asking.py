"""Dialogs: is that meant, and why. They end with the page at the latest."""

from typing import Any

from nicegui import ui

from mainstem.dashboard.lists import quoted

_REASON_MAX = 200


async def confirmed(title: str, meaning: str, word: str) -> bool:
    """Whether people say yes to what is about to be done."""
    with dialog_of(title) as dialog, ui.card().classes("ms-dialog"):
        ui.label(title).classes("ms-title")
        ui.label(meaning)
        with ui.element("div").classes("ms-row"):
            ui.button(word, on_click=lambda: dialog.submit(True)).props("no-caps")
            leave(dialog).props("autofocus")
    return await answer_of(dialog) is True


async def reason_for(title: str, meaning: str, word: str) -> str | None:
    """Why it is to be done, for the record; None where it is not."""
    with dialog_of(title) as dialog, ui.card().classes("ms-dialog"):
        ui.label(title).classes("ms-title")
        ui.label(meaning)
        reason = reason_field().props("autofocus")
        with ui.element("div").classes("ms-row"):
            made = ui.button(word, on_click=lambda: dialog.submit(reason.value)).props("no-caps")
            made.bind_enabled_from(reason, "value", says_something)
            leave(dialog)
    answer = await answer_of(dialog)
    return answer.strip() if isinstance(answer, str) and says_something(answer) else None


def dialog_of(title: str) -> ui.dialog:
    """A dialog that readers of the screen know by its title."""
    return ui.dialog().props(f'aria-label="{quoted(title)}"')


async def answer_of(dialog: ui.dialog) -> Any:
    """Open it, and wait for what it is closed with: None where nobody answers, or the page is left meanwhile."""
    answer = await dialog
    if not dialog.is_deleted:
        dialog.delete()
    return answer


def reason_field() -> ui.input:
    """Where the reason is written."""
    return ui.input("Reason, for the record").props(f"maxlength={_REASON_MAX} outlined").classes("ms-wide")


def says_something(text: str | None) -> bool:
    """Whether a text is a reason."""
    return bool(text and text.strip())


def leave(dialog: ui.dialog) -> ui.button:
    """The way out without doing anything."""
    made = ui.button("Leave it", on_click=lambda: dialog.submit(None), color=None)
    return made.props("outline no-caps").classes("ms-button")
