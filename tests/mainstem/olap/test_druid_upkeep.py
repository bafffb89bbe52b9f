"""What is declared of a datasource's segments becomes Druid's compaction and rules, and Druid compacts by them."""

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace

import httpx
import pytest
from msgspec import structs

from deploy.configuration import Place
from mainstem.olap.asking import answered
from mainstem.olap.druid_spec import Reading, supervisor_spec
from mainstem.olap.druid_supervisor import Supervisors, differences
from mainstem.olap.druid_upkeep import upkeep_of
from mainstem.olap.druid_versions import DruidVersions, Otherwise
from mainstem.olap.options import Compaction, Partitioning, Rollup
from mainstem.olap.port import Datasource
from mainstem.olap.question import Question
from mainstem.testing.contracts.olap import SALES
from mainstem.testing.contracts.olap_options import ASKED, LATE, ROLLED, logged, rolled
from mainstem.testing.contracts.question_model import check, facts_of
from tests.druid import asked, await_rows, reading, supervised, write

_DONE_S = 240.0
_BY_SHOP = Partitioning("day", by=("shop",))


def test_nothing_declared_is_nothing() -> None:
    """Not an empty compaction."""
    assert upkeep_of(SALES) == {"compaction": None, "rules": []}


@pytest.mark.parametrize(
    ("declared", "partitions"),
    [
        (replace(SALES, compaction=Compaction(9)), {"type": "dynamic", "maxRowsPerSegment": 9}),
        (
            replace(SALES, compaction=Compaction(9), partitioning=_BY_SHOP),
            {"type": "range", "partitionDimensions": ["shop"], "targetRowsPerSegment": 9},
        ),
        (
            replace(SALES, compaction=Compaction(9), rollup=Rollup("day")),
            {"type": "hashed", "maxRowsPerSegment": 9},
        ),
    ],
)
def test_the_declaration_decides_the_partitions(declared: Datasource, partitions: dict[str, object]) -> None:
    """Ranges where dimensions are named; else what rolls rows up wholly, or what costs least."""
    assert upkeep_of(declared)["compaction"]["tuningConfig"]["partitionsSpec"] == partitions


def test_a_rollup_and_what_is_late_are_in_the_supervisor() -> None:
    """As metrics of the columns that facts have, and as a filter beside the time of the record."""
    spec = supervisor_spec(replace(ROLLED, late_after_s=60), Reading("kafka:9092"))["spec"]
    schema = spec["dataSchema"]
    assert schema["granularitySpec"] == {
        "type": "uniform",
        "segmentGranularity": "DAY",
        "queryGranularity": "HOUR",
        "rollup": True,
    }
    assert [(each["type"], each["name"], each.get("fieldName")) for each in schema["metricsSpec"]] == [
        ("count", "facts", None),
        ("longSum", "sum_price_cents", "price_cents"),
        ("longMin", "min_price_cents", "price_cents"),
        ("longMax", "max_price_cents", "price_cents"),
        ("longMax", "max_weight", "weight"),
    ]
    assert [each["name"] for each in schema["dimensionsSpec"]["dimensions"]] == ["pieces", "shop"]
    assert spec["ioConfig"]["inputFormat"]["type"] == "kafka"
    assert any("60000" in str(each) for each in schema["transformSpec"]["filter"]["fields"])


@pytest.mark.stack
def test_what_is_declared_is_set_and_ended(stack: Place) -> None:
    """Once: what stands as declared is left, whatever Druid has completed it by."""
    sales = replace(SALES, name=f"sales_{uuid.uuid4().hex[:8]}")
    declared = [
        replace(sales, compaction=Compaction()),
        replace(sales, compaction=Compaction(), keep_days=30),
        replace(sales, compaction=Compaction(1_000, 48), partitioning=_BY_SHOP, keep_days=7),
        replace(sales, compaction=Compaction(1_000), rollup=Rollup("day"), partitioning=Partitioning("month")),
        replace(sales, keep_days=30),
        sales,
    ]
    with closing(Supervisors(f"http://{stack.host}:{stack.ports.coordinator}")) as supervisors:
        for each in [*declared, *declared[::-1]]:
            supervisors.keep_up(each)
            assert supervisors.keep_up(each) == (), each
            assert not list(differences(supervisors.upkeep(each.name), upkeep_of(each)))
        supervisors.keep_up(sales)
        assert supervisors.upkeep(sales.name) == {"compaction": None, "rules": []}


