"""The SQLite log's own promises: other processes, `kill -9`, a full disk, damage."""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from mainstem.errors import StoreCorrupt, StoreFull, TooManyTopics, UnknownTopic
from mainstem.log.port import Range, Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.log.sqlite_consumer import OFFSET_BITS
from mainstem.messages import NewRecord, Record

TOPIC = Topic("orders", partitions=1)
_APPENDING = """
import sys
from pathlib import Path
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
log = SqliteLog(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    batch = [
        NewRecord(topic="orders", key="k", value=b"%d" % n, timestamp_ms=0, identity=str(n))
        for n in range(number, number + 3)
    ]
    log.append(batch)
    number += 3
    print(number, flush=True)
"""
_APPEND_ONE = """
import sys
from pathlib import Path
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
log = SqliteLog(Path(sys.argv[1]))
sys.stdin.readline()
log.append([NewRecord(topic="orders", key="k", value=b"1", timestamp_ms=0)])
log.close()
"""


def _record(number: int, identity: str | None = None, size: int = 0) -> NewRecord:
    value = b"%d" % number + b" " * size
    return NewRecord(topic="orders", key="k", value=value, timestamp_ms=0, identity=identity)


def test_the_records_of_a_file_of_before_are_taken_over(tmp_path: Path) -> None:
    """They stood by place and offset."""
    path = tmp_path / "log.db"
    topics = [Topic("orders", partitions=3), Topic("others", partitions=2)]
    log = SqliteLog(path)
    for topic in topics:
        log.create(topic)
        log.append([NewRecord(topic=topic.name, key=f"k-{n}", value=b"%d" % n, timestamp_ms=n) for n in range(20)])
    log.close()
    before = _everything(path, topics)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(
            f"""
            CREATE TABLE old (place INTEGER, offset INTEGER, key TEXT, value BLOB, timestamp_ms INTEGER, headers BLOB,
                PRIMARY KEY (place, offset)) STRICT, WITHOUT ROWID;
            INSERT INTO old SELECT id >> {OFFSET_BITS}, id & {2**OFFSET_BITS - 1}, key, value, timestamp_ms, headers
                FROM record;
            DROP TABLE record;
            ALTER TABLE old RENAME TO record;
            PRAGMA user_version = 1;
            """
        )
    assert _everything(path, topics) == before
    assert sum(map(len, before)) == 40


def _everything(path: Path, topics: Sequence[Topic]) -> list[Sequence[Record]]:
    with closing(SqliteLog(path)) as log:
        return [log.read(topic.name, n, 0, 100) for topic in topics for n in range(topic.partitions)]


def test_what_was_appended_survives_kill_9_and_is_there_once(tmp_path: Path) -> None:
    """Each round begins with numbers that the one before may have appended already."""
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    log.create(TOPIC)
    log.close()
    acknowledged = 0
    for _ in range(5):
        words = [sys.executable, "-c", _APPENDING, str(path), str(max(0, acknowledged - 6))]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(20):
                acknowledged = int(process.stdout.readline())
            process.kill()
    log = SqliteLog(path)
    found = [int(each.value or b"") for each in log.read("orders", 0, 0, 10_000)]
    assert found == list(range(len(found)))
    assert len(found) >= acknowledged
    log.close()


