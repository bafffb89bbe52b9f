"""What Superset imports is made of the datasource's declaration, alike on both engines but for their own SQL."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
import yaml

from bank.analytics import BANKAPP
from deploy.superset.board import board
from deploy.superset.bundle import Board
from deploy.superset.charts import AS_OF, CHARTS, ROWS
from deploy.superset.dataset import DUCKDB, Engine, druid_engine, measures, metrics_of
from mainstem import Dimension, Rollup, RollupMeasure
from mainstem.errors import ConfigurationError

_DRUID = druid_engine("broker", 8082)
_ENGINES = pytest.mark.parametrize("engine", [DUCKDB, _DRUID], ids=lambda engine: engine.name)


def _assets(engine: Engine) -> dict[str, Any]:
    return {path: yaml.safe_load(text) for path, text in board(engine).files().items()}


@_ENGINES
def test_every_identity_is_one_of_its_own_and_stays(engine: Engine) -> None:
    assets = _assets(engine)
    identities = [asset["uuid"] for path, asset in assets.items() if path != "metadata.yaml"]
    assert len(set(identities)) == len(identities) == len(CHARTS) + 3
    assert assets == _assets(engine)


@_ENGINES
def test_all_that_is_named_is_there(engine: Engine) -> None:
    assets = _assets(engine)
    by_identity = {asset["uuid"]: path for path, asset in assets.items() if "uuid" in asset}
    (dataset,) = (asset for path, asset in assets.items() if path.startswith("datasets/"))
    assert by_identity[dataset["database_uuid"]].startswith("databases/")
    charts = {path: asset for path, asset in assets.items() if path.startswith("charts/")}
    assert {by_identity[chart["dataset_uuid"]] for chart in charts.values()} == {by_identity[dataset["uuid"]]}
    (dashboard,) = (asset for path, asset in assets.items() if path.startswith("dashboards/"))
    position = dashboard["position"]
    placed = {part["meta"]["uuid"] for part in position.values() if isinstance(part, dict) and part["type"] == "CHART"}
    assert {by_identity[identity] for identity in placed} == set(charts)
    named = {child for part in position.values() if isinstance(part, dict) for child in part.get("children", ())}
    assert named <= set(position)


def test_a_row_is_twelve_columns_wide() -> None:
    assert {sum(chart.width for chart in row) for row in ROWS} == {12}


def test_both_engines_have_the_same_but_for_their_own_sql() -> None:
    """Identities apart, which are each engine's own."""
    found = []
    for engine in (DUCKDB, _DRUID):
        assets = _assets(engine)
        for asset in assets.values():
            asset.pop("uuid", None)
            asset.pop("dataset_uuid", None)
        found.append({path: asset for path, asset in assets.items() if path.startswith("charts/")})
    assert found[0] == found[1]
    names = [[metric["metric_name"] for metric in metrics_of(BANKAPP, engine)] for engine in (DUCKDB, _DRUID)]
    assert names[0] == names[1] == [*(measure.name for measure in measures(BANKAPP)), AS_OF]


def test_metrics_are_of_the_dimensions_by_their_kinds() -> None:
    datasource = replace(BANKAPP, dimensions=(*BANKAPP.dimensions, Dimension("points", "integer")))
    found = {metric["metric_name"]: metric for metric in metrics_of(datasource, DUCKDB)}
    assert found["sum_amount"]["expression"] == 'sum("amount_cents") / 100.0'
    assert found["sum_points"]["expression"] == 'sum("points")'
    assert (found["sum_amount"]["d3format"], found["sum_points"]["d3format"]) == (",.2f", ",d")
    assert found["distinct_debitCardId"]["expression"] == 'count(DISTINCT "debitCardId")'
    assert not any("transactionDate" in name for name in found)


def test_a_rollup_has_the_metrics_that_can_be_known_from_it() -> None:
    rolled = replace(BANKAPP, rollup=Rollup("hour", (RollupMeasure("sum", "amount"),)))
    found = {metric["metric_name"]: metric["expression"] for metric in metrics_of(rolled, DUCKDB)}
    assert found["count"] == 'coalesce(sum("facts"), 0)'
    assert found["sum_amount"] == 'sum("sum_amount_cents") / 100.0'
    assert {"max_amount", "p95_amount"}.isdisjoint(found)


@pytest.mark.parametrize("change", [{"metrics": ("sum_nothing",)}, {"by": ("nothing",)}, {"by": ("amount",)}])
def test_a_chart_of_what_is_not_there_is_refused(change: dict[str, Any]) -> None:
    chart = msgspec.structs.replace(CHARTS[0], **change)
    with pytest.raises(ConfigurationError, match="bankapp has no"):
        Board("bank", "The bank", BANKAPP, DUCKDB, ((chart,),))
