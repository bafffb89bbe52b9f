"""From a row of a layer down to the changes that made it: each row opens the rows of the layer before, as they are."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from nicegui import ui
from nicegui.element import Element

from mainstem.dashboard.api import ApiAway, ApiError
from mainstem.dashboard.frame import Desk, tell
from mainstem.dashboard.lists import Content, button

ROWS = 20
"""So many rows are shown at once, and so many that each is made of."""

_TEXT_MAX = 20_000


class Lineage:
    """The rows of a question, and below each what made it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._count = ui.label().classes("ms-note").props("role=status")
        self._place = ui.element("div").classes("ms-tree").props('role=list aria-label="Rows"')
        self._place.set_visibility(False)

    async def ask(self, layer: str, where: str) -> str | None:
        """Show the rows of a layer that have these values. What the API says against it, or nothing."""
        try:
            rows = (await self._desk.api.get(_path(layer), where=where, limit=ROWS)).content
        except (ApiError, ApiAway) as error:
            return str(error)
        told = f"{len(rows)} row{'' if len(rows) == 1 else 's'} of {layer}"
        self._count.set_text(told if len(rows) < ROWS else f"The first {told}: name values to see others")
        self._place.clear()
        self._place.set_visibility(bool(rows))
        _show(self._desk, self._place, rows)
        return None


class _Row:
    """A row with its values. What it is made of is there once it is asked for."""

    def __init__(self, desk: Desk, traced: Content) -> None:
        self._desk, self._traced = desk, traced
        self._name = f"{traced['table']} {traced['key']}"
        self._behind: str | None = None
        self._goes_on = False
        with ui.element("div").classes("ms-card").props("role=listitem"):
            ui.label(self._name).classes("ms-title")
            _values(traced)
            if not traced["madeOf"]:
                return
            with ui.element("div").classes("ms-row"):
                self._open = button("What made it", self._toggle, f"What made {self._name}")
            self._open.props("aria-expanded=false")
            self._below = ui.element("div").classes("ms-tree").props('role=list aria-label="What made it"')
            self._below.set_visibility(False)
            with ui.element("div").classes("ms-row"):
                self._more = button("More", self._on, f"More of what made {self._name}")
            self._more.set_visibility(False)

    def _toggle(self) -> None:
        opened = not self._below.visible
        if opened and self._behind is None:
            self._add(self._traced)
        self._below.set_visibility(opened)
        self._more.set_visibility(opened and self._goes_on)
        self._open.props(f"aria-expanded={'true' if opened else 'false'}").set_text(
            "Hide what made it" if opened else "What made it"
        )

    def _add(self, traced: Content) -> None:
        _show(self._desk, self._below, traced["madeOf"])
        self._behind = traced["madeOf"][-1]["key"] if traced["madeOf"] else self._behind
        self._goes_on = traced["more"] and bool(traced["madeOf"]) and _named_by(self._traced) is not None
        self._more.set_visibility(self._goes_on)

    async def _on(self) -> None:
        path, where = _path(self._traced["layer"]), _named_by(self._traced) or ""
        try:
            rows = (await self._desk.api.get(path, where=where, behind=self._behind or "", limit=ROWS)).content
        except (ApiError, ApiAway) as error:
            tell(str(error), well=False)
            return
        if not rows:
            tell("The row is not there any more: ask for it anew", well=False)
        for each in rows:
            self._add(each)


def _show(desk: Desk, place: Element, rows: Sequence[Content]) -> None:
    with place:
        for each in rows:
            _Row(desk, each)


def _values(traced: Content) -> None:
    """Short ones beside each other, those of JSON below; without what is empty, and the key, which is the title."""
    row, key = traced["row"], traced["key"]
    plain = {name: value for name, value in row.items() if not isinstance(value, dict | list)}
    told = {name: _word(name, value) for name, value in plain.items() if value not in (None, "", key)}
    fields = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(word)}</dd></div>" for name, word in told.items())
    ui.html(f'<dl class="ms-fields">{fields}</dl>', sanitize=False)
    for name in row.keys() - plain.keys():
        if row[name]:
            text = json.dumps(row[name], indent=2, ensure_ascii=False, default=str)[:_TEXT_MAX]
            ui.label(text).classes("ms-text").props(f'tabindex=0 role=region aria-label="{name}"')


def _word(name: str, value: object) -> str:
    """A value; of a column that is named as a moment, the moment."""
    if name.endswith("_ms") and isinstance(value, int):
        try:
            return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
        except (ValueError, OverflowError, OSError):
            pass
    return str(value)


def _named_by(traced: Content) -> str | None:
    """The condition that finds this row alone; none where no column of its own has its key, or a comma is in it."""
    key = traced["key"]
    names = [name for name, value in traced["row"].items() if str(value) == key]
    return f"{names[0]}={key}" if names and "," not in key else None


def _path(layer: str) -> str:
    return f"/layers/{quote(layer, safe='')}/lineage"
