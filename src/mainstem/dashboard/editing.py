"""A dialog in which a dead letter is given another value: it stays open, with the reason, while that is refused."""

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import msgspec
from nicegui import ui

from mainstem.dashboard.api import Api, ApiAway, ApiError
from mainstem.dashboard.asking import answer_of, dialog_of, leave, reason_field, says_something

Save = Callable[[str, str], Awaitable[str | None]]
"""Saves a text for a reason; says why it cannot be saved, or nothing."""


class _Edit(msgspec.Struct, frozen=True):
    value: msgspec.Raw


class _Whole(msgspec.Struct, frozen=True):
    """What is read of a letter: its value digit by digit, or the text of what is no JSON; and its edits."""

    value: msgspec.Raw
    text: str | None
    edits: tuple[_Edit, ...]


async def editable(api: Api, listener: str, letter: str) -> str:
    """The value with which a letter would be retried, as people edit it: JSON as it stands, indented.

    What is no JSON is shown as it is. Raises ApiError, ApiAway.
    """
    answer = await api.text(_path(listener, letter))
    try:
        whole = msgspec.json.decode(answer, type=_Whole)
    except msgspec.DecodeError as error:
        raise ApiAway(f"{api.url} answers something that is no letter") from error
    if whole.text is not None and not whole.edits:
        return whole.text
    value = whole.edits[-1].value if whole.edits else whole.value
    return msgspec.json.format(bytes(value), indent=2).decode()


async def save(api: Api, listener: str, letter: str, text: str, reason: str) -> str | None:
    """Give the letter this value. Why that cannot be done, or nothing."""
    value = text.strip().encode()
    try:
        msgspec.json.decode(value)  # one value, and no more: what follows it would be read as a part of the request
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"The value is not JSON: {error}"
    content = {"value": msgspec.Raw(value), "reason": reason.strip()}
    try:
        (action,) = (await api.put(_path(listener, letter), content)).content
    except (ApiError, ApiAway) as error:
        return str(error)
    return f"The edit has failed: {action['told']}" if action["state"] == "failed" else None


async def edited(title: str, text: str, saved: Save) -> bool:
    """Let people write another value. Whether it was saved."""
    with dialog_of(title) as dialog, ui.card().classes("ms-dialog"):
        ui.label(title).classes("ms-title")
        ui.label("The next retry takes this value. The one that the letter came with stays on record.")
        value = ui.textarea("New value, as JSON", value=text).props("outlined autofocus spellcheck=false")
        value.classes("ms-wide ms-code")
        reason = reason_field()
        trouble = ui.label().classes("ms-error").props("role=alert")
        trouble.set_visibility(False)

        async def pressed() -> None:
            button.disable()
            told = await saved(value.value or "", reason.value)
            if told is None:
                dialog.submit(True)
                return
            trouble.set_text(told)
            trouble.set_visibility(True)
            button.set_enabled(says_something(reason.value))

        with ui.element("div").classes("ms-row"):
            button = ui.button("Save", on_click=pressed).props("no-caps")
            button.bind_enabled_from(reason, "value", says_something)
            leave(dialog)
    return await answer_of(dialog) is True


def _path(listener: str, letter: str) -> str:
    return f"/dead-letters/{quote(listener, safe='')}/{quote(letter, safe='')}"
