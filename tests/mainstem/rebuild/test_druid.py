"""A datasource of the real Druid is filled beside the one that is asked, compared, put in its place, and put back."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest

from deploy.configuration import Place
from mainstem.errors import MainstemError
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.olap.druid_versions import DruidVersions
from mainstem.olap.port import Datasource
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
        write(self.place, [msgspec.structs.replace(each, topic=self.datasource.topic) for each in sales])

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
        supervisors.await_running(datasource.name)
        await_rows(stack, datasource, 50)
        with ExitStack() as ended:
            for number in (1, 2, 3):
                ended.callback(supervisors.drop, datasource.name if number == 1 else f"{datasource.name}__{number}")
            yield found


class Asking:
    """Somebody who counts the rows all the time, as a process of its own knows the live version."""

    def __init__(self, sold: Sold) -> None:
        self._olap = sold.olap.asked(LiveNames(sold.pointers))
        self._sql = f'SELECT count(*), sum("price_cents") FROM "{sold.datasource.name}"'
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.wrong: list[str] = []
        self.seen = self.asked = 0

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(60)

    def _ask(self) -> None:
        while not self._end.is_set():
            before = self.seen
            try:
                rows = int(self._olap.ask(self._sql).rows[0][0])
            except MainstemError as error:
                self.wrong.append(f"{type(error).__name__}: {error}")
                continue
            if rows < before:
                self.wrong.append(f"{rows} rows, {before} were seen")
            self.seen, self.asked = max(rows, before), self.asked + 1
            self._end.wait(0.02)


def test_compared_and_swapped_and_put_back(sold: Sold) -> None:
    """Rows of the live one that no record makes are found; what is sold meanwhile is no difference."""
    name = sold.datasource.name
    sold.add_by_hand()
    await_rows(sold.place, sold.datasource, 51)
    end = threading.Event()

    def sell() -> None:
        while not end.wait(0.05):
            sold.sell(2)

    selling = threading.Thread(target=sell)
    selling.start()
    try:
        with Asking(sold) as one, Asking(sold) as other:
            done = sold.rebuild().run(threading.Event())
            assert (done.state, done.error) == ("done", None)
            row = sold.pointers.of(name)
            assert (row.live, row.built, row.kept, row.left, row.held) == (2, 0, 1, (), 0)
            compared = done.comparison
            assert compared is not None
            assert (compared.differing, compared.live_rows - compared.built_rows) == (1, 1)
            assert [(each.key, each.built) for each in compared.differences] == [("0-999", None)]
            assert compared.live_checksum != compared.built_checksum
            _await_more(one, 20)
    finally:
        end.set()
        selling.join()
    assert (one.wrong, other.wrong) == ([], [])  # more was sold while questions were held than the one row that goes
    assert min(one.asked, other.asked) > 100
    assert sold.supervisors.status(name).suspended


def _await_more(asking: Asking, rows: int) -> None:
    deadline, seen = time.monotonic() + _TASK_S, asking.seen
    while asking.seen < seen + rows:
        assert time.monotonic() < deadline, asking.wrong
        time.sleep(0.05)


def test_cancelled_and_begun_anew(sold: Sold) -> None:
    """Whoever fills it notices; another number is given, since what has a name comes back under it."""
    name = sold.datasource.name
    rebuild = sold.rebuild()
    working = threading.Thread(target=rebuild.run, args=(threading.Event(),))
    working.start()
    deadline = time.monotonic() + _TASK_S
    while f"{name}__2" not in sold.supervisors.names():
        assert time.monotonic() < deadline, rebuild.progress()
        time.sleep(0.05)
    cancel(sold.versioned, name)
    working.join(_TASK_S)
    assert rebuild.progress().state == "failed"
    assert f"{name}__2" not in sold.supervisors.names()
    row = sold.pointers.of(name)
    assert (row.live, row.built, row.latest, row.left) == (1, 0, 2, ())
    built = sold.rebuild().run(threading.Event(), swap=False)
    assert (built.state, built.error) == ("built", None)
    assert built.comparison is not None
    assert (built.comparison.live_rows, built.comparison.built_rows, built.comparison.differing) == (50, 50, 0)
    assert built.comparison.live_checksum == built.comparison.built_checksum
    assert (sold.pointers.of(name).built, sold.pointers.of(name).latest) == (3, 3)
