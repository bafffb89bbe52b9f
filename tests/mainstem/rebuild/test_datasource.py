"""A DuckDB datasource is filled beside the one that is asked, compared, put in its place, and put back."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mainstem.errors import ConfigurationError
from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.olap.ingestion import Ingestion
from mainstem.olap.port import Datasource, Dimension
from mainstem.rebuild import Progress
from mainstem.rebuild import datasource as datasource_module
from mainstem.rebuild.datasource import DatasourceRebuild, built_of, old_of
from mainstem.testing.contracts.olap import SALES, sale

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
KILLED = """
import os, signal, sys, threading
from pathlib import Path
from mainstem.log.sqlite import SqliteLog
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.rebuild import datasource
from mainstem.testing.contracts.olap import SALES

datasource._PAGE = 10
datasource._CLOSE = 15
count = [0]


class Dying(DuckdbOlap):
    def _step(self):
        count[0] += 1
        if count[0] == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

    def _ingest(self, *arguments):
        self._step()
        added = super()._ingest(*arguments)
        self._step()
        return added

    def swap(self, live, built, keep, rest, seen):
        super().swap(live, built, keep, rest, lambda: (seen(), self._step()))
        self._step()


olap, log = Dying(Path(sys.argv[1]) / "analytics.duckdb"), SqliteLog(Path(sys.argv[1]) / "log.db")
olap.create(SALES)
done = datasource.DatasourceRebuild(SALES, log, olap).run(threading.Event())
assert done.state == "done", done
"""


class Fed:
    """A log of sales and the store that is fed from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = SqliteLog(folder / "log.db")
        self.log.create(Topic(SALES.topic, 2))
        self.olap = DuckdbOlap(folder / "analytics.duckdb")
        self.ingestion = Ingestion(self.olap, self.log, SALES, linger_ms=0)
        self.sold = 0

    def sell(self, count: int) -> None:
        """So many sales come to the topic and the store."""
        records = [sale(number) for number in range(self.sold, self.sold + count)]
        self.sold += count
        self.log.append(
            [NewRecord(topic=SALES.topic, key=f"{r.offset}", value=r.value, timestamp_ms=1) for r in records]
        )
        while self.ingestion.step():
            continue

    def rows(self, name: str = SALES.name) -> int:
        """Of a table."""
        return int(self.olap.ask(f'SELECT count(*) FROM "{name}"').rows[0][0])

    def rebuild(self, *, swap: bool = True) -> Progress:
        """To its end."""
        return DatasourceRebuild(SALES, self.log, self.olap).run(threading.Event(), swap=swap)

    def close(self) -> None:
        """Both files."""
        self.ingestion.close()
        self.olap.close()
        self.log.close()


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Fed]:
    with closing(Fed(tmp_path)) as found:
        found.sell(50)
        yield found


def test_the_new_one_takes_the_place_of_the_live_one(fed: Fed) -> None:
    offsets = fed.olap.offsets(SALES)
    built = fed.rebuild(swap=False)
    assert (built.state, built.records, fed.rows(built_of(SALES.name))) == ("built", 50, 50)
    fed.sell(5)
    done = fed.rebuild()
    assert (done.state, done.error, done.resumed, done.records) == ("done", None, 50, 55)
    assert done.comparison is not None
    assert (done.comparison.live_rows, done.comparison.differing) == (55, 0)
    assert done.comparison.live_checksum == done.comparison.built_checksum
    assert sum(fed.olap.offsets(SALES).values()) == sum(offsets.values()) + 5
    fed.sell(5)
    assert (fed.rows(), fed.rows(old_of(SALES.name)), fed.olap.declared(built_of(SALES.name))) == (60, 55, None)


