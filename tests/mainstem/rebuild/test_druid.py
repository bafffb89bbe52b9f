"""A datasource of the real Druid is filled beside the one that is asked, cancelled, and compared while it is fed."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from msgspec import structs

from deploy.configuration import Place
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from mainstem.olap.asking import answered
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.olap.druid_versions import DruidVersions
from mainstem.olap.options import Compaction, Rollup, RollupMeasure
from mainstem.olap.port import Datasource
from mainstem.olap.question import Measure, Question
from mainstem.rebuild import Versioned
from mainstem.rebuild.pointing import LiveNames, Pointers
from mainstem.rebuild.versioned import VersionedRebuild, cancel
from mainstem.testing.contracts.olap import SALES, sale
from mainstem.view.sqlite import SqliteViews
from tests.druid import await_rows, reading, supervised, write

pytestmark = [pytest.mark.stack, pytest.mark.slow]

_TASK_S = 60.0


class Sold:
    """Sales on a topic, and the datasource that Druid fills from it."""

    def __init__(self, place: Place, datasource: Datasource, supervisors: Supervisors, views: SqliteViews) -> None:
        self.place, self.datasource, self.supervisors = place, datasource, supervisors
        self.url = f"http://{place.host}:{place.ports.broker}"
        self.pointers = Pointers(views)
        self.pointers.create()
        self.olap = DruidOlap(
            self.url, [datasource], has_no_rows=supervisors.has_no_rows, live=LiveNames(self.pointers)
        )
        self.log = KafkaLog(KafkaServers(f"{place.host}:{place.ports.kafka}"))
        versions = DruidVersions(supervisors, self.olap, lambda: reading(place))
        self.versioned = Versioned(versions, self.pointers, lambda _: nullcontext())
        self._sold = 0

    def sell(self, count: int) -> None:
        """So many more come to the topic, on both of its partitions."""
        sales = [sale(number, partition=number % 2) for number in range(self._sold, self._sold + count)]
        self._sold += count
        write(self.place, [structs.replace(each, topic=self.datasource.topic) for each in sales])

    def rebuild(self) -> VersionedRebuild:
        """A new one."""
        return VersionedRebuild(self.datasource, self.log, self.versioned)

    def add_by_hand(self) -> None:
        """A row of no record, of a day that nobody else writes."""
        spec = self.supervisors.spec(self.datasource.name)
        assert spec is not None
        value = (sale(999, at="2025-12-24T12:00:00Z").value or b"").decode()
        schema = {**spec["spec"]["dataSchema"], "granularitySpec": {"type": "uniform", "segmentGranularity": "DAY"}}
        io = {
            "type": "index_parallel",
            "inputSource": {"type": "inline", "data": value},
            "inputFormat": {"type": "json"},
            "appendToExisting": True,
        }
        task = {"type": "index_parallel", "spec": {"dataSchema": schema, "ioConfig": io}}
        overlord = f"http://{self.place.host}:{self.place.ports.coordinator}/druid/indexer/v1/task"
        httpx.post(overlord, json=task, timeout=10).raise_for_status()

    def close(self) -> None:
        """All clients of its own."""
        self.log.close()
        self.olap.close()


@pytest.fixture
def sold(stack: Place, tmp_path: Path) -> Iterator[Sold]:
    name = f"sales_{uuid.uuid4().hex[:8]}"
    datasource = replace(SALES, name=name, topic=name)
    with (
        supervised(stack, [datasource]) as supervisors,
        closing(SqliteViews(tmp_path / "views.db")) as views,
        closing(Sold(stack, datasource, supervisors, views)) as found,
    ):
        found.sell(50)
        supervisors.post(datasource, reading(stack))
        with ExitStack() as ended:
            for number in (1, 2, 3):
                ended.callback(supervisors.drop, datasource.name if number == 1 else f"{datasource.name}__{number}")
            yield found


def _begun(sold: Sold, name: str) -> None:
    deadline = time.monotonic() + _TASK_S
    while name not in sold.supervisors.names():
        assert time.monotonic() < deadline, sold.pointers.of(sold.datasource.name)
        time.sleep(0.05)


def test_cancelled_and_compared(sold: Sold) -> None:
    """A row of the live one that no record makes is found; what is sold meanwhile is no difference."""
    name = sold.datasource.name
    sold.add_by_hand()
    rebuild = sold.rebuild()
    working = threading.Thread(target=rebuild.run, args=(threading.Event(),))
    working.start()
    _begun(sold, f"{name}__2")
    cancel(sold.versioned, name)
    working.join(_TASK_S)
    # as of others who were killed when they were about to drop what they had cancelled, and while they held questions
    sold.pointers.change(name, lambda row: structs.replace(row, dropping="9", held=7, holds=7))
    assert (rebuild.progress().state, "was cancelled" in str(rebuild.progress().error)) == ("failed", True)
    await_rows(sold.place, sold.datasource, 51)

    end = threading.Event()

    def sell() -> None:
        while not end.wait(0.05):
            sold.sell(2)

    selling = threading.Thread(target=sell)
    selling.start()
    try:
        built = sold.rebuild().run(threading.Event(), swap=False)
    finally:
        end.set()
        selling.join()
    assert (built.state, built.error) == ("built", None)
    found = built.comparison
    assert found is not None
    assert (found.differing, found.live_rows - found.built_rows) == (1, 1)
    assert [(each.key, each.built) for each in found.differences] == [("0-999", None)]
    assert found.built_rows >= 50
    assert found.live_checksum != found.built_checksum
    row = sold.pointers.of(name)
    assert (row.live, row.built, row.kept, row.latest, row.left) == (1, 3, 0, 3, ())  # no number is given twice
    assert f"{name}__2" not in sold.supervisors.names()
    changed = replace(sold.datasource, name=f"{name}__3", dimensions=sold.datasource.dimensions[:-1])
    assert any("dataSchema" in each for each in sold.versioned.olap.differs(changed) or ())
    cancel(sold.versioned, name)
    assert sold.supervisors.names().count(f"{name}__3") == 0


def test_a_rollup_that_is_declared_later(sold: Sold) -> None:
    """Its rows are made anew beside those of the facts, and made once more they are found to be the same."""
    sold.datasource = replace(
        sold.datasource, rollup=Rollup("hour", (RollupMeasure("sum", "price"),)), compaction=Compaction()
    )
    assert sold.versioned.stale(sold.datasource)
    assert sold.rebuild().run(threading.Event()).error is None
    assert not sold.versioned.stale(sold.datasource)
    assert sold.supervisors.upkeep(f"{sold.datasource.name}__2")["compaction"] is not None
    question = Question(sold.datasource, measures=(Measure(), Measure("sum", "price")), grain="day")
    found = answered(sold.versioned.olap.asked(LiveNames(sold.pointers)), question)
    assert [row[1:] for row in found.rows] == [(50, Decimal(500))]
    again = sold.rebuild().run(threading.Event(), swap=False)
    assert (again.error, again.comparison and again.comparison.differing) == (None, 0)
