"""Dialogs: is that meant, and why."""

from nicegui import ui

_REASON_MAX = 200


async def confirmed(title: str, meaning: str, word: str) -> bool:
    """Whether people say yes to what is about to be done."""
    with _dialog(title) as dialog, ui.card().classes("ms-dialog"):
        ui.label(title).classes("ms-title")
        ui.label(meaning)
        with ui.element("div").classes("ms-row"):
            ui.button(word, on_click=lambda: dialog.submit(True)).props("no-caps")
            ui.button("Leave it", on_click=lambda: dialog.submit(False), color=None).props(
                "outline no-caps autofocus"
            ).classes("ms-button")
    answer = await dialog
    dialog.delete()
    return answer is True


async def reason_for(title: str, meaning: str, word: str) -> str | None:
    """Why it is to be done, for the record; None where it is not."""
    with _dialog(title) as dialog, ui.card().classes("ms-dialog"):
        ui.label(title).classes("ms-title")
        ui.label(meaning)
        reason = (
            ui.input("Reason, for the record").props(f"maxlength={_REASON_MAX} outlined autofocus").classes("w-full")
        )
        with ui.element("div").classes("ms-row"):
            ui.button(word, on_click=lambda: dialog.submit(reason.value)).props("no-caps").bind_enabled_from(
                reason, "value", lambda text: bool(text and text.strip())
            )
            ui.button("Leave it", on_click=lambda: dialog.submit(None), color=None).props("outline no-caps").classes(
                "ms-button"
            )
    answer = await dialog
    dialog.delete()
    return answer.strip() if isinstance(answer, str) and answer.strip() else None


def _dialog(title: str) -> ui.dialog:
    label = title.replace('"', "'").replace("\\", "")
    return ui.dialog().props(f'aria-label="{label}"')
