"""What every page has: the way to the other pages, the state of the API, the choice of dark or light."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from nicegui import ui
from nicegui.element import Element

from mainstem.dashboard.api import Api, ApiAway, ApiError
from mainstem.dashboard.style import STYLE
from mainstem.dashboard.tenant import Choice
from mainstem.dashboard.watch import Followed, Watch

_log = structlog.get_logger(__name__)

_REFRESH_S = 0.5
_TEXT_MAX = 200


@dataclass(frozen=True)
class Page:
    """A page of the dashboard: its path, what it is called, and what builds it from what it is given.

    One that is `of_tenant` is about one tenant, which people choose, or about what is of none.
    """

    path: str
    title: str
    build: "Callable[[Desk], Any]"
    of_tenant: bool = False


class Desk:
    """What one open page works with: the API, what it follows there, and how it tells people things.

    Everything ends with the page: what it follows is followed no longer.
    """

    def __init__(self, api: Api, watch: Watch, query: Mapping[str, str], tenant: str | None = None) -> None:
        self.api = api.within(tenant)
        self.tenant = tenant
        self.watch = watch
        self.query = query
        """What stands behind the question mark of the page's address."""

        self._followed: list[tuple[Followed, Callable[[Followed], None], Element]] = []
        self._seen: dict[int, int] = {}

    def follow(self, path: str, show: Callable[[Followed], None], *, remembered: int = 1) -> Followed:
        """Have `show` called with each new answer of the path. Where the API refuses, its words stand here."""
        trouble = ui.label().classes("ms-error").props("role=alert")
        trouble.set_visibility(False)
        followed = self.watch.follow(path, remembered, tenant=self.tenant)

        def shown(found: Followed) -> None:
            trouble.set_visibility(found.error is not None)
            if found.error is None:
                self._show(found, show, trouble)
            else:
                trouble.set_text(found.error)

        self._followed.append((followed, shown, trouble))
        return followed

    def _show(self, found: Followed, show: Callable[[Followed], None], trouble: ui.label) -> None:
        try:
            show(found)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            text = f"{self.api.url}{found.path} answers with what this page does not understand: is it the application?"
            if trouble.text != text:
                _log.exception("an answer of the API cannot be shown", path=found.path, cause=str(error)[:_TEXT_MAX])
            trouble.set_text(text)
            trouble.set_visibility(True)

    def leave(self, followed: Followed) -> None:
        """Follow it no longer."""
        self.watch.leave(followed)
        for each in [each for each in self._followed if each[0] is followed]:
            self._followed.remove(each)
            each[2].delete()
        self._seen.pop(id(followed), None)

    def refresh(self) -> None:
        """Show what is new."""
        for followed, show, _ in list(self._followed):
            if followed.version != self._seen.get(id(followed), 0):
                self._seen[id(followed)] = followed.version
                show(followed)

    def end(self) -> None:
        """The page was left."""
        for followed, _, _ in self._followed:
            self.watch.leave(followed)
        self._followed.clear()

    async def act(self, work: Awaitable[Any], done: str) -> bool:
        """Wait for a command, say how it went, and ask anew for what is followed; whether it went well."""
        try:
            await work
        except (ApiError, ApiAway) as error:
            tell(str(error), well=False)
            return False
        tell(done)
        await self.ask_anew()
        return True

    async def ask_anew(self) -> None:
        """Ask at once for what is followed, and show it."""
        for followed, _, _ in list(self._followed):
            await self.watch.ask(followed)
        self.refresh()


def keep_in_address(values: Mapping[str, str]) -> None:
    """Have the page's address name these, beside what else it names, so that the page can be opened so again."""
    ui.run_javascript(
        "const address = new URL(location);"
        f"for (const [name, value] of Object.entries({json.dumps(values)})) address.searchParams.set(name, value);"
        "history.replaceState(null, '', address);"
    )


def tell(text: str, *, well: bool = True) -> None:
    """A note at the lower edge, which readers of the screen are told; a bad one stays until it is closed."""
    close = [{"label": "Close", "color": "white"}]
    color, timeout = ("positive", 4_000) if well else ("negative", 0)
    ui.notify(text[:_TEXT_MAX], color=color, timeout=timeout, actions=close, multi_line=len(text) > 60)


def frame(desk: Desk, page: Page, pages: Sequence[Page], choice: Choice) -> None:
    """Build the page."""
    ui.add_css(STYLE)
    ui.page_title(f"{page.title} · mainstem")
    ui.colors(primary="#1d4ed8", positive="#166534", negative="#b91c1c", warning="#92400e")
    dark = ui.dark_mode(None)
    with ui.header().classes("ms-header"):
        ui.link("Skip to the content", "#content").classes("ms-skip")
        ui.label("mainstem").classes("ms-brand")
        with ui.element("nav").props('aria-label="Pages"').classes("ms-nav"):
            for each in pages:
                link = ui.link(each.title, choice.address(each.path)).classes("ms-link")
                if each is page:
                    link.props("aria-current=page").classes("ms-here")
        _themes(dark)
    away = ui.label().classes("ms-away").props("role=alert")
    away.set_visibility(False)
    with ui.element("div").props("id=content tabindex=-1").classes("ms-main"):
        ui.html(f"<h1>{page.title}</h1>", sanitize=False)
        try:
            if page.of_tenant:
                choice.show(page.path)
            page.build(desk)
        except ApiError as error:
            ui.label(str(error)).classes("ms-error")

    def refresh() -> None:
        text = desk.watch.away
        away.set_text("" if text is None else f"{text}. What is shown may be old; it is tried again by itself.")
        away.set_visibility(text is not None)
        desk.refresh()

    ui.timer(_REFRESH_S, refresh)
    ui.context.client.on_delete(desk.end)


def _themes(dark: ui.dark_mode) -> None:
    """The system's choice first; whoever chooses otherwise does so for the browser."""
    names = {"auto": None, "light": False, "dark": True}

    async def restore() -> None:
        kept = await ui.run_javascript('localStorage.getItem("mainstem-theme")')
        if kept in names and kept != choice.value:
            choice.set_value(kept)

    def chosen() -> None:
        dark.set_value(names[choice.value])
        ui.run_javascript(f'localStorage.setItem("mainstem-theme", "{choice.value}")')

    choice = ui.select(list(names), value="auto", label="Theme", on_change=chosen).props("dense outlined dark")
    choice.classes("ms-theme")
    ui.timer(0.1, restore, once=True)