def test_rows_that_are_no_longer_kept_are_no_difference(fed: Fed) -> None:
    """Though the live one still has them, since nothing has come since they are too old."""
    value = sale(50, at="2020-01-31T09:30:00Z").value
    fed.log.append([NewRecord(topic=SALES.topic, key="50", value=value, timestamp_ms=1)])
    fed.sell(0)
    kept = replace(SALES, keep_days=36_500)
    assert _compared(fed, kept) == (51, 51, 0)
    shorter = replace(SALES, keep_days=(datetime.now(UTC) - datetime(2020, 2, 2, tzinfo=UTC)).days)
    assert _compared(fed, shorter) == (50, 50, 0)


def _compared(fed: Fed, datasource: Datasource) -> tuple[int, int, int]:
    """Rows of both, and how many differ."""
    found = DatasourceRebuild(datasource, fed.log, fed.olap).run(threading.Event(), swap=False).comparison
    fed.olap.drop(built_of(SALES.name))
    assert found is not None
    return found.live_rows, found.built_rows, found.differing


def test_rows_that_were_doubled_are_told_and_put_right_and_put_back(fed: Fed) -> None:
    fed.close()
    with closing(duckdb.connect(str(fed.folder / "analytics.duckdb"))) as connection:
        names = ", ".join(f'"{dimension.name}"' for dimension in SALES.dimensions)
        connection.execute(f'INSERT INTO "{SALES.name}" ({names}) SELECT {names} FROM "{SALES.name}" LIMIT 2')
    with closing(Fed(fed.folder)) as again:
        again.olap.create(SALES)
        done = again.rebuild()
        assert done.comparison is not None
        assert (done.comparison.live_rows, done.comparison.built_rows, done.comparison.differing) == (52, 50, 2)
        assert done.comparison.live_checksum != done.comparison.built_checksum
        assert {each.why for each in done.comparison.differences} == {"the new one has no such row"}
        again.sold = 50
        again.sell(3)
        back = DatasourceRebuild(SALES, again.log, again.olap).roll_back(threading.Event())
        assert (back.state, back.error, again.rows()) == ("done", None, 55)
        again.sell(1)
        assert again.rows() == 56
        assert DatasourceRebuild(SALES, again.log, again.olap).roll_back(threading.Event()).state == "failed"


def test_another_declaration(fed: Fed) -> None:
    """Which ends the start, until it is rebuilt."""
    fewer = replace(SALES, dimensions=(Dimension("id"), Dimension("soldAt", "timestamp")))
    done = DatasourceRebuild(fewer, fed.log, fed.olap).run(threading.Event())
    assert (done.state, done.error, done.comparison) == ("done", None, None)
    fed.olap.create(fewer)
    assert fed.olap.ask(f'SELECT * FROM "{SALES.name}"').columns == ("id", "soldAt", "__time")
    assert fed.rows() == 50
    back = DatasourceRebuild(fewer, fed.log, fed.olap).roll_back(threading.Event())
    why = "ConfigurationError: sales__old was declared otherwise: it can be put back by the code of before alone"
    assert (back.state, back.error) == ("failed", why)
    assert DatasourceRebuild(SALES, fed.log, fed.olap).roll_back(threading.Event()).state == "done"


def test_a_dimension_that_old_records_do_not_have(fed: Fed) -> None:
    """The new one would have lost them: the live one stays, and so it does when it is asked for again."""
    more = replace(SALES, dimensions=(*SALES.dimensions, Dimension("day")))
    with pytest.raises(ConfigurationError, match="while the application is stopped, `mainstem rebuild sales`"):
        fed.olap.create(more)
    for _ in range(2):
        found = DatasourceRebuild(more, fed.log, fed.olap).run(threading.Event())
        assert (found.state, found.left_out) == ("failed", 50)
        assert found.first_left_out.endswith("Object missing required field `day`")
        why = (
            f"ConfigurationError: 50 records that sales has do not fit the new one, the first is {found.first_left_out}"
        )
        assert str(found.error).startswith(why)
        assert (fed.rows(), fed.olap.declared(old_of(SALES.name))) == (50, None)
    fed.sell(1)
    assert fed.rows() == 51
    only_built = DatasourceRebuild(more, fed.log, fed.olap).run(threading.Event(), swap=False)
    assert (only_built.state, only_built.left_out) == ("built", 51)
    done = fed.rebuild()
    assert (done.state, done.left_out, done.error, fed.rows()) == ("done", 0, None, 51)


