"""Dead letters: what listeners could not handle, why, and having it tried again, mended or dropped."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec
from nicegui import ui

from mainstem.dashboard import editing
from mainstem.dashboard.api import ApiAway, ApiError
from mainstem.dashboard.asking import answer_of, dialog_of, reason_for
from mainstem.dashboard.frame import Desk, tell
from mainstem.dashboard.lists import Content, Listing, button, rename, short
from mainstem.dashboard.watch import Followed

_PAGE = 100
_SHOWN_MAX = 20_000
_MEANINGS = {
    "Retry": "The letters are tried again, in the order of their key.",
    "Drop": "What is dropped is never handled: it stays on record with the reason, and its key flows on without it.",
}


class _Letter:
    """One letter. That by itself it can be tried again or dropped, is said of the first of its key alone."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._content: Content = {}
        self.root = ui.element("div").classes("ms-card")
        with self.root:
            self._title = ui.label().classes("ms-title")
            self._cause = ui.label().classes("ms-bad")
            self._origin = ui.label().classes("ms-note")
            with ui.element("div").classes("ms-row"):
                self._retry = button("Retry", lambda: self._act("Retry", "letter"), "Retry")
                self._retry_key = button("Retry its key", lambda: self._act("Retry", "key"), "Retry key")
                self._open = button("Show", self._opened, "Show")
                self._edit = button("Edit", self._edited, "Edit")
                self._drop = button("Drop", lambda: self._act("Drop", "letter"), "Drop", danger=True)
                self._drop_key = button("Drop its key", lambda: self._act("Drop", "key"), "Drop key", danger=True)

    def show(self, content: Content) -> None:
        """Show it."""
        if content["id"] != self._content.get("id"):
            self._rename(
                f"letter {content['id']} of {content['listener']}", f"{short(content['key'])} of {content['listener']}"
            )
        self._content = content
        self._title.set_text(f"{content['listener']}: {short(content['key'])}")
        self._cause.set_text(f"{content['reason']}: {content['cause']}")
        edited = ", edited" if content["edited"] else ""
        self._origin.set_text(f"{content['origin']}, {content['at']}{edited}")
        for made in (self._retry, self._drop):
            made.set_visibility(content["first"])

    def _rename(self, letter: str, key: str) -> None:
        for made, word in ((self._retry, "Retry"), (self._open, "Show"), (self._edit, "Edit"), (self._drop, "Drop")):
            rename(made, f"{word} {letter}")
        for made, word in ((self._retry_key, "Retry"), (self._drop_key, "Drop")):
            rename(made, f"{word} key {key}")

    async def _act(self, word: str, which: str) -> None:
        named = self._content["id" if which == "letter" else "key"]
        await _ask(self._desk, word, self._content["listener"], {which: named})

    async def _opened(self) -> None:
        listener, letter = (quote(self._content[name], safe="") for name in ("listener", "id"))
        try:
            answer = await self._desk.api.text(f"/dead-letters/{listener}/{letter}")
        except (ApiError, ApiAway) as error:
            tell(str(error), well=False)
            return
        title = f"Letter {self._content['id']} of {self._content['listener']}"
        text = msgspec.json.format(answer, indent=2)[:_SHOWN_MAX]  # each digit as it is
        with dialog_of(title) as dialog, ui.card().classes("ms-dialog"):
            ui.label(title).classes("ms-title")
            ui.label(text.replace("\\n", "\n")).classes("ms-text").props(
                'tabindex=0 role=region aria-label="Its content"'
            )
            ui.button("Close", on_click=lambda: dialog.submit(None)).props("no-caps autofocus")
        await answer_of(dialog)

    async def _edited(self) -> None:
        listener, letter = self._content["listener"], self._content["id"]
        try:
            text = await editing.editable(self._desk.api, listener, letter)
        except (ApiError, ApiAway) as error:
            tell(str(error), well=False)
            return

        async def save(value: str, reason: str) -> str | None:
            return await editing.save(self._desk.api, listener, letter, value, reason)

        if await editing.edited(f"Edit letter {letter} of {listener}", text, save):
            tell(f"Letter {letter} of {listener} has another value: retry it.")
            await self._desk.ask_anew()


async def _ask(desk: Desk, word: str, listener: str, what: Mapping[str, str]) -> None:
    named = "all keys" if not what else short(" ".join(*what.items()))
    reason = await reason_for(f"{word} {named} of {listener}", _MEANINGS[word], word)
    if reason is None:
        return
    try:
        path = f"/dead-letters/{quote(listener, safe='')}/{word.lower()}"
        answer = await desk.api.post(path, {"reason": reason, **what})
    except (ApiError, ApiAway) as error:
        tell(str(error), well=False)
        return
    text, well = _outcome(answer.content)
    tell(f"{word} of {named}: {text}", well=well)
    await desk.ask_anew()


def _outcome(actions: Sequence[Content]) -> tuple[str, bool]:
    """What has come of actions in words, and whether nothing has failed."""
    done = sum(each["count"] for each in actions if each["state"] == "done")
    waiting = sum(each["state"] == "waiting" for each in actions)
    failed = [each for each in actions if each["state"] == "failed"]
    told = [f"{done} letter{'' if done == 1 else 's'} done"] if done or not (waiting or failed) else []
    if waiting:
        told.append(f"asked for, and not yet begun for {waiting} key{'' if waiting == 1 else 's'}")
    if failed:
        told.append(str(failed[0]["told"]) if len(failed) == 1 else f"{len(failed)} keys fail: {failed[0]['told']}")
    return "; ".join(told), not failed


def _with_first(letters: Sequence[Content]) -> list[Content]:
    """Each with whether it is the `first` of its key: they come by listener, key, and the order of the key."""
    keys = [(each["listener"], each["key"]) for each in letters]
    return [{**each, "first": at == 0 or keys[at - 1] != keys[at]} for at, each in enumerate(letters)]


def build(desk: Desk) -> None:
    """The page."""
    ui.label("What a listener could not handle waits here, with all of its key behind it, in order.").classes("ms-note")
    count = ui.label().classes("ms-big").props("role=status")
    with ui.element("div").classes("ms-row") as choice:
        listener = ui.select([], label="Listener").props("outlined dense").classes("ms-select")

        async def retry_all() -> None:
            if listener.value:
                await _ask(desk, "Retry", listener.value, {})

        button("Retry all of it", retry_all, "Retry all letters of the listener")
    choice.set_visibility(False)
    listing = Listing(lambda: _Letter(desk), "No dead letters.", "Dead letters")

    def show(found: Followed) -> None:
        letters = _with_first(found.content)
        more = " or more" if len(letters) >= _PAGE else ""
        count.set_text(f"{len(letters)}{more} waiting")
        names = sorted({each["listener"] for each in letters})
        if names != listener.options:
            kept = listener.value if listener.value in names else (names[0] if names else None)
            listener.set_options(names, value=kept)
        choice.set_visibility(bool(names))
        listing.show([(f"{each['listener']} {each['id']}", each) for each in letters])

    desk.follow(f"/dead-letters?limit={_PAGE}", show)
