"""Lists that change in place: what has not changed keeps its elements, and with them the keyboard's focus."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from nicegui import ui
from nicegui.element import Element

Content = Mapping[str, Any]
_NAME_MAX = 200


class Item(Protocol):
    """An element of a list, built once and shown many times."""

    root: Element

    def show(self, content: Content) -> None:
        """Show what there is now."""


class Listing:
    """Items by their keys, in the order of the contents. `nothing` stands where there are none."""

    def __init__(self, make: Callable[[], Item], nothing: str, label: str) -> None:
        self._make = make
        self._items: dict[str, Item] = {}
        self._nothing = ui.label(nothing).classes("ms-note")
        self._place = ui.element("div").classes("ms-cards").props(f'role=list aria-label="{label}"')

    def show(self, contents: Sequence[tuple[str, Content]]) -> None:
        """Show these, each with its key."""
        wanted = {key for key, _ in contents}
        for key in [key for key in self._items if key not in wanted]:
            self._items.pop(key).root.delete()
        for index, (key, content) in enumerate(contents):
            if key not in self._items:
                with self._place:
                    item = self._items[key] = self._make()
                item.root.props("role=listitem").move(self._place, index)
            self._items[key].show(content)
        self._nothing.set_visibility(not contents)
        self._place.set_visibility(bool(contents))


class Rows:
    """A plain table. A column is a key of the rows and its heading; those of `numbers` stand to the right."""

    def __init__(self, label: str, columns: Mapping[str, str], nothing: str, numbers: Sequence[str] = ()) -> None:
        self._columns = columns
        self._numbers = numbers
        self._shown: list[Content] | None = None
        self._nothing = ui.label(nothing).classes("ms-note")
        with ui.element("table").classes("ms-table").props(f'aria-label="{label}"') as self._table:
            with ui.element("thead"), ui.element("tr"):
                for key, heading in columns.items():
                    self._cell("th", key, heading).props("scope=col")
            self._body = ui.element("tbody")

    def show(self, rows: Sequence[Content]) -> None:
        """Show these rows."""
        if self._shown == list(rows):
            return
        self._shown = list(rows)
        self._body.clear()
        with self._body:
            for row in rows:
                with ui.element("tr"):
                    for key in self._columns:
                        self._cell("td", key, str(row[key]))
        self._nothing.set_visibility(not rows)
        self._table.set_visibility(bool(rows))

    def _cell(self, tag: str, key: str, text: str) -> Element:
        with ui.element(tag) as cell:
            ui.label(text)
        return cell.classes("ms-number") if key in self._numbers else cell


def button(text: str, act: Callable[[], Any], label: str, *, danger: bool = False) -> ui.button:
    """A button whose name for readers of the screen says of what it is.

    What it begins belongs to the page, and goes on where the button's own place in a list is gone meanwhile.
    """

    async def pressed() -> None:
        with ui.context.client:
            begun = act()
            if isinstance(begun, Awaitable):
                await begun

    made = ui.button(text, on_click=pressed, color=None).props("outline no-caps")
    made.classes("ms-button ms-bad" if danger else "ms-button")
    return made.props(f'aria-label="{quoted(label)}"')


def rename(made: ui.button, label: str) -> None:
    """Give it another name for readers of the screen."""
    made.props(f'aria-label="{quoted(label)}"')


def quoted(text: str) -> str:
    """The text as it can stand between the quotes of an attribute."""
    return short(text).replace("\\", "").replace('"', "'")


def short(text: str) -> str:
    """The text in a line: keys of records may be anything, and of any length."""
    plain = "".join(each if each.isprintable() else "�" for each in text[: _NAME_MAX + 1])
    return plain if len(plain) <= _NAME_MAX else f"{plain[:_NAME_MAX]}…"


def state(label: ui.label, text: str, *, well: bool) -> None:
    """A state in words and colour."""
    label.set_text(f"{'●' if well else '▲'} {text}")
    label.classes(replace="ms-good" if well else "ms-bad")