@pytest.mark.stack
@pytest.mark.slow
def test_what_differs_is_told(stack: Place) -> None:
    """What makes other rows, which needs a rebuild; and what only has to be deployed. Late facts are counted."""
    name = f"late_{uuid.uuid4().hex[:8]}"
    late = replace(LATE, name=name, topic=name)
    with supervised(stack, [late]) as supervisors, asked(stack, [late]) as olap, ExitStack() as ended:
        ended.callback(supervisors.drop, name)
        versions = DruidVersions(supervisors, olap, lambda: reading(stack))
        assert (versions.differs(late), versions.otherwise(late)) == (None, None)
        write(stack, [structs.replace(each, topic=name) for each in logged()])
        versions.feed(late)
        assert (versions.differs(late), versions.otherwise(late)) == ([], Otherwise([], []))
        for rows in ({"late_after_s": None}, {"late_after_s": 60}, {"rollup": Rollup("day")}):
            changed = replace(late, **rows)
            found = versions.otherwise(changed)
            assert found is not None
            assert found.rows, rows
            assert found.rows == versions.differs(changed), rows
        for other in ({"keep_days": 9}, {"compaction": Compaction()}, {"partitioning": Partitioning("month")}):
            found = versions.otherwise(replace(late, **other))
            assert found is not None
            assert (found.rows, bool(found.segments)) == ([], True), other
        await_rows(stack, late, 3)
        _await(lambda: supervisors.ingested(name).thrown_away, 2)


@pytest.mark.stack
@pytest.mark.slow
def test_segments_are_compacted_as_declared(stack: Place) -> None:
    """By ranges of the dimension, but not those of the newest day; and every answer is as before."""
    name = f"rolled_{uuid.uuid4().hex[:8]}"
    datasource = replace(ROLLED, name=name, topic=name, compaction=Compaction(target_rows=20))
    coordinator = f"http://{stack.host}:{stack.ports.coordinator}/druid/coordinator/v1"
    kinds = 'SELECT "start", "shard_spec" FROM sys.segments WHERE "datasource" = ? AND "is_overshadowed" = 0'
    with supervised(stack, [datasource]) as supervisors, asked(stack, [datasource]) as olap, ExitStack() as ended:
        ended.callback(supervisors.drop, name)
        supervisors.keep_up(datasource)
        write(stack, [structs.replace(each, topic=name) for each in rolled()])
        supervisors.post(datasource, reading(stack))
        supervisors.await_running(name)
        await_rows(stack, datasource, 300)
        supervisors.suspend(name)

        def ranged() -> list[str]:
            httpx.post(f"{coordinator}/compaction/compact", timeout=10).raise_for_status()
            return sorted({begin[:10] for begin, spec in olap.ask(kinds, [name]).rows if '"dimension' in spec})

        _await(ranged, ["2026-03-08", "2026-03-09"])
        facts = facts_of(ROLLED, rolled())
        for asked_for in ASKED.values():
            question = Question(datasource, **{"limit": 1_000, **asked_for})
            check(answered(olap, question), question, facts)
        supervisors.drop(name)
        assert supervisors.upkeep(name) == {"compaction": None, "rules": []}


def _await(found: Callable[[], object], wanted: object) -> None:
    deadline = time.monotonic() + _DONE_S
    while (now := found()) != wanted:
        assert time.monotonic() < deadline, now
        time.sleep(2)
