"""How far behind somebody is: in records, and how long the oldest of them has waited."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.log.lag import Lag, lag_of
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
from tests.adder import TOPIC, open_log


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = open_log(tmp_path)
    yield log
    log.close()


def _append(log: SqliteLog, *times_ms: int) -> None:
    log.append([NewRecord(topic=TOPIC.name, key=f"k{ms}", value=b"", timestamp_ms=ms) for ms in times_ms])


def test_the_oldest_of_all_partitions_counts(log: SqliteLog) -> None:
    assert lag_of(log, TOPIC.name, {}, 9_000) == Lag(0, 0.0)
    _append(log, 5_000, 3_000, 4_000, 6_000)
    assert lag_of(log, TOPIC.name, {}, 9_000) == Lag(4, 6.0)
    done = {(TOPIC.name, partition): held.end for partition, held in log.ranges(TOPIC.name).items()}
    assert lag_of(log, TOPIC.name, done, 9_000) == Lag(0, 0.0)
    _append(log, 8_500)
    assert lag_of(log, TOPIC.name, done, 9_000) == Lag(1, 0.5)


def test_a_clock_that_is_behind_makes_no_negative_age(log: SqliteLog) -> None:
    _append(log, 5_000)
    assert lag_of(log, TOPIC.name, {}, 1_000) == Lag(1, 0.0)


def test_offsets_of_another_topic_do_not_count(log: SqliteLog) -> None:
    _append(log, 5_000)
    assert lag_of(log, TOPIC.name, {("out", 0): 100, ("out", 1): 100}, 5_000).records == 1
