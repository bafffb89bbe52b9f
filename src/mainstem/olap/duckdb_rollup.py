"""A batch of facts merged into the table of a rollup in DuckDB: one row for each period and values of the dimensions.

So the table is rolled up wholly after each batch, and the same facts are the same rows however they came. DuckDB reads
only the rows whose values lie within the batch's, so a batch costs little more the longer the table is.
"""

import duckdb

from mainstem.olap.columns import cents_of
from mainstem.olap.options import Rollup
from mainstem.olap.port import Column, Datasource
from mainstem.table import quoted

_MERGED = {
    "count": "live.{0} + fresh.{0}",
    "sum": "live.{0} + fresh.{0}",
    "min": "least(live.{0}, fresh.{0})",
    "max": "greatest(live.{0}, fresh.{0})",
}


def merge_facts(cursor: duckdb.DuckDBPyConnection, datasource: Datasource, rollup: Rollup, facts: object) -> None:
    """In the writer's transaction; `facts` is an Arrow table of them, with the dimensions as columns."""
    cursor.register("mainstem_facts", facts)
    try:
        cursor.execute(merge_of(datasource, rollup))
    finally:
        cursor.unregister("mainstem_facts")


def merge_of(datasource: Datasource, rollup: Rollup) -> str:
    """The statement."""
    keys = [quoted(column.dimension.name) for column in datasource.columns if not column.what]
    measures = [column for column in datasource.columns if column.what]
    names = [*keys, *(quoted(column.name) for column in measures)]
    period = f"CAST(date_trunc('{rollup.grain}', {quoted(datasource.time)}) AS TIMESTAMP) AS {quoted(datasource.time)}"
    grouped = [period if key == quoted(datasource.time) else key for key in keys]
    taken = [*grouped, *(f"{_measured(column)} AS {quoted(column.name)}" for column in measures)]
    numbers = ", ".join(str(number + 1) for number in range(len(keys)))
    merged = (f"{quoted(c.name)} = {_MERGED[c.what].format(quoted(c.name))}" for c in measures)
    return f"""
        MERGE INTO {quoted(datasource.name)} live
        USING (SELECT {", ".join(taken)} FROM mainstem_facts GROUP BY {numbers}) fresh
        ON {" AND ".join(f"live.{key} = fresh.{key}" for key in keys)}
        WHEN MATCHED THEN UPDATE SET {", ".join(merged)}
        WHEN NOT MATCHED THEN INSERT ({", ".join(names)}) VALUES ({", ".join(f"fresh.{name}" for name in names)})
    """


def _measured(column: Column) -> str:
    """Of cents where the dimension is a decimal."""
    if column.what == "count":
        return "count(*)"
    name = quoted(column.dimension.name)
    value = cents_of(name) if column.dimension.kind == "decimal" else name
    return f"CAST({column.what}({value}) AS {'HUGEINT' if column.what == 'sum' else 'BIGINT'})"
