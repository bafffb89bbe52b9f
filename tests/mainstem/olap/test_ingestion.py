"""Feeding a datasource: exactly once whatever dies when, from where the store itself stands."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mainstem.errors import ConfigurationError, StoreFull
from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
from mainstem.olap import ingestion as ingestion_module
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.olap.ingestion import Ingestion
from mainstem.olap.port import Datasource, Dimension

FACTS = Datasource("facts", topic="fact", time="at", dimensions=(Dimension("id"), Dimension("at", "timestamp")))


class Dies(BaseException):
    """The process dies here."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db")
    log.create(Topic("fact", partitions=2))
    yield log
    log.close()


@pytest.fixture
def olap(tmp_path: Path) -> Iterator[DuckdbOlap]:
    olap = DuckdbOlap(tmp_path / "olap.duckdb")
    olap.create(FACTS)
    yield olap
    olap.close()


def send(log: SqliteLog, first: int, last: int) -> None:
    """Facts with these numbers; each tenth is none."""
    log.append([NewRecord(topic="fact", key=f"k{n % 7}", value=_value(n), timestamp_ms=n) for n in range(first, last)])


def _value(number: int) -> bytes:
    return b"no fact" if number % 10 == 9 else b'{"id":"%d","at":"2026-01-31T09:30:00Z"}' % number


def drain(ingestion: Ingestion) -> None:
    """Step until nothing is left."""
    while ingestion.step():
        pass
    ingestion.close()


def holds(olap: DuckdbOlap, count: int) -> None:
    """The facts up to that number, each once, and the others rejected."""
    found = sorted(int(row[0]) for row in olap.ask("SELECT id FROM facts").rows)
    assert found == [n for n in range(count) if n % 10 != 9]
    assert olap.rejected(FACTS) == count // 10


def test_batches_and_what_does_not_fit(log: SqliteLog, olap: DuckdbOlap) -> None:
    send(log, 0, 100)
    ingestion = Ingestion(olap, log, FACTS, linger_ms=0, batch_max=7)
    drain(ingestion)
    holds(olap, 100)
    assert (ingestion.lag(0).records, ingestion.status.rows) == (0, 90)
    assert sum(log.committed("olap-facts").values()) == 100


def test_what_does_not_fit_is_counted_and_told_once(log: SqliteLog, olap: DuckdbOlap) -> None:
    """Not for every record, nor for every batch; and it is known again after the next start."""
    send(log, 0, 100)
    ingestion = Ingestion(olap, log, FACTS, linger_ms=0, batch_max=10)
    with capture_logs() as lines:
        drain(ingestion)
    found = ingestion.status.misfits
    assert found.count == 10
    assert re.fullmatch(r"fact/\d at offset \d+: JSON is malformed.*", found.first)
    (told,) = (line for line in lines if line["event"] == "records do not fit")
    assert (told["log_level"], told["datasource"], told["first"]) == ("warning", "facts", found.first)
    again = Ingestion(olap, log, FACTS, linger_ms=0)
    drain(again)
    assert again.status.misfits == found


def test_what_goes_on_not_to_fit_is_told_again(
    log: SqliteLog, olap: DuckdbOlap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of those that have come since, and how many."""
    monkeypatch.setattr(ingestion_module, "_COUNT_EVERY_S", 0.0)
    monkeypatch.setattr(ingestion_module, "_TELL_EVERY_S", 0.0)
    ingestion = Ingestion(olap, log, FACTS, linger_ms=0)
    with capture_logs() as lines:
        for first in (0, 30):
            send(log, first, first + 10)
            drain(ingestion)
        log.append([NewRecord(topic="fact", key="k", value=b'{"id":1}', timestamp_ms=1)] * 2)
        drain(ingestion)
    told = [
        (line["count"], line["first"].partition(": ")[2]) for line in lines if line["event"] == "records do not fit"
    ]
    assert [count for count, _ in told] == [1, 1, 2]
    assert "Expected `str`, got `int`" in told[2][1]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("step", ["ingest", "commit"])
def test_dying_before_or_after_a_step(
    log: SqliteLog, olap: DuckdbOlap, step: str, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(log, 0, 50)
    owner: Any = {"ingest": olap, "commit": log}[step]
    real = getattr(owner, step)

    def dying(*values: Any, **named: Any) -> Any:
        if not before:
            real(*values, **named)
        raise Dies

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, dying)
        with pytest.raises(Dies):
            drain(Ingestion(olap, log, FACTS, linger_ms=0, batch_max=20))
    send(log, 50, 80)
    drain(Ingestion(olap, log, FACTS, linger_ms=0, batch_max=20))
    holds(olap, 80)


def test_a_store_that_was_deleted_is_filled_again(log: SqliteLog, tmp_path: Path) -> None:
    """The group's offsets in the log are further than the store, and count for nothing."""
    send(log, 0, 30)
    for name in ("first.duckdb", "second.duckdb"):
        olap = DuckdbOlap(tmp_path / name)
        drain(Ingestion(olap, log, FACTS, linger_ms=0))
        holds(olap, 30)
        olap.close()


def test_a_store_of_another_log_is_refused(log: SqliteLog, olap: DuckdbOlap, tmp_path: Path) -> None:
    send(log, 0, 30)
    drain(Ingestion(olap, log, FACTS, linger_ms=0))
    other = SqliteLog(tmp_path / "other.db")
    other.create(Topic("fact", partitions=2))
    with pytest.raises(ConfigurationError, match="not of one folder"):
        Ingestion(olap, other, FACTS, linger_ms=0).step()
    other.close()


def test_trouble_is_shown_and_waited_out(log: SqliteLog, olap: DuckdbOlap, monkeypatch: pytest.MonkeyPatch) -> None:
    send(log, 0, 20)
    ingestion = Ingestion(olap, log, FACTS, linger_ms=0)
    stop = threading.Event()

    def full(*_: Any) -> int:
        raise StoreFull("no space left for olap.duckdb")

    with monkeypatch.context() as patched:
        patched.setattr(olap, "ingest", full)
        running = threading.Thread(target=ingestion.run, args=(stop,))
        running.start()
        _eventually(lambda: ingestion.status.retries >= 2)
        assert (ingestion.status.state, ingestion.lag(0).records) == ("retrying", 20)
        assert "no space left" in str(ingestion.status.last_error)
    _eventually(lambda: ingestion.lag(0).records == 0)
    _eventually(lambda: ingestion.status.state == "running")
    stop.set()
    running.join(10)
    assert ingestion.status.state == "idle"
    holds(olap, 20)


@pytest.mark.parametrize(("linger_ms", "batch_max"), [(-1, 10), (0, 0)])
def test_a_batch_that_cannot_be_made(log: SqliteLog, olap: DuckdbOlap, linger_ms: int, batch_max: int) -> None:
    with pytest.raises(ConfigurationError):
        Ingestion(olap, log, FACTS, linger_ms=linger_ms, batch_max=batch_max)


def _eventually(question: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if question():
            return
        threading.Event().wait(0.01)
    raise AssertionError("not within ten seconds")