def test_another_process_wakes_a_waiting_consumer(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    log.create(TOPIC)
    consumer = log.consumer("g", ["orders"])
    words = [sys.executable, "-c", _APPEND_ONE, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True) as process:
        found: list[object] = []
        waiting = threading.Thread(target=lambda: found.extend(consumer.poll(10, 20.0)))
        waiting.start()
        process.communicate("go\n", timeout=20)
    waiting.join(5)
    assert len(found) == 1
    consumer.close()
    log.close()


def test_waiting_costs_next_to_nothing(tmp_path: Path) -> None:
    """A consumer that spins would take a whole core of the second that it waits."""
    log = SqliteLog(tmp_path / "log.db")
    log.create(TOPIC)
    consumer = log.consumer("g", ["orders"])
    began = time.process_time()
    assert consumer.poll(10, 1.0) == []
    assert time.process_time() - began < 0.25
    consumer.close()
    log.close()


def test_an_append_wakes_only_consumers_of_its_topic(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.create(TOPIC)
    log.create(Topic("other", partitions=1))
    bell = threading.Event()
    log.listen(["other"], bell)
    log.append([_record(1)])
    assert not bell.is_set()
    log.forget(bell)
    log.append([NewRecord(topic="other", key="", value=b"", timestamp_ms=0)])
    assert not bell.is_set()
    log.listen(["other"], bell)
    log.append([NewRecord(topic="other", key="", value=b"", timestamp_ms=0)])
    assert bell.is_set()
    log.close()


def test_of_many_identities_those_that_came_before_are_left_out(tmp_path: Path) -> None:
    """Wherever they stand among the others, in several statements' worth of them."""
    log = SqliteLog(tmp_path / "log.db")
    log.create(TOPIC)
    before = [0, 31, 40, 41, 199]
    log.append([_record(n, str(n)) for n in before])
    again = [number for number in range(200) for _ in range(1 + number % 2)]
    log.send("g", [_record(n, str(n)) for n in again], {})
    log.send("g", [_record(n, str(n)) for n in range(200)], {})
    others = [number for number in range(200) if number not in before]
    assert [int(each.value or b"") for each in log.read("orders", 0, 0, 1_000)] == before + others
    log.close()


def test_a_full_disk_takes_nothing_of_a_batch(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.create(TOPIC)
    log.append([_record(0, "0")])
    pages = int(log._writer.pragma("page_count"))
    log._writer.pragma("max_page_count", pages + 4)
    with pytest.raises(StoreFull, match=r"log\.db"):
        log.append([_record(n, str(n), size=2_000) for n in range(1, 100)], producer="")
    assert log.ranges("orders") == {0: Range(0, 1)}
    log._writer.pragma("max_page_count", 1_000_000)
    assert log.append([_record(n, str(n)) for n in range(1, 100)]) == 99
    assert [int(each.value or b"") for each in log.read("orders", 0, 0, 1_000)] == list(range(100))
    log.close()


@pytest.mark.parametrize("content", [b"no database at all, but text\n" * 500, b"SQLite format 3\x00" + b"\xff" * 9000])
def test_a_file_that_is_no_log_is_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.db").write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"log\.db is damaged and is not served"):
        SqliteLog(tmp_path / "log.db")


def test_a_damaged_file_under_a_running_log_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    log.create(TOPIC)
    log.append([_record(n, size=500) for n in range(500)])
    log._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with pytest.raises(StoreCorrupt):
        SqliteLog(path)
    log.close()


def test_a_large_poll_needs_few_reads(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.create(TOPIC)
    log.append([_record(n) for n in range(5_000)])
    consumer = log.consumer("g", ["orders"])
    statements: list[str] = []

    def trace(_: object, sql: str, __: object) -> bool:
        statements.append(sql)
        return True

    consumer._connection.exec_trace = trace
    assert len(consumer.poll(5_000, 0)) == 5_000
    assert len(statements) <= 4
    consumer.close()
    log.close()


def test_connections_are_given_back(tmp_path: Path) -> None:
    before = len(apsw.connections())
    log = SqliteLog(tmp_path / "log.db")
    log.create(TOPIC)
    consumer = log.consumer("g", ["orders"])
    assert len(apsw.connections()) == before + 3
    consumer.close()
    log.close()
    assert len(apsw.connections()) == before


def test_a_poll_of_large_records_is_bounded_and_loses_none(tmp_path: Path) -> None:
    """Whatever the limit says: three of seven megabytes each are more than is held at once."""
    log = SqliteLog(tmp_path / "log.db")
    log.create(Topic("orders", partitions=1, record_max_bytes=8_000_000))
    log.append([_record(number, size=7_000_000) for number in range(7)])
    consumer = log.consumer("g", ["orders"])
    polled: list[list[int]] = []
    while records := consumer.poll(5_000, 0.0):
        polled.append([record.offset for record in records])
    assert polled == [[0, 1, 2], [3, 4, 5], [6]]
    consumer.close()
    log.close()


def test_one_topic_more_than_the_file_can_have_is_refused(tmp_path: Path) -> None:
    """The last one has its last partition's records almost at the last of SQLite's row ids."""
    path = tmp_path / "log.db"
    with closing(SqliteLog(path)) as log:
        log.create(TOPIC)
        with closing(apsw.Connection(str(path))) as raw:
            raw.execute("INSERT INTO topic SELECT 8189, 'before', 1, NULL, NULL, 1000")
        log.create(Topic("last", partitions=1024))
        keys = [str(number) for number in range(20_000)]
        key = next(each for each in keys if log.partition_of("last", each) == 1023)
        log.append([NewRecord(topic="last", key=key, value=b"1", timestamp_ms=0)])
        assert [record.value for record in log.read("last", 1023, 0, 10)] == [b"1"]
        for _ in range(2):
            with pytest.raises(TooManyTopics, match=r"log\.db has 8190 topics"):
                log.create(Topic("further", partitions=1))
        with pytest.raises(UnknownTopic):
            log.ranges("further")
        log.append([_record(1)])
