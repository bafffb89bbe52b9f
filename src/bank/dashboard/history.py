"""A card's history: a slider over its versions, how the card stood at each, and what happened there."""

import asyncio
from collections.abc import Mapping
from typing import Any

from nicegui import background_tasks, events, ui

from bank.dashboard.choosing import choose_card, moment
from mainstem.dashboard.api import ApiAway, ApiError
from mainstem.dashboard.frame import Desk
from mainstem.dashboard.lists import Rows, button
from mainstem.dashboard.watch import Followed

_PAGE = 200
_EVENTS_MAX = 10_000
"""So many events are read on the way to a version; one that is further is told by what it changed alone."""


class _History:
    """The history of the card of the page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._card = ""
        self._last = 0
        self._at = 1
        self._is: tuple[str, int, int] | None = None
        self._events: dict[int, Mapping[str, Any]] = {}
        self._unread = ""
        self._followed: Followed | None = None
        self._asking = asyncio.Lock()
        self._place = ui.element("div").classes("ms-place")
        with ui.element("div").classes("ms-card"):
            self._title = ui.label().classes("ms-big").props("role=status id=version")
            self._slider = ui.element("input").props('type=range min=1 max=2 step=1 aria-label="Version of the card"')
            self._slider.classes("ms-slider").on(
                "input", self._moved, js_handler="event => emit(Number(event.target.value))"
            )
            with ui.element("div").classes("ms-row"):
                self._buttons = [
                    button("First", lambda: self._move(1), "First version"),
                    button("Back", lambda: self._move(self._at - 1), "One version back"),
                    button("On", lambda: self._move(self._at + 1), "One version on"),
                    button("Latest", lambda: self._move(self._last), "Latest version"),
                ]
        with ui.element("div").classes("ms-cards"):
            with ui.element("section").classes("ms-card").props('aria-label="The card then"'):
                ui.html("<h2>The card then</h2>", sanitize=False)
                self._then = Rows("The card then", {"name": "Field", "value": "Value"}, "…", numbers=["value"])
            with ui.element("section").classes("ms-card").props('aria-label="What happened"'):
                ui.html("<h2>What happened</h2>", sanitize=False)
                self._what = ui.label().classes("ms-title")
                self._who = ui.label().classes("ms-note")
                columns = {"field": "Field", "before": "Before", "after": "After"}
                self._changes = Rows("What changed", columns, "Nothing of it changed.", numbers=["before", "after"])
        self._trouble = ui.label().classes("ms-error").props("role=alert")
        self._trouble.set_visibility(False)

    def choose(self, card: str) -> None:
        """Another card."""
        if self._followed is not None:
            self._desk.leave(self._followed)
        self._card, self._last, self._at, self._events = card, 0, 1, {}
        self._unread = f"/cards/{card}/history?limit={_PAGE}"
        self._title.set_text("…")
        with self._place:
            self._followed = self._desk.follow(f"/cards/{card}", self._stands)

    def _stands(self, found: Followed) -> None:
        self._reach(found.content["version"])
        if self._is is None:  # the API did not tell of the version when it was asked last
            background_tasks.create(self._show(), name="history")

    def _reach(self, last: int) -> None:
        """There are so many versions now. Who looks at the latest goes on with it."""
        if last <= self._last:
            return
        follows = self._last in (0, self._at)
        self._last = last
        self._slider.props(f"max={max(last, 2)}")
        self._move(last if follows else self._at)

    def _moved(self, event: events.GenericEventArguments) -> None:
        self._move(int(event.args))

    def _move(self, version: int) -> None:
        """To that version, or to the nearest that there is."""
        self._at = max(1, min(version, self._last))
        self._slider.props(f'value={self._at} aria-valuetext="{self._at} of {self._last}"')
        background_tasks.create(self._show(), name="history")

    async def _show(self) -> None:
        """Show the version that the slider is at; while one is asked for, the last move alone waits."""
        if self._asking.locked():
            return
        async with self._asking:
            while self._last and (self._card, self._at, self._last) != self._is:
                wanted = (self._card, self._at, self._last)
                try:
                    await self._ask(wanted[0], wanted[1])
                except (ApiError, ApiAway) as error:
                    self._trouble.set_text(str(error))
                    self._trouble.set_visibility(True)
                    self._is = None
                    return
                self._trouble.set_visibility(False)
                self._is = wanted

    async def _event(self, card: str, version: int) -> Mapping[str, Any] | None:
        """What made the version, from the pages of events, each of which is read once; None where that is too far."""
        while version not in self._events and len(self._events) < _EVENTS_MAX:
            answer = await self._desk.api.get(self._unread)
            if card != self._card:  # another was chosen meanwhile
                return None
            self._events |= {each["version"]: each for each in answer.content}
            if answer.next is None:
                break
            self._unread = answer.next
        return self._events.get(version)

    async def _ask(self, card: str, version: int) -> None:
        api, changes = self._desk.api, list[Any]()
        then = (await api.get(f"/cards/{card}", asOf=version)).content
        if version > 1:
            changes = (await api.get(f"/cards/{card}/difference?from={version - 1}&to={version}")).content["changes"]
        event = await self._event(card, version)
        at = f", {moment(event['occurredAt'])}" if event else ""
        self._title.set_text(f"Version {version} of {self._last}{at}")
        self._then.show([{"name": name, "value": _text(then[name])} for name in ("limit", "used", "balance", "status")])
        self._what.set_text(event["type"] if event else f"It is beyond the first {_EVENTS_MAX:,} events")
        self._who.set_text(f"asked for by {event['actor']}" if event else "")
        self._changes.show([{name: _text(each[name]) for name in ("field", "before", "after")} for each in changes])


def _text(value: Any) -> str:
    return "–" if value is None else str(value)


def build(desk: Desk) -> None:
    """The page."""
    chooser = ui.element("div")
    history = _History(desk)
    with chooser:
        choose_card(desk, history.choose)
