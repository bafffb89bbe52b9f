"""The parts that the application stands on, its stages, and its listeners with what can be asked of them."""

from typing import Any
from urllib.parse import quote

from nicegui import ui

from mainstem.dashboard import figures
from mainstem.dashboard.asking import reason_for
from mainstem.dashboard.frame import Desk
from mainstem.dashboard.lists import Content, Listing, button, rename, state
from mainstem.dashboard.watch import Followed

_WELL = ("running", "paused")
_MEANINGS = {
    "pause": "It begins no further batch, in every process, until it is resumed.",
    "resume": "It goes on where it was.",
    "restart": "Every member of its group leaves it after its batch, and joins anew.",
}


class _Part:
    """A server or a stage: connector, supervisor and the like are told by their stage."""

    def __init__(self) -> None:
        self.root = ui.element("div").classes("ms-card")
        with self.root:
            self._name = ui.label().classes("ms-title")
            self._state = ui.label()
            self._lag = ui.label().classes("ms-note ms-figures")
            self._trouble = ui.label().classes("ms-warn")

    def show(self, content: Content) -> None:
        """Show how it is."""
        self._name.set_text(_named(content["name"]))
        state(self._state, content["state"], well=content["state"] in _WELL)
        self._lag.set_text(figures.lag(content["lag"], content["lagS"]) if "lag" in content else "")
        since = f" (since {content['since']})" if content["since"] else ""
        self._trouble.set_text(f"{content['trouble']}{since}" if content["trouble"] else "")
        self._trouble.set_visibility(bool(content["trouble"]))


def _named(name: str) -> str:
    if name.startswith("olap-"):
        return f"ingestion of {name[5:]} ({name})"
    return {"capture": "Debezium's connector (capture)", "relay": "capture (relay)"}.get(name, name)


class _Listener:
    """A listener."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._name = ""
        self.root = ui.element("div").classes("ms-card")
        with self.root:
            self._title = ui.label().classes("ms-title")
            self._state = ui.label()
            self._told = ui.label().classes("ms-note ms-figures")
            with ui.element("div").classes("ms-row"):
                self._pause = button("Pause", self._paused, "Pause")
                self._resume = button("Resume", self._resumed, "Resume")
                self._restart = button("Restart", self._restarted, "Restart")

    def show(self, content: Content) -> None:
        """Show how it is."""
        if self._name != content["listener"]:
            self._name = content["listener"]
            for made, word in ((self._pause, "Pause"), (self._resume, "Resume"), (self._restart, "Restart")):
                rename(made, f"{word} {self._name}")
        self._title.set_text(self._name)
        state(self._state, content["state"], well=content["state"] in _WELL)
        self._told.set_text(_told(content))
        self._pause.set_visibility(not content["paused"])
        self._resume.set_visibility(content["paused"])

    async def _paused(self) -> None:
        await self._wish("pause")

    async def _resumed(self) -> None:
        await self._wish("resume")

    async def _restarted(self) -> None:
        await self._wish("restart")

    async def _wish(self, what: str) -> None:
        reason = await reason_for(f"{what.capitalize()} {self._name}", _MEANINGS[what], what.capitalize())
        if reason is not None:
            asked = self._desk.api.post(f"/bindings/{quote(self._name, safe='')}/{what}", {"reason": reason})
            await self._desk.act(asked, f"{what.capitalize()} of {self._name}: asked for")


def _told(content: Content) -> str:
    members: list[Any] = content["members"]
    handled = sum(each["handled"] for each in members)
    told = [
        f"{content['topic']} → {content['view'] or 'topics'}",
        f"{len(members)} process{'es' if len(members) != 1 else ''}",
        f"{handled:,} handled",
        figures.lag(content["lag"], content["lagS"]),
    ]
    if content["parked"]:
        told.append(f"{content['parked']} keys parked")
    return ", ".join(told)


def build(desk: Desk) -> None:
    """The page."""
    ui.html("<h2>Parts</h2>", sanitize=False)
    parts = Listing(_Part, "None: all of it runs in one process.", "Parts")
    ui.html("<h2>Stages</h2>", sanitize=False)
    stages = Listing(_Part, "None.", "Stages")

    def status(found: Followed) -> None:
        parts.show([(each["name"], each) for each in found.content["parts"]])
        stages.show([(each["name"], each) for each in found.content["hops"]])

    desk.follow("/status", status)
    ui.html("<h2>Listeners</h2>", sanitize=False)
    listeners = Listing(lambda: _Listener(desk), "There are no listeners.", "Listeners")

    def bindings(found: Followed) -> None:
        listeners.show([(each["listener"], each) for each in found.content])

    desk.follow("/bindings", bindings)
