"""What Superset imports: a database, a dataset, charts and a dashboard, as its own export has them.

Whatever is imported again changes what was imported before, by identities that are made of names. So nothing of it is
to be edited in Superset, which says so: it is managed from outside. A copy can be saved.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID, uuid5

import yaml

from deploy.superset.charts import AS_OF, Chart
from deploy.superset.dataset import Engine, columns_of, format_of, metrics_of
from mainstem.errors import ConfigurationError
from mainstem.olap.port import Datasource
from mainstem.olap.question_sql import column_of

VERSION = "1.0.0"
"""Of the format."""

_SPACE = UUID("5f2c9a52-6d1e-5c0b-9d57-3a0f6e1b7c44")
_PERIODS = {"second": "PT1S", "minute": "PT1M", "hour": "PT1H", "day": "P1D", "week": "P1W", "month": "P1M"}
_PLOTS = {"bars": "echarts_timeseries_bar", "lines": "echarts_timeseries_line"}
_VIEWS = {**_PLOTS, "number": "big_number_total", "table": "table"}
_ROWS_MAX = 10_000
_AXES = {",d": "SMART_NUMBER"}
"""A few things have halves between them on an axis."""

_TIME = "__time"
_HEIGHTS = {"number": 18}
_HEIGHT = 46
_REFRESH_S = 30
_STAMP = "2026-01-01T00:00:00+00:00"


class Board:
    """A dashboard of one datasource on one engine. Raises ConfigurationError where a chart names what is not there.

    `name` is of its address and of all identities: another one is another dashboard. `table` is what the engine calls
    the datasource.
    """

    def __init__(
        self, name: str, title: str, datasource: Datasource, engine: Engine, rows: Sequence[Sequence[Chart]]
    ) -> None:
        self.slug = f"{name}-{engine.name}"
        self.title = f"{title} on {engine.title}"
        self._datasource = datasource
        self._engine = engine
        self._rows = rows
        self._metrics = metrics_of(datasource, engine)
        for chart in self.charts:
            self._check(chart)

    @property
    def charts(self) -> Iterator[Chart]:
        """All of them, in order."""
        return (chart for row in self._rows for chart in row)

    def identity(self, kind: str, name: str) -> str:
        """By which Superset knows it again."""
        return str(uuid5(_SPACE, f"{self.slug}/{kind}/{name}"))

    def files(self, table: str = "") -> Mapping[str, str]:
        """The files by their paths, as YAML."""
        name = self._datasource.name
        found = {
            "metadata.yaml": {"version": VERSION, "type": "assets", "timestamp": _STAMP},
            f"databases/{self._engine.name}.yaml": self._database(),
            f"datasets/{self._engine.name}/{name}.yaml": self._dataset(table or name),
            **{f"charts/{_file_name(chart)}.yaml": self._chart(chart) for chart in self.charts},
            f"dashboards/{self.slug}.yaml": self._dashboard(),
        }
        return {path: yaml.safe_dump(content, sort_keys=False, width=120) for path, content in found.items()}

    def _check(self, chart: Chart) -> None:
        known = {metric["metric_name"] for metric in self._metrics}
        texts = {dimension.name for dimension in self._datasource.dimensions if dimension.kind == "text"}
        missing = [*(name for name in chart.metrics if name not in known), *(n for n in chart.by if n not in texts)]
        if missing:
            raise ConfigurationError(f"chart {chart.name!r}: {self._datasource.name} has no {', '.join(missing)}")

    def _database(self) -> dict[str, Any]:
        return {
            "database_name": self.title,
            "sqlalchemy_uri": self._engine.uri,
            "expose_in_sqllab": True,
            "allow_run_async": False,
            "allow_ctas": False,
            "allow_cvas": False,
            "allow_dml": False,
            "allow_file_upload": False,
            "extra": {"allows_virtual_table_explore": True},
            "is_managed_externally": True,
            "uuid": self.identity("database", self._engine.name),
            "version": VERSION,
        }

    def _dataset(self, table: str) -> dict[str, Any]:
        return {
            "table_name": table,
            "main_dttm_col": _TIME,
            "sql": None,
            "filter_select_enabled": True,
            "is_managed_externally": True,
            "uuid": self.identity("dataset", self._datasource.name),
            "metrics": self._metrics,
            "columns": columns_of(self._datasource),
            "database_uuid": self.identity("database", self._engine.name),
            "version": VERSION,
        }

    def _chart(self, chart: Chart) -> dict[str, Any]:
        params = {"viz_type": _VIEWS[chart.kind], **self._params(chart)}
        return {
            "slice_name": chart.name,
            "description": chart.text,
            "viz_type": _VIEWS[chart.kind],
            "params": params,
            "query_context": json.dumps(self._context(chart, params)),
            "is_managed_externally": True,
            "uuid": self.identity("chart", chart.name),
            "dataset_uuid": self.identity("dataset", self._datasource.name),
            "version": VERSION,
        }

    def _params(self, chart: Chart) -> dict[str, Any]:
        """What the chart's own form holds."""
        form = format_of(self._datasource, chart.metrics[0])
        common = {"adhoc_filters": [_during(chart.span)], "row_limit": chart.top or _ROWS_MAX}
        columns = self._columns(chart)
        if chart.kind == "number":
            told = (
                {"time_format": "%Y-%m-%d %H:%M:%S", "force_timestamp_formatting": True}
                if chart.metrics[0] == AS_OF
                else {"y_axis_format": form}
            )
            return {**common, **told, "metric": chart.metrics[0], "header_font_size": 0.4, "subheader_font_size": 0.15}
        if chart.kind == "table":
            order = {"timeseries_limit_metric": chart.metrics[0], "order_desc": True}
            return {**common, **order, "query_mode": "aggregate", "groupby": columns, "metrics": list(chart.metrics)}
        axis: dict[str, Any] = (
            {"x_axis": _TIME, "time_grain_sqla": _PERIODS[chart.grain], "x_axis_time_format": "smart_date"}
            if chart.grain is not None
            else {"x_axis": columns[0], "x_axis_sort": chart.metrics[0], "x_axis_sort_asc": False, "order_desc": True}
        )
        legend = {"show_legend": len(chart.metrics) > 1, "markerEnabled": True, "y_axis_format": _AXES.get(form, form)}
        return {**common, **axis, **legend, "metrics": list(chart.metrics), "groupby": []}

    def _context(self, chart: Chart, params: Mapping[str, Any]) -> dict[str, Any]:
        """The question that it asks, as Superset keeps it with a chart for those who ask by its API."""
        columns: list[Any] = self._columns(chart)
        order = [[chart.metrics[0], False]]
        if chart.grain is not None:
            period = {"columnType": "BASE_AXIS", "sqlExpression": _TIME, "label": _TIME, "expressionType": "SQL"}
            columns = [{**period, "timeGrain": _PERIODS[chart.grain]}]
            order = []
        query = {
            "columns": columns,
            "metrics": list(chart.metrics),
            "orderby": order if columns else [],
            "filters": [{"col": _TIME, "op": "TEMPORAL_RANGE", "val": chart.span}],
            "row_limit": chart.top or _ROWS_MAX,
            "extras": {"having": "", "where": ""},
        }
        own = {"queries": [query], "form_data": params, "result_format": "json", "result_type": "full"}
        return {"datasource": {"id": 0, "type": "table"}, "force": False, **own}

    def _columns(self, chart: Chart) -> list[str]:
        return [column_of(self._datasource, name).name for name in chart.by]

    def _dashboard(self) -> dict[str, Any]:
        return {
            "dashboard_title": self.title,
            "slug": self.slug,
            "uuid": self.identity("dashboard", ""),
            "position": self._positions(),
            "metadata": {"refresh_frequency": _REFRESH_S, "cross_filters_enabled": True},
            "published": True,
            "is_managed_externally": True,
            "version": VERSION,
        }

    def _positions(self) -> dict[str, Any]:
        """The tree of the dashboard's parts. A chart's number is one of its own until it is imported."""
        rows = {f"ROW-{number}": row for number, row in enumerate(self._rows)}
        numbers = {chart.name: number for number, chart in enumerate(self.charts, 1)}
        return {
            "DASHBOARD_VERSION_KEY": "v2",
            "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
            "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": self.title}},
            "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": list(rows), "parents": ["ROOT_ID"]},
            **{name: _row(name, [_place(chart) for chart in row]) for name, row in rows.items()},
            **{_place(c): self._placed(c, numbers[c.name], name) for name, row in rows.items() for c in row},
        }

    def _placed(self, chart: Chart, number: int, row: str) -> dict[str, Any]:
        height = _HEIGHTS.get(chart.kind, _HEIGHT)
        named = {"chartId": number, "sliceName": chart.name, "uuid": self.identity("chart", chart.name)}
        meta = {**named, "width": chart.width, "height": height}
        parents = ["ROOT_ID", "GRID_ID", row]
        return {"type": "CHART", "id": _place(chart), "children": [], "parents": parents, "meta": meta}


def slug_of(files: Mapping[str, str]) -> str:
    """What the dashboard among them is called in its address."""
    (path,) = (path for path in files if path.startswith("dashboards/"))
    return PurePosixPath(path).stem


def _file_name(chart: Chart) -> str:
    return chart.name.lower().replace(" ", "-")


def _place(chart: Chart) -> str:
    return f"CHART-{_file_name(chart)}"


def _during(span: str) -> dict[str, Any]:
    own = {"clause": "WHERE", "expressionType": "SIMPLE", "subject": _TIME}
    return {**own, "operator": "TEMPORAL_RANGE", "comparator": span}


def _row(name: str, children: list[str]) -> dict[str, Any]:
    own = {"type": "ROW", "id": name, "children": children, "parents": ["ROOT_ID", "GRID_ID"]}
    return {**own, "meta": {"background": "BACKGROUND_TRANSPARENT"}}
