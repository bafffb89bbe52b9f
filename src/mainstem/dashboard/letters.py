"""Dead letters: what listeners could not handle, why, and having it tried again."""

import json
from collections.abc import Mapping
from urllib.parse import quote

from nicegui import ui

from mainstem.dashboard.api import ApiAway, ApiError
from mainstem.dashboard.asking import reason_for
from mainstem.dashboard.frame import Desk, tell
from mainstem.dashboard.lists import Content, Listing, button, rename
from mainstem.dashboard.watch import Followed

_PAGE = 100
_SHOWN_MAX = 20_000


class _Letter:
    """One letter."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._content: Content = {}
        self.root = ui.element("div").classes("ms-card")
        with self.root:
            self._title = ui.label().classes("ms-title")
            self._cause = ui.label().classes("ms-bad")
            self._origin = ui.label().classes("ms-note")
            with ui.element("div").classes("ms-row"):
                self._retry = button("Retry", self._retried, "Retry")
                self._key = button("Retry its key", self._key_retried, "Retry key")
                self._open = button("Show", self._opened, "Show")

    def show(self, content: Content) -> None:
        """Show it."""
        name = f"{content['id']} of {content['listener']}"
        if content["id"] != self._content.get("id"):
            rename(self._retry, f"Retry letter {name}")
            rename(self._key, f"Retry key {content['key']} of {content['listener']}")
            rename(self._open, f"Show letter {name}")
        self._content = content
        self._title.set_text(f"{content['listener']}: {content['key']}")
        self._cause.set_text(f"{content['reason']}: {content['cause']}")
        edited = ", edited" if content["edited"] else ""
        self._origin.set_text(f"{content['origin']}, {content['at']}{edited}")
        waits = content["reason"] != "failed"
        self._retry.set_visibility(not waits)

    async def _retried(self) -> None:
        await _retry(self._desk, self._content["listener"], {"letter": self._content["id"]})

    async def _key_retried(self) -> None:
        await _retry(self._desk, self._content["listener"], {"key": self._content["key"]})

    async def _opened(self) -> None:
        listener, letter = (quote(self._content[name], safe="") for name in ("listener", "id"))
        try:
            answer = await self._desk.api.get(f"/dead-letters/{listener}/{letter}")
        except (ApiError, ApiAway) as error:
            tell(str(error), well=False)
            return
        title = f"Letter {self._content['id']} of {self._content['listener']}"
        text = json.dumps(answer.content, indent=2, ensure_ascii=False, default=str)[:_SHOWN_MAX]
        with ui.dialog().props(f'aria-label="{title}"') as dialog, ui.card().classes("ms-dialog"):
            ui.label(title).classes("ms-title")
            ui.label(text.replace("\\n", "\n")).classes("ms-text").props(
                'tabindex=0 role=region aria-label="Its content"'
            )
            ui.button("Close", on_click=lambda: dialog.submit(None)).props("no-caps autofocus")
        await dialog
        dialog.delete()


async def _retry(desk: Desk, listener: str, what: Mapping[str, str]) -> None:
    named = "all keys" if not what else " ".join(*what.items())
    reason = await reason_for(
        f"Retry {named} of {listener}", "The letters are tried again, in the order of their key.", "Retry"
    )
    if reason is None:
        return
    asked = desk.api.post(f"/dead-letters/{quote(listener, safe='')}/retry", {"reason": reason, **what})
    await desk.act(asked, f"Retry of {named}: asked for. What fails again stays here.")


def build(desk: Desk) -> None:
    """The page."""
    ui.label("What a listener could not handle waits here, with all of its key behind it, in order.").classes("ms-note")
    count = ui.label().classes("ms-big").props("role=status")
    with ui.element("div").classes("ms-row"):
        listener = ui.select([], label="Listener").props("outlined dense").classes("ms-select")

        async def retry_all() -> None:
            if listener.value:
                await _retry(desk, listener.value, {})

        every = button("Retry all of it", retry_all, "Retry all letters of the listener")
    listing = Listing(lambda: _Letter(desk), "No dead letters.", "Dead letters")

    def show(found: Followed) -> None:
        letters = found.content
        more = " or more" if len(letters) >= _PAGE else ""
        count.set_text(f"{len(letters)}{more} waiting")
        names = sorted({each["listener"] for each in letters})
        if names != listener.options:
            kept = listener.value if listener.value in names else (names[0] if names else None)
            listener.set_options(names, value=kept)
        listener.set_enabled(bool(names))
        every.set_enabled(bool(names))
        listing.show([(f"{each['listener']} {each['id']}", each) for each in letters])

    desk.follow(f"/dead-letters?limit={_PAGE}", show)