def test_a_dimension_with_a_default_is_added(fed: Fed) -> None:
    """Which the older records have then, and those that come."""
    more = replace(SALES, dimensions=(*SALES.dimensions, Dimension("day", default="unknown")))
    done = DatasourceRebuild(more, fed.log, fed.olap).run(threading.Event())
    assert (done.state, done.error, done.left_out) == ("done", None, 0)
    assert fed.olap.ask('SELECT "day", count(*) FROM sales GROUP BY 1').rows == [("unknown", 50)]


def test_records_that_the_live_one_has_left_out_too_are_no_loss(fed: Fed) -> None:
    """But they are told."""
    fed.log.append([NewRecord(topic=SALES.topic, key="k", value=sale(50, price="1.005").value, timestamp_ms=1)])
    fed.sell(0)
    done = fed.rebuild()
    assert (done.state, done.error, done.left_out, fed.rows()) == ("done", None, 1, 50)
    assert done.first_left_out.endswith("a decimal has more than two digits after the point")


def test_records_that_are_late_by_now_are_no_loss(fed: Fed) -> None:
    """That is what was declared."""
    at = sale(50, at="1969-12-31T23:59:59Z").value
    fed.log.append([NewRecord(topic=SALES.topic, key="k", value=at, timestamp_ms=60_000)])
    fed.sell(0)
    done = DatasourceRebuild(replace(SALES, late_after_s=60), fed.log, fed.olap).run(threading.Event())
    assert (done.state, done.error, done.left_out, fed.rows()) == ("done", None, 0, 50)


def test_while_it_is_fed_and_asked(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    """No question fails, or sees less than one before."""
    monkeypatch.setattr(datasource_module, "_PAGE", 7)
    monkeypatch.setattr(datasource_module, "_CLOSE", 9)
    stop = threading.Event()
    wrong: list[Any] = []

    def ask() -> None:
        seen = 0
        while not stop.is_set():
            try:
                rows = fed.rows()
            except Exception as error:
                wrong.append(error)
                return
            if rows < seen:
                wrong.append((rows, seen))
            seen = rows

    asking = threading.Thread(target=ask)
    asking.start()

    def feed() -> None:
        for _ in range(30):
            fed.sell(3)

    feeding = threading.Thread(target=feed)
    feeding.start()
    done = [fed.rebuild() for _ in range(3)]
    feeding.join()
    done.append(fed.rebuild())
    stop.set()
    asking.join()
    assert ([each.state for each in done], [each.error for each in done]) == (["done"] * 4, [None] * 4)
    assert wrong == []
    assert (fed.rows(), [each.comparison and each.comparison.differing for each in done]) == (140, [0] * 4)


def test_killed_at_every_step(fed: Fed) -> None:
    """The datasource is whole after each, and the next rebuild goes on."""
    fed.close()
    ended = None
    for number in range(1, 40):
        words = [sys.executable, "-c", KILLED, str(fed.folder), str(number)]
        ended = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120)
        with closing(DuckdbOlap(fed.folder / "analytics.duckdb")) as olap:
            olap.create(SALES)
            assert olap.ask(f'SELECT count(*), count(DISTINCT id) FROM "{SALES.name}"').rows == [(50, 50)]
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert number > 3
    assert ended is not None
    assert ended.returncode == 0


def test_a_topic_that_has_lost_records(fed: Fed) -> None:
    fed.log.create(replace(fed.log.topics()[SALES.topic], retention_bytes=1))
    fed.log.apply_retention(10**15)
    done = fed.rebuild()
    assert (done.state, "retention has removed" in str(done.error), fed.rows()) == ("failed", True, 50)
