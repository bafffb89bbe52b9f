"""Layers: what each holds and hears, what its rules have counted, its rebuild, and the way down from a figure."""

from collections.abc import Awaitable, Callable

from nicegui import ui

from mainstem.dashboard.frame import Desk, keep_in_address
from mainstem.dashboard.lineage import Lineage
from mainstem.dashboard.lists import Content, Listing, button, rename
from mainstem.dashboard.views import act_on, at_work, standing, told
from mainstem.dashboard.watch import Followed

PASSED = "passed"
"""In the place of a rule's name, of what broke none."""

_OFF = "The application keeps no layers: MAINSTEM_LAYERS=true turns them on, in an application that has some."
_WHERE_MAX = 500
_GONE_MAX = 5

Ask = Callable[[str, str], Awaitable[None]]
"""Shows the rows of a layer that have these values."""


class _Table:
    """A table of a layer, and its rebuild from the layer before."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._name = ""
        self.root = ui.element("div").classes("ms-part")
        with self.root:
            self._title = ui.label().classes("ms-title")
            self._stands = ui.label().classes("ms-note")
            self._progress = ui.label().classes("ms-note ms-figures")
            with ui.element("div").classes("ms-row"):
                self._rebuild = button("Rebuild", self._rebuilt, "Rebuild")

    async def _rebuilt(self) -> None:
        await act_on(self._desk, self._name)

    def show(self, content: Content) -> None:
        """Show how it stands."""
        if self._name != content["table"]:
            self._name = content["table"]
            rename(self._rebuild, f"Rebuild {self._name}")
        self._title.set_text(self._name)
        view = content["view"]
        progress = None if view is None else view["progress"]
        self._stands.set_text("" if view is None else standing(view))
        self._progress.set_text("" if progress is None else told(progress))
        self._progress.set_visibility(progress is not None)
        self._rebuild.set_enabled(view is not None and not at_work(view))


class _Rule:
    """How many changes broke a rule, or none."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._content: Content = {}
        self.root = ui.element("div").classes("ms-row")
        with self.root:
            self._told = ui.label()
            self._rejects = button("Show rejects", self._asked, "Show rejects")

    async def _asked(self) -> None:
        await self._ask(self._content["layer"], f"rule={self._content['rule']}")

    def show(self, content: Content) -> None:
        """Show it."""
        rule = content["rule"]
        if rule != self._content.get("rule"):
            rename(self._rejects, f"Show rejects of {rule}, {content['source']}")
        self._content = content
        self._told.set_text(f"{content['source']}: {content['changes']:,} {'' if rule == PASSED else 'broke '}{rule}")
        self._told.classes(replace="ms-figures ms-good" if rule == PASSED else "ms-figures ms-bad")
        self._rejects.set_visibility(rule != PASSED)


class _Layer:
    """One layer."""

    def __init__(self, desk: Desk, ask: Ask) -> None:
        self.root = ui.element("div").classes("ms-card")
        with self.root:
            self._title = ui.label().classes("ms-title ms-caps")
            self._hears = ui.label().classes("ms-note")
            self._gone = ui.label().classes("ms-error").props("role=status")
            self._tables = Listing(lambda: _Table(desk), "No tables.", "Tables")
            with ui.element("div").classes("ms-part") as self._quality:
                ui.label("Rules of quality").classes("ms-title")
                self._rules = Listing(lambda: _Rule(ask), "", "Rules of quality")

    def show(self, content: Content) -> None:
        """Show how it stands."""
        self._title.set_text(content["layer"])
        speaks = f", speaks on {', '.join(content['speaks'])}" if content["speaks"] else ""
        self._hears.set_text(f"hears {', '.join(content['hears'])}{speaks}")
        self._gone.set_text(_told_gone(content["gone"]))
        self._gone.set_visibility(bool(content["gone"]))
        views = content["views"]
        self._tables.show([(name, {"table": name, "view": views.get(name)}) for name in content["tables"]])
        rules = [{**each, "layer": content["layer"]} for each in content["quality"]]
        self._rules.show([(f"{each['source']} {each['rule']}", each) for each in rules])
        self._quality.set_visibility(bool(rules))


