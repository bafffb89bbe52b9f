"""What every log keeps to that one application has in a file of its own: the log's contract and more.

Bind an adapter by subclassing `LocalLogContract` and implementing `open`.
"""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.errors import OffsetOutOfRange, RecordTooLarge
from mainstem.log.port import LocalLog, Range, Topic
from mainstem.messages import NewRecord, Record
from mainstem.testing.contracts.log import ONE, TOPIC, LogContract, numbers, record


class LocalLogContract(LogContract):
    """The suite: it contains the log's."""

    @abstractmethod
    def open(self, folder: Path) -> LocalLog:
        """The log of that folder."""

    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[LocalLog]:
        """A log with both topics."""
        log = self.open(tmp_path)
        log.create(TOPIC)
        log.create(ONE)
        yield log
        log.close()

    def test_offsets_have_no_gaps(self, log: LocalLog) -> None:
        """Whatever the batches."""
        for start in range(0, 60, 7):
            log.append([record(n, key=f"k{n % 5}") for n in range(start, min(start + 7, 60))])
        ranges = log.ranges("orders")
        assert sum(held.end for held in ranges.values()) == 60
        for partition, held in ranges.items():
            assert [each.offset for each in log.read("orders", partition, 0, 100)] == list(range(held.end))

    def test_an_identity_is_there_after_a_restart(self, log: LocalLog, tmp_path: Path) -> None:
        """And is not taken again."""
        log.append([record(1, topic="single", identity="a")])
        log.close()
        again = self.open(tmp_path)
        assert again.append([record(2, topic="single", identity="a")]) == 0
        again.close()

    def test_an_identity_is_taken_once(self, log: LocalLog) -> None:
        """In one batch, in a later one, and beside records without one; each topic for itself."""
        assert log.append([record(1, identity="a"), record(2, identity="a"), record(3, identity="b")]) == 2
        assert log.append([record(4, identity="b"), record(5, identity="c"), record(6), record(6)]) == 3
        assert log.append([record(7, topic="single", identity="a")]) == 1
        assert numbers(log.read("orders", log.partition_of("orders", "k"), 0, 10)) == [1, 3, 5, 6, 6]

    def test_a_producers_sequence_is_kept_with_its_records(self, log: LocalLog, tmp_path: Path) -> None:
        """What comes with a sequence that was there before is a repetition."""
        assert log.last_sequence("p") is None
        assert log.append([record(1)], producer="p", sequence=5) == 1
        assert log.append([record(2)], producer="p", sequence=5) == 0
        assert log.append([record(3)], producer="p", sequence=4) == 0
        assert log.append([record(4)], producer="q", sequence=1) == 1
        assert (log.last_sequence("p"), log.last_sequence("q")) == (5, 1)
        with pytest.raises(RecordTooLarge):
            log.append(
                [NewRecord(topic="single", key="", value=b"x" * 2_000, timestamp_ms=0)], producer="p", sequence=9
            )
        assert log.last_sequence("p") == 5
        log.close()
        again = self.open(tmp_path)
        assert again.last_sequence("p") == 5
        again.close()

    def test_a_large_backlog_does_not_starve_the_others(self, log: LocalLog) -> None:
        """Each partition is read within a few polls, in its order."""
        by_partition = {log.partition_of("orders", f"k{n}"): f"k{n}" for n in range(50)}
        keys = list(by_partition.values())
        log.append([record(n, key=keys[0]) for n in range(500)])
        log.append([record(n, key=key) for key in keys[1:] for n in range(3)])
        consumer = log.consumer("g", ["orders"])
        early = [each for _ in range(3) for each in consumer.poll(12, 0)]
        assert {each.key for each in early} == set(keys)
        rest: list[Record] = []
        while found := consumer.poll(100, 0):
            rest.extend(found)
        for key in keys:
            own = [int(each.value or b"") for each in [*early, *rest] if each.key == key]
            assert own == list(range(500 if key == keys[0] else 3))
        consumer.close()

    def test_retention_by_time_removes_the_oldest(self, log: LocalLog) -> None:
        """A consumer that stands before what is left is told so."""
        log.create(Topic("single", partitions=1, record_max_bytes=1_000, retention_ms=10))
        log.append([record(n, topic="single") for n in range(20)])
        consumer = log.consumer("g", ["single"])
        assert log.apply_retention(1_000 + 15) == 5
        assert log.ranges("single") == {0: Range(5, 20)}
        with pytest.raises(OffsetOutOfRange, match="from 5 to 20, not 0"):
            consumer.poll(10, 0)
        consumer.close()
        fresh = log.consumer("fresh", ["single"])
        assert numbers(fresh.poll(100, 0)) == list(range(5, 20))
        fresh.close()
        assert log.apply_retention(1_000 + 15) == 0

    def test_retention_by_size_removes_the_oldest(self, log: LocalLog) -> None:
        """Until what is left is not more than the limit."""
        log.create(Topic("single", partitions=1, record_max_bytes=1_000, retention_bytes=100))
        big = [NewRecord(topic="single", key="", value=b"x" * 30, timestamp_ms=0) for _ in range(10)]
        log.append(big)
        assert log.apply_retention(0) == 7
        assert log.ranges("single") == {0: Range(7, 10)}
        log.append([record(1, topic="single")])
        assert log.ranges("single") == {0: Range(7, 11)}

    def test_an_identity_outlives_its_record(self, log: LocalLog) -> None:
        """A repetition may come after retention has removed the first."""
        log.create(Topic("single", partitions=1, record_max_bytes=1_000, retention_ms=10))
        log.append([record(1, topic="single", identity="a")])
        assert log.apply_retention(5_000) == 1
        assert log.append([record(2, topic="single", identity="a")]) == 0
