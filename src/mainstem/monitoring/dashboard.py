"""A dashboard as Grafana reads it, made of rows of panels."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

SCHEMA_VERSION = 39
"""Of Grafana's classic dashboards; a newer Grafana brings it up to its own when it reads it."""

_WIDTH, _HEIGHT = 24, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Query(Struct, frozen=True):
    """An expression of PromQL, in which `$job` is what the dashboard has chosen, and what its lines are called."""

    expression: str
    legend: str


class Panel(Struct, frozen=True):
    """A graph over time. `unit` is one of Grafana's: ops, s, bytes, short, percentunit. `of` parts share a row."""

    title: str
    text: str
    unit: str
    queries: tuple[Query, ...]
    of: int = 3


class Row(Struct, frozen=True):
    """Panels under a title, from left to right; as many lines of them as they need."""

    title: str
    panels: tuple[Panel, ...]


def dashboard(title: str, uid: str, rows: Sequence[Row]) -> dict[str, Any]:
    """The JSON model. Its variables are the source of data, and the job by which Prometheus scrapes the application."""
    return {
        "uid": uid,
        "title": title,
        "tags": ["mainstem"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_variable_of_source(), _variable_of_job()]},
        "panels": _placed(rows),
    }


def _variable_of_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"}


def _variable_of_job() -> dict[str, Any]:
    """Jobs that serve the metrics, asked for again with every change of the time range."""
    query = {"query": "label_values(mainstem_stage_up, job)", "refId": "job"}
    own = {"name": "job", "label": "Job", "type": "query", "refresh": 2, "sort": 1}
    return {**own, "datasource": _SOURCE, "query": query}


def _placed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every panel with its place and a number of its own."""
    found: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        found.append({"id": len(found) + 1, "type": "row", "title": row.title, "gridPos": _grid(0, y, _WIDTH, 1)})
        y, x = y + 1, 0
        for panel in row.panels:
            width = _WIDTH // panel.of
            if x + width > _WIDTH:
                x, y = 0, y + _HEIGHT
            found.append(_graph(panel, len(found) + 1, _grid(x, y, width, _HEIGHT)))
            x += width
        y += _HEIGHT
    return found


def _grid(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _graph(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + n), "datasource": _SOURCE, "expr": each.expression, "legendFormat": each.legend}
        for n, each in enumerate(panel.queries)
    ]
    defaults = {"unit": panel.unit, "min": 0, "custom": {"drawStyle": "line", "fillOpacity": 10, "showPoints": "never"}}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }
