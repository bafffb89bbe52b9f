"""Views: how each stands, and its rebuild with what it has done and has left."""

from typing import Any
from urllib.parse import quote

from nicegui import ui

from mainstem.dashboard.asking import confirmed
from mainstem.dashboard.frame import Desk
from mainstem.dashboard.lists import Content, Listing, button, rename
from mainstem.dashboard.watch import Followed

_AT_WORK = ("filling", "comparing", "swapping")
_ACTS = {
    "": ("Rebuild", "A new version is filled beside the live view, compared, and put in its place."),
    "/compare": ("Compare", "A new version is filled beside the live view and compared; the live one stays."),
    "/cancel": ("Cancel", "The rebuild ends, and what it has built is dropped."),
    "/roll-back": ("Roll back", "What was replaced is put back, once it is up to date."),
    "/forget": ("Drop replaced", "What was replaced is dropped: there is no way back then."),
}


class _View:
    """One view."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._name = ""
        self.root = ui.element("div").classes("ms-card")
        with self.root:
            self._title = ui.label().classes("ms-title")
            self._stands = ui.label().classes("ms-note")
            self._progress = ui.label().classes("ms-figures")
            self._bar = ui.linear_progress(0.0, show_value=False).props("size=10px")
            with ui.element("div").classes("ms-row"):
                self._buttons = {act: self._button(act) for act in _ACTS}

    def _button(self, act: str) -> ui.button:
        async def pressed() -> None:
            await act_on(self._desk, self._name, act)

        return button(_ACTS[act][0], pressed, _ACTS[act][0], danger=act in ("/cancel", "/forget"))

    def show(self, content: Content) -> None:
        """Show how it stands."""
        if self._name != content["view"]:
            self._name = content["view"]
            self._bar.props(f'aria-label="Progress of {self._name}"')
            for act, made in self._buttons.items():
                rename(made, f"{_ACTS[act][0]} {self._name}")
        self._title.set_text(self._name)
        self._stands.set_text(f"kept by {content['listener']}; {standing(content)}")
        progress, busy = content["progress"], at_work(content)
        self._show_progress(progress, busy=busy)
        self._buttons[""].set_enabled(not busy)
        self._buttons["/compare"].set_enabled(not busy)
        self._buttons["/cancel"].set_visibility(busy or content["unfinished"])
        self._buttons["/roll-back"].set_visibility(content["kept"] and not busy)
        self._buttons["/forget"].set_visibility(content["kept"] and not busy)

    def _show_progress(self, progress: Any, *, busy: bool) -> None:
        self._progress.set_visibility(progress is not None)
        self._bar.set_visibility(busy)
        if progress is None:
            return
        self._progress.set_text(told(progress))
        self._bar.set_value(progress["records"] / progress["of"] if progress["of"] else 0.0)


async def act_on(desk: Desk, view: str, act: str = "") -> None:
    """Rebuild a view, or do another thing that can be done with it, once people say that it is meant."""
    word, meaning = _ACTS[act]
    if await confirmed(f"{word}: {view}", meaning, word):
        path = f"/rebuilds/{quote(view, safe='')}{act}"
        await desk.act(desk.api.post(path, {}), f"{word} of {view}: begun")


def at_work(content: Content) -> bool:
    """Whether it is being rebuilt."""
    progress = content["progress"]
    return progress is not None and progress["state"] in _AT_WORK


def standing(content: Content) -> str:
    """How a view stands, in words."""
    words = ["made by other code than today's: stale" if content["stale"] else "up to date with the code"]
    if content["unfinished"]:
        words.append("a version beside it is not finished")
    if content["kept"]:
        words.append("the replaced version is kept")
    return "; ".join(words)


def told(progress: Content) -> str:
    """A rebuild's progress in words."""
    words = [f"{progress['state']}: {progress['records']:,} of {progress['of']:,} records"]
    if progress["rate"]:
        words.append(f"{float(progress['rate']):,.0f} /s")
    if progress["leftS"] is not None:
        words.append(f"{float(progress['leftS']):,.0f} s left")
    if progress["error"]:
        words.append(str(progress["error"]))
    return ", ".join(words)


def build(desk: Desk) -> None:
    """The page."""
    ui.label("A rebuild fills a new version beside the live view: queries go on meanwhile.").classes("ms-note")
    listing = Listing(lambda: _View(desk), "There are no views.", "Views")

    def show(found: Followed) -> None:
        listing.show([(each["view"], each) for each in found.content])

    desk.follow("/rebuilds", show)