def _told_gone(gone: list[Content]) -> str:
    """What was removed before it was archived; of many the first."""
    told = [f"{each['topic']}/{each['partition']}: {each['first']} to {each['last']}" for each in gone[:_GONE_MAX]]
    more = f", and {len(gone) - _GONE_MAX} more" if len(gone) > _GONE_MAX else ""
    return f"Removed by the log's retention before it was archived, by offsets: {', '.join(told)}{more}"


class _Question:
    """Of which rows is asked: a layer and the values that they have. The address keeps it."""

    def __init__(self, desk: Desk) -> None:
        self._layers: list[str] = []
        self._wanted = desk.query.get("layer")
        self._asks = self._wanted is not None
        ui.html("<h2>From a figure down to the changes</h2>", sanitize=False)
        ui.label("Rows of a layer, each with the rows of the layer before that it was made of.").classes("ms-note")
        with ui.element("form").classes("ms-row").on("submit.prevent", self._submitted).props('aria-label="Lineage"'):
            self._layer = ui.select([], label="Layer").props("outlined dense").classes("ms-select")
            self._where = ui.input(
                "Values, as grain=day,fact=withdrawal", value=desk.query.get("where", "")[:_WHERE_MAX]
            )
            self._where.props(f"outlined dense maxlength={_WHERE_MAX} autocomplete=off spellcheck=false")
            self._where.classes("ms-grow")
            ui.button("Show rows", color=None).props("type=submit outline no-caps").classes("ms-button")
        self._trouble = ui.label().classes("ms-error").props("role=alert")
        self._trouble.set_visibility(False)
        self._lineage = Lineage(desk)

    def layers(self, names: list[str]) -> None:
        """Between these can be chosen; the last is asked for first."""
        if names == self._layers:
            return
        self._layers = names
        chosen = self._wanted if self._wanted in names else names[-1]
        self._layer.set_options(names, value=chosen)
        if self._asks:
            self._asks = False
            ui.timer(0.0, self._submitted, once=True)

    async def ask(self, layer: str, where: str) -> None:
        """Ask for these rows, and show the question."""
        self._layer.set_value(layer)
        self._where.set_value(where)
        await self._submitted()
        ui.run_javascript('document.querySelector("form[aria-label=Lineage]").scrollIntoView({block: "start"})')

    async def _submitted(self) -> None:
        layer, where = self._layer.value, (self._where.value or "").strip()
        told = await self._lineage.ask(layer, where)
        self._trouble.set_text(told or "")
        self._trouble.set_visibility(told is not None)
        keep_in_address({"layer": layer, "where": where})


def build(desk: Desk) -> None:
    """The page."""
    ui.label("Each layer is made of the one before, and is rebuilt from it.").classes("ms-note")
    off = ui.label(_OFF).props("role=status")
    off.set_visibility(False)
    cards = ui.element("div")
    with ui.element("div").classes("ms-place") as below:
        question = _Question(desk)
    below.set_visibility(False)
    with cards:
        listing = Listing(lambda: _Layer(desk, question.ask), "", "Layers")
    layers: list[Content] = []
    views: dict[str, Content] = {}

    def draw() -> None:
        listing.show([(each["layer"], {**each, "views": views}) for each in layers])

    def of_layers(found: Followed) -> None:
        layers[:] = found.content
        off.set_visibility(not layers)
        below.set_visibility(bool(layers))
        draw()
        if layers:
            question.layers([each["layer"] for each in layers])

    def of_views(found: Followed) -> None:
        views.update({each["view"]: each for each in found.content})
        draw()

    desk.follow("/layers", of_layers)
    desk.follow("/rebuilds", of_views)
