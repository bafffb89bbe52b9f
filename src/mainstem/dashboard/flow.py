"""The flow from the command to the analytical store: each stage with its state, rate and lag, as it is now."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from mainstem.dashboard import figures
from mainstem.dashboard.frame import Desk
from mainstem.dashboard.lists import Content, Listing, state
from mainstem.dashboard.watch import REMEMBERED_MAX, Followed

_STAGES = {
    "Command": "Decided and stored in one transaction",
    "Capture": "Row changes go to the log",
    "Listeners": "Views are kept, topics are fed",
    "Analytics": "Rows for questions of any kind",
}


class _Hop:
    """A stage of the flow."""

    def __init__(self) -> None:
        self.root = ui.element("div").classes("ms-card")
        with self.root:
            self._name = ui.label().classes("ms-title")
            self._into = ui.label().classes("ms-note")
            self._state = ui.label()
            self._figures = ui.label().classes("ms-figures")
            self._trouble = ui.label().classes("ms-warn")

    def show(self, content: Content) -> None:
        """Show how it is now."""
        self._name.set_text(content["name"])
        self._into.set_text(content["into"])
        self._into.set_visibility(bool(content["into"]))
        state(self._state, content["state"], well=content["state"] in ("running", "paused"))
        told = (content["rate"], figures.lag(content["lag"], content["lagS"]))
        self._figures.set_text(" · ".join(each for each in told if each))
        trouble = content["trouble"]
        since = f" (since {content['since']})" if content["since"] else ""
        self._trouble.set_text(f"{trouble}{since}" if trouble else "")
        self._trouble.set_visibility(bool(trouble))


class Picture:
    """The picture, by the answers of `/status`, `/bindings` and `/metrics`."""

    def __init__(self) -> None:
        self._hops: list[Content] = []
        self._bindings: Mapping[str, Content] = {}
        self._rates: Mapping[str, float | None] = {}
        self._stages: dict[str, Listing] = {}
        with ui.element("div").classes("ms-flow").props("id=flow"):
            for title, text in _STAGES.items():
                with ui.element("section").classes("ms-stage").props(f'aria-label="{title}"'):
                    ui.html(f"<h2>{title}</h2>", sanitize=False)
                    ui.label(text).classes("ms-note")
                    if title == "Command":
                        self._writer()
                    else:
                        self._stages[title] = Listing(_Hop, "Nothing here", title)

    def _writer(self) -> None:
        with ui.element("div").classes("ms-card"):
            ui.label("writer").classes("ms-title")
            self._state = ui.label()
            self._accepted = ui.label().classes("ms-figures").props("id=accepted")
            self._refused = ui.label().classes("ms-figures")
            self._batches = ui.label().classes("ms-figures")
            self._waiting = ui.label().classes("ms-figures")

    def status(self, found: Followed) -> None:
        """`/status`: the stages and their lags."""
        self._hops = found.content["hops"]
        looks = [(at, figures.handled(content["hops"])) for at, content in list(found.recent)[-10:]]
        self._rates = {
            name: figures.rate([(at, counts[name]) for at, counts in looks if name in counts]) for name in looks[-1][1]
        }
        writer = found.content["commands"]
        running = writer is not None and writer["running"]
        state(self._state, "running" if running else "not in this process", well=running or writer is None)
        self._draw()

    def bindings(self, found: Followed) -> None:
        """`/bindings`: what listeners hear and keep."""
        self._bindings = {each["listener"]: each for each in found.content}
        self._draw()

    def metrics(self, found: Followed) -> None:
        """`/metrics`: the writer's counters."""
        looks = [(at, figures.commands(content)) for at, content in list(found.recent)[-10:]]
        by_name = {
            name: figures.rate([(at, counts.get(name, 0.0)) for at, counts in looks])
            for name in ("accepted", "refused", "batches")
        }
        now = looks[-1][1]
        self._accepted.set_text(
            f"{figures.per_second(by_name['accepted'])} accepted, {now.get('accepted', 0):,.0f} in all"
        )
        self._refused.set_text(f"{figures.per_second(by_name['refused'])} refused, {now.get('refused', 0):,.0f} in all")
        self._batches.set_text(f"{figures.per_second(by_name['batches'])} transactions")
        self._waiting.set_text(f"{now.get('waiting', 0):,.0f} wait")

    def _draw(self) -> None:
        placed: dict[str, list[tuple[str, Content]]] = {title: [] for title in self._stages}
        for hop in self._hops:
            placed[self._place(hop["name"])].append((hop["name"], self._content(hop)))
        for title, listing in self._stages.items():
            listing.show(placed[title])

    def _place(self, name: str) -> str:
        if name.startswith("olap-"):
            return "Analytics"
        return "Listeners" if name in self._bindings or name.startswith("process") else "Capture"

    def _content(self, hop: Content) -> Content:
        bound = self._bindings.get(hop["name"])
        rate = figures.per_second(self._rates[hop["name"]]) if hop["name"] in self._rates else ""
        into = "" if bound is None else f"{bound['topic']} → {bound['view'] or 'topics'}"
        return {**hop, "into": into, "rate": rate}


def build(desk: Desk) -> None:
    """The page."""
    chart = (
        ui.echart(_chart()).classes("ms-chart").props('role=img aria-label="Commands a second, and the longest lag"')
    )
    picture = Picture()
    status = desk.follow("/status", picture.status, remembered=REMEMBERED_MAX)
    desk.follow("/bindings", picture.bindings)

    def metrics(found: Followed) -> None:
        picture.metrics(found)
        _draw(chart, list(found.recent), list(status.recent))

    desk.follow("/metrics", metrics, remembered=REMEMBERED_MAX)


def _chart() -> dict[str, Any]:
    return {
        "animation": False,
        "grid": {"left": 50, "right": 50, "top": 40, "bottom": 30},
        "legend": {"top": 0, "data": ["commands/s", "longest lag, s"], "textStyle": {"color": "#8b949e"}},
        "xAxis": {"type": "category", "data": [], "axisLabel": {"color": "#8b949e"}},
        "yAxis": [
            {
                "type": "value",
                "min": 0,
                "minInterval": 1,
                "axisLabel": {"color": "#8b949e"},
                "splitLine": {"lineStyle": {"color": "#8b949e55"}},
            },
            {"type": "value", "min": 0, "axisLabel": {"color": "#8b949e"}, "splitLine": {"show": False}},
        ],
        "series": [
            {"name": "commands/s", "type": "line", "showSymbol": False, "data": [], "color": "#3b82f6"},
            {
                "name": "longest lag, s",
                "type": "line",
                "showSymbol": False,
                "data": [],
                "yAxisIndex": 1,
                "color": "#d97706",
                "lineStyle": {"type": "dashed"},
            },
        ],
    }


def _draw(chart: ui.echart, metrics: Sequence[tuple[float, str]], status: Sequence[tuple[float, Any]]) -> None:
    looks = [
        (at, sum(figures.commands(text).get(name, 0.0) for name in ("accepted", "refused"))) for at, text in metrics
    ]
    speeds = figures.rates(looks)
    lags = [max((float(hop["lagS"] or 0) for hop in content["hops"]), default=0.0) for _, content in status]
    ago = [f"-{looks[-1][0] - at:.0f} s" for at, _ in looks[1:-1]] + ["now"] * (len(looks) > 1)
    chart.options["xAxis"]["data"] = ago
    chart.options["series"][0]["data"] = speeds
    chart.options["series"][1]["data"] = lags[-len(ago) :] if ago else []
    chart.update()
