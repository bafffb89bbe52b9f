"""Charts that are read in the dark and in the light."""

from collections.abc import Sequence
from typing import Any

from nicegui import ui

_SOFT = {"color": "#848d97"}
_FAINT = {"color": "#848d9755"}


class Bars:
    """Bars with a name below each; `label` says to readers of the screen what they are."""

    def __init__(self, label: str, color: str) -> None:
        self._label = label
        self._chart = ui.echart(
            {
                "animation": False,
                "grid": {"left": 60, "right": 16, "top": 16, "bottom": 40},
                "tooltip": {"trigger": "axis"},
                "xAxis": {"type": "category", "data": [], "axisLabel": _SOFT},
                "yAxis": {"type": "value", "min": 0, "axisLabel": _SOFT, "splitLine": {"lineStyle": _FAINT}},
                "series": [{"type": "bar", "data": [], "color": color, "name": label}],
            }
        )
        self._chart.classes("ms-chart").props(f'role=img aria-label="{label}"')

    def show(self, names: Sequence[str], values: Sequence[Any]) -> None:
        """Show these."""
        options: dict[str, Any] = self._chart.options
        shown = [float(value) for value in values]
        if options["xAxis"]["data"] == list(names) and options["series"][0]["data"] == shown:
            return
        options["xAxis"]["data"] = list(names)
        options["series"][0]["data"] = shown
        told = f", from {names[0]} to {names[-1]}, {max(shown):,.2f} at most" if shown else ", nothing yet"
        self._chart.props(f'aria-label="{self._label}{told}"')
        self._chart.update()
