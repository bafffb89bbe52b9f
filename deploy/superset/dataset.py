"""A datasource's declaration as a dataset of Superset: the columns that every engine has, and metrics over them.

A metric has the name that `GET /analytics/query` has for the measure, and is made by the same code. Decimals are cents
in the column and whole units in the metric.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from deploy.superset.charts import AS_OF
from mainstem.errors import InvalidQuery
from mainstem.olap import druid, duckdb
from mainstem.olap.port import Column, Datasource
from mainstem.olap.question import Measure, Question, What, dimension_of
from mainstem.olap.question_sql import column_of, measure_sql

QUANTILES = (50, 95, 99)
_WHATS: tuple[What, ...] = ("sum", "avg", "min", "max")
COPIED_AT = "copied_at"
"""The column that the copy for DuckDB has beside those of the datasource: when it was made."""


@dataclass(frozen=True)
class Engine:
    """What a datasource is asked on, in what it differs from others. `as_of` is an SQL expression, in milliseconds.

    `uri` is SQLAlchemy's, which has no password.
    """

    name: str
    title: str
    uri: str
    quantile: Callable[[str, int, str], str]
    as_of: str


DUCKDB = Engine("duckdb", "DuckDB", "duckdb:///:memory:", duckdb.quantile_sql, f'epoch_ms(max("{COPIED_AT}"))')
"""Each connection has an empty database in memory, in which `superset_config` makes a view of the copy."""


def druid_engine(host: str, port: int) -> Engine:
    """Druid, asked at its broker, which knows a row as soon as a task has read it."""
    uri = f"druid://{host}:{port}/druid/v2/sql/"
    return Engine("druid", "Druid", uri, druid.quantile_sql, "TIMESTAMP_TO_MILLIS(MAX(CURRENT_TIMESTAMP))")


def measures(datasource: Datasource) -> Iterator[Measure]:
    """All that charts may show: the number of facts, and what there is to say of each dimension by its kind."""
    return (measure for measure in _conceivable(datasource) if _is_known(datasource, measure))


def _conceivable(datasource: Datasource) -> Iterator[Measure]:
    yield Measure()
    for dimension in datasource.dimensions:
        if dimension.kind in ("decimal", "integer"):
            yield from (Measure(what, dimension.name) for what in _WHATS)
            yield from (Measure("quantile", dimension.name, percent) for percent in QUANTILES)
        elif dimension.kind == "text":
            yield Measure("distinct", dimension.name)


def _is_known(datasource: Datasource, measure: Measure) -> bool:
    """Not all of them are of a rollup."""
    try:
        Question(datasource, (measure,))
    except InvalidQuery:
        return False
    return True


def columns_of(datasource: Datasource) -> list[dict[str, Any]]:
    """As the import format has them."""
    return [_column(column) for column in datasource.columns]


def metrics_of(datasource: Datasource, engine: Engine) -> list[dict[str, Any]]:
    """As the import format has them."""
    found = [_metric(datasource, engine, measure) for measure in measures(datasource)]
    return [*found, _named(AS_OF, "Data as of", engine.as_of, None)]


def format_of(datasource: Datasource, metric: str) -> str:
    """How its figures are written, in d3's words."""
    found = {measure.name: measure for measure in measures(datasource)}.get(metric)
    return ",d" if found is None else _format(datasource, found)


def _column(column: Column) -> dict[str, Any]:
    kinds = {"text": "VARCHAR", "integer": "BIGINT", "timestamp": "TIMESTAMP"}
    is_time = column.kind == "timestamp"
    own = {"column_name": column.name, "type": kinds[column.kind], "is_dttm": is_time, "is_active": True}
    return {**own, "groupby": True, "filterable": True}


def _metric(datasource: Datasource, engine: Engine, measure: Measure) -> dict[str, Any]:
    if measure.what == "distinct":
        # Superset's parser makes of `approx_count_distinct` what Druid does not know. Druid estimates this one too.
        sql = f'count(DISTINCT "{column_of(datasource, measure.of).name}")'
    else:
        sql = measure_sql(datasource, measure, engine.quantile)
    if _is_money(datasource, measure):
        sql = f"{sql} / 100.0"
    return _named(measure.name, _label(measure), sql, _format(datasource, measure))


def _named(name: str, label: str, sql: str, form: str | None) -> dict[str, Any]:
    return {"metric_name": name, "verbose_name": label, "expression": sql, "d3format": form}


def _label(measure: Measure) -> str:
    words = {"count": "number", "avg": "average", "quantile": f"p{measure.percent}"}
    return " ".join(filter(None, (words.get(measure.what, measure.what), measure.of)))


def _is_money(datasource: Datasource, measure: Measure) -> bool:
    return measure.what not in ("count", "distinct") and dimension_of(datasource, measure.of).kind == "decimal"


def _format(datasource: Datasource, measure: Measure) -> str:
    return ",.2f" if _is_money(datasource, measure) or measure.what == "avg" else ",d"
