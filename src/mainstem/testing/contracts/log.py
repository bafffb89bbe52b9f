"""What every log keeps to. Bind an adapter by subclassing `LogContract` and implementing `open`."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from mainstem.errors import CodecError, LogError, OffsetOutOfRange, RecordTooLarge, TopicMismatch, UnknownTopic
from mainstem.log.port import Log, Place, Range, Topic
from mainstem.messages import NewRecord, Record

TOPIC = Topic("orders", partitions=3)
ONE = Topic("single", partitions=1, record_max_bytes=1_000)
_WAIT_S = 10.0


def record(number: int, *, key: str = "k", topic: str = "orders", identity: str | None = None) -> NewRecord:
    """A record that can be told from others."""
    return NewRecord(topic=topic, key=key, value=b"%d" % number, timestamp_ms=1_000 + number, identity=identity)


def numbers(records: object) -> list[int]:
    """The numbers of records made by `record`."""
    assert isinstance(records, list | tuple)
    return [int(each.value) for each in records]


class LogContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path) -> Log:
        """The log of that folder."""

    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[Log]:
        """A log with both topics."""
        log = self.open(tmp_path)
        log.create(TOPIC)
        log.create(ONE)
        yield log
        log.close()

    def test_records_come_back_as_they_were_appended(self, log: Log) -> None:
        """Key, value, time and headers; a record without a value too."""
        headers = (("trace", b"\x00\xff"), ("trace", b"again"))
        log.append(
            [
                NewRecord(
                    topic="single", key="schlüssel \U0001f511", value=b"\x00\xfe", timestamp_ms=7, headers=headers
                ),
                NewRecord(topic="single", key="", value=None, timestamp_ms=8),
            ]
        )
        first, second = log.read("single", 0, 0, 10)
        assert first == Record("single", 0, 0, "schlüssel \U0001f511", b"\x00\xfe", 7, headers)
        assert first.header("trace") == b"again"
        assert second == Record("single", 0, 1, "", None, 8)

    def test_a_key_stays_in_its_partition_and_order(self, log: Log) -> None:
        """Whatever the batches; offsets only go up."""
        for start in range(0, 60, 7):
            log.append([record(n, key=f"k{n % 5}") for n in range(start, min(start + 7, 60))])
        for key in (f"k{n}" for n in range(5)):
            found = log.read("orders", log.partition_of("orders", key), 0, 100)
            own = [int(each.value or b"") for each in found if each.key == key]
            assert own == [n for n in range(60) if f"k{n % 5}" == key]
            assert [each.offset for each in found] == sorted({each.offset for each in found})

    def test_keys_are_placed_as_kafka_places_them(self, log: Log) -> None:
        """By murmur2; these are what Kafka's own default partitioner gives for a hundred partitions."""
        log.create(Topic("wide", partitions=100))
        placed = {key: log.partition_of("wide", key) for key in ("21", "foobar", "a-little-bit-long-string")}
        assert placed == {"21": (-973932308 & 0x7FFFFFFF) % 100, "foobar": (-790332482 & 0x7FFFFFFF) % 100} | {
            "a-little-bit-long-string": (-985981536 & 0x7FFFFFFF) % 100
        }

    def test_a_batch_is_taken_whole_or_not_at_all(self, log: Log) -> None:
        """One record that cannot be taken keeps the others out."""
        with pytest.raises(UnknownTopic):
            log.append([record(1, topic="single"), record(2, topic="unheard-of")])
        large = NewRecord(topic="single", key="k", value=b"x" * 1_001, timestamp_ms=0)
        with pytest.raises(RecordTooLarge):
            log.append([record(1, topic="single"), large])
        assert log.ranges("single") == {0: Range(0, 0)}

    @pytest.mark.parametrize(
        ("key", "identity", "timestamp_ms"),
        [("\ud800", None, 0), ("k", "\ud800", 0), ("k", None, -1), ("k", None, 2**63)],
    )
    def test_what_no_log_could_hold(self, log: Log, key: str, identity: str | None, timestamp_ms: int) -> None:
        """Can be asked before, and is refused."""
        bad = NewRecord(topic="single", key=key, value=b"", timestamp_ms=timestamp_ms, identity=identity)
        log.check(record(1, topic="single"))
        for take in (log.check, lambda each: log.append([record(1, topic="single"), each])):
            with pytest.raises(CodecError):
                take(bad)
        with pytest.raises(RecordTooLarge):
            log.check(NewRecord(topic="single", key="ä" * 501, value=None, timestamp_ms=0))
        with pytest.raises(UnknownTopic):
            log.check(record(1, topic="unheard-of"))
        assert log.ranges("single") == {0: Range(0, 0)}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("key", None),
            ("key", b"k"),
            ("value", "text"),
            ("value", 5),
            ("timestamp_ms", 1.5),
            ("timestamp_ms", None),
            ("identity", 5),
            ("headers", (("name", "text"),)),
            ("headers", ((b"name", b""),)),
            ("headers", ("name",)),
        ],
    )
    def test_a_record_with_a_field_of_another_type(self, log: Log, field: str, value: object) -> None:
        """It would come back as another, or not at all."""
        bad = msgspec.structs.replace(record(1, topic="single"), **{field: value})
        for take in (log.check, lambda each: log.append([record(1, topic="single"), each])):
            with pytest.raises(CodecError, match=f"a record for single has the {field} "):
                take(bad)
        assert log.ranges("single") == {0: Range(0, 0)}

    def test_reading_outside_of_the_range_is_an_error(self, log: Log) -> None:
        """At the end there is nothing yet; beyond it, and in no partition, nothing can be."""
        log.append([record(1, topic="single")])
        end = log.ranges("single")[0].end
        assert log.read("single", 0, end, 10) == []
        with pytest.raises(OffsetOutOfRange, match=f"0 to .*, not {end + 100}"):
            log.read("single", 0, end + 100, 10)
        with pytest.raises(UnknownTopic):
            log.read("single", 1, 0, 10)
        with pytest.raises(UnknownTopic):
            log.ranges("unheard-of")

    def test_what_waits_is_counted(self, log: Log) -> None:
        """By partition; nothing at all where everything was read, whatever the log keeps between records."""
        for number in range(3):
            log.append([record(number, topic="single")])
        assert log.lag("single", {}) == {0: 3}
        last = log.read("single", 0, 0, 10)[-1].offset
        assert log.lag("single", {0: last}) == {0: 1}
        assert log.lag("single", {0: last + 1}) == {0: 0}
        assert log.lag("orders", {}) == {0: 0, 1: 0, 2: 0}
        with pytest.raises(UnknownTopic):
            log.lag("unheard-of", {})

    def test_a_topic_stands_as_it_was_declared(self, log: Log) -> None:
        """Other limits are taken over; other partitions would move keys."""
        log.create(Topic("orders", partitions=3, retention_ms=5))
        assert log.topics()["orders"] == Topic("orders", partitions=3, retention_ms=5)
        with pytest.raises(TopicMismatch):
            log.create(Topic("orders", partitions=4))

    def test_a_group_goes_on_where_it_committed(self, log: Log) -> None:
        """A new group begins at the beginning."""
        log.append([record(n, topic="single") for n in range(5)])
        first = log.consumer("g", ["single"])
        assert numbers(first.poll(3, _WAIT_S)) == [0, 1, 2]
        first.commit({("single", 0): 2})
        first.close()
        assert log.committed("g") == {("single", 0): 2}
        second = log.consumer("g", ["single"])
        assert numbers(second.poll(10, _WAIT_S)) == [2, 3, 4]
        assert second.poll(10, 0) == []
        second.close()
        other = log.consumer("another", ["single"])
        assert numbers(other.poll(10, _WAIT_S)) == [0, 1, 2, 3, 4]
        other.close()

    def test_a_group_cannot_commit_what_was_not_there(self, log: Log) -> None:
        """Backwards is possible."""
        log.append([record(1, topic="single")])
        consumer = log.consumer("g", ["single"])
        consumer.poll(10, _WAIT_S)
        consumer.commit({("single", 0): 1})
        with pytest.raises(LogError):
            consumer.commit({("single", 0): log.ranges("single")[0].end + 100})
        consumer.commit({("single", 0): 0})
        assert log.committed("g") == {("single", 0): 0}
        consumer.close()

    def test_a_consumer_can_be_moved(self, log: Log) -> None:
        """To places that it reads."""
        log.append([record(n, topic="single") for n in range(5)])
        consumer = log.consumer("g", ["single"])
        consumer.seek({("single", 0): 3})
        assert numbers(consumer.poll(10, _WAIT_S)) == [3, 4]
        consumer.seek({("single", 0): 0})
        assert numbers(consumer.poll(2, _WAIT_S)) == [0, 1]
        with pytest.raises(UnknownTopic):
            consumer.seek({("orders", 0): 0})
        consumer.close()

    def test_what_a_consumer_sends_goes_with_its_offsets(self, log: Log) -> None:
        """Both, or, where a record or an offset cannot be taken, neither."""
        log.append([record(number, topic="single") for number in range(5)])
        consumer = log.consumer("g", ["single"])
        consumer.poll(10, _WAIT_S)
        consumer.send([record(7)], {("single", 0): 3})
        large = NewRecord(topic="single", key="k", value=b"x" * 1_001, timestamp_ms=0)
        with pytest.raises(RecordTooLarge):
            consumer.send([record(8), large], {("single", 0): 5})
        with pytest.raises(LogError):
            consumer.send([record(9)], {("single", 0): log.ranges("single")[0].end + 100})
        assert log.committed("g") == {("single", 0): 3}
        assert numbers(log.read("orders", log.partition_of("orders", "k"), 0, 10)) == [7]
        consumer.close()

    def test_who_is_given_partitions_says_where_to_begin(self, log: Log) -> None:
        """Asked once for each place; the group's own offsets do not count then."""
        log.append([record(number, topic="single") for number in range(5)])
        asked: list[Place] = []

        def assigned(places: Sequence[Place]) -> dict[Place, int]:
            asked.extend(places)
            return dict.fromkeys(places, 2)

        consumer = log.consumer("g", ["single"], assigned)
        assert consumer.places() == []
        assert numbers(consumer.poll(10, _WAIT_S)) == [2, 3, 4]
        assert (consumer.places(), asked) == ([("single", 0)], [("single", 0)])
        consumer.close()

    def test_a_waiting_consumer_is_woken(self, log: Log) -> None:
        """Long before its time is over."""
        consumer = log.consumer("g", ["orders", "single"])
        deadline = time.monotonic() + _WAIT_S
        while not consumer.places() and time.monotonic() < deadline:
            assert consumer.poll(10, 0.1) == []  # a group may need a moment to let it in
        found: list[Record] = []
        waiting = threading.Thread(target=lambda: found.extend(consumer.poll(10, _WAIT_S)))
        waiting.start()
        log.append([record(1, topic="single")])
        waiting.join(_WAIT_S / 2)
        assert not waiting.is_alive()
        assert numbers(found) == [1]
        consumer.close()

    def test_closing_ends_a_waiting_poll(self, log: Log) -> None:
        """It returns empty."""
        consumer = log.consumer("g", ["single"])
        found: list[object] = []
        waiting = threading.Thread(target=lambda: found.append(list(consumer.poll(10, _WAIT_S))))
        waiting.start()
        consumer.close()
        waiting.join(_WAIT_S / 2)
        assert found == [[]]

    def test_threads_append_without_losing_or_mixing(self, log: Log) -> None:
        """Each thread's records of one key keep their order."""

        def produce(name: str) -> None:
            for number in range(40):
                log.append([record(number, key=name), record(number, key="shared", topic="single")])

        threads = [threading.Thread(target=produce, args=(f"t{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(log.read("single", 0, 0, 1_000)) == 160
        for name in ("t0", "t1", "t2", "t3"):
            found = log.read("orders", log.partition_of("orders", name), 0, 1_000)
            assert [int(each.value or b"") for each in found if each.key == name] == list(range(40))

    def test_everything_is_there_after_a_restart(self, log: Log, tmp_path: Path) -> None:
        """Topics, records, groups."""
        log.append([record(1, topic="single")])
        consumer = log.consumer("g", ["single"])
        consumer.poll(10, _WAIT_S)
        consumer.commit({("single", 0): 1})
        consumer.close()
        log.close()
        again = self.open(tmp_path)
        assert set(again.topics()) == {"orders", "single"}
        assert numbers(again.read("single", 0, 0, 10)) == [1]
        assert again.committed("g") == {("single", 0): 1}
        again.close()

    def test_closing_twice_is_allowed(self, log: Log) -> None:
        """The second does nothing."""
        log.close()
        log.close()
