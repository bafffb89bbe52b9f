"""What is read from memory is what the file has, whoever has appended to it."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.log.tail import Page, Tail
from mainstem.messages import NewRecord, Record

TOPIC = Topic("orders", partitions=2)


_RECORD_BYTES = 357


def _record(number: int) -> NewRecord:
    return NewRecord(topic="orders", key=f"k{number % 5}", value=b"%d" % number, timestamp_ms=number)


def _page(offset: int, records: int) -> list[Record]:
    return [Record("orders", 0, offset + number, "k", b"x" * 100, 0) for number in range(records)]


def test_two_processes_append_and_each_reads_all(tmp_path: Path) -> None:
    logs = SqliteLog(tmp_path / "log.db"), SqliteLog(tmp_path / "log.db")
    logs[0].create(TOPIC)
    consumers = [log.consumer("g", ["orders"]) for log in logs]
    found: list[list[Record]] = [[], []]
    for number in range(0, 120, 3):
        logs[number % 2].append([_record(number + n) for n in range(3)])
        if number % 5:
            for own, consumer in zip(found, consumers, strict=True):
                own.extend(consumer.poll(4, 0))
    for own, consumer in zip(found, consumers, strict=True):
        while records := consumer.poll(4, 0):
            own.extend(records)
        stands = [record for partition in (0, 1) for record in logs[0].read("orders", partition, 0, 1_000)]
        assert sorted(own, key=lambda record: (record.partition, record.offset)) == stands
        assert len(own) == 120
        consumer.close()
    for log in logs:
        log.close()


def test_what_was_rolled_back_is_not_in_memory(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.create(TOPIC)
    consumer = log.consumer("g", ["orders"])
    log.append([_record(0)], producer="p", sequence=5)
    assert log.append([_record(5)], producer="p", sequence=5) == 0
    log.append([_record(10)], producer="p", sequence=6)
    assert [record.value for record in consumer.poll(10, 0)] == [b"0", b"10"]
    consumer.close()
    log.close()


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 6), st.integers(0, 2)), max_size=30))
def test_the_tail_has_an_end_and_a_bound(pages: list[tuple[int, int, int]]) -> None:
    """Pages of two places, some behind a gap."""
    tail, ends = Tail(most_bytes=4_000), [0, 0]
    for place, records, gap in pages:
        tail.add([Page(place, _page(ends[place] + gap, records), 101 * records)])
        ends[place] += gap + records
        kept = [[found for offset in range(ends[n]) if (found := tail.read(n, offset, 100))][:1] for n in (0, 1)]
        for (whole,) in filter(None, kept):
            assert [each.offset for each in whole] == list(range(whole[0].offset, whole[0].offset + len(whole)))
        assert sum(len(whole) for (whole,) in filter(None, kept)) * _RECORD_BYTES <= 4_000
        newest = tail.read(place, ends[place] - records, 100)
        assert newest == _page(ends[place] - records, records)
        assert tail.read(place, ends[place] - records, 1) == newest[:1]
        assert tail.read(place, ends[place], 1) == []
