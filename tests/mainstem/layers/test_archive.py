"""RAW's archive: each record once, whatever ends the writer, and never changed."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.errors import StoreBusy, StoreCorrupt, StoreUnavailable
from mainstem.layers.archive import Gone, RawArchive, _alone, gone_of, raw_files, read_raw
from mainstem.log.port import Topic
from mainstem.log.scan import scan
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord, Record

_DAY_MS = 86_400_000
_TOPIC = "event"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db")
    log.create(Topic(_TOPIC, 2))
    yield log
    log.close()


def _append(log: SqliteLog, days: list[int]) -> None:
    log.append(
        [
            NewRecord(
                topic=_TOPIC,
                key=f"k{number % 3}",
                value=None if number % 5 == 4 else b"\xff%d" % number,
                timestamp_ms=day * _DAY_MS + number,
                headers=(("id", b"%d" % number),),
            )
            for number, day in enumerate(days)
        ]
    )


def _there(log: SqliteLog) -> list[Record]:
    return [record for page in scan(log, _TOPIC) for record in page]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=4))
def test_each_record_once_and_in_the_folder_of_its_day(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    log = SqliteLog(folder / "log.db")
    try:
        log.create(Topic(_TOPIC, 2))
        archive = RawArchive(log, folder / "raw", [_TOPIC])
        for days in batches:
            _append(log, days)
            assert archive.step().records == len(days)
            assert archive.step().records == 0
        assert list(read_raw(folder / "raw", _TOPIC)) == _there(log)
        assert list(archive.differing()) == []
        for file in raw_files(folder / "raw", _TOPIC):
            assert file.day.startswith("1970-01-0")
    finally:
        log.close()


def test_a_disk_that_fails_at_any_file_loses_and_doubles_nothing(
    log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _append(log, [0, 1, 0, 1, 2, 2, 0, 3])
    archive, real, failures = RawArchive(log, tmp_path / "raw", [_TOPIC]), Path.rename, 0
    left = [0]

    def rename(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    while True:
        left[0] = 1  # one more file, and then the disk is full
        try:
            archive.step()
            break
        except StoreUnavailable:
            failures += 1
    assert failures > 2
    assert list(read_raw(tmp_path / "raw", _TOPIC)) == _there(log)
    assert not list((tmp_path / "raw").rglob("*.part"))


_KILLED = """
import sys
from pathlib import Path
from mainstem.layers.archive import RawArchive
from mainstem.log.sqlite import SqliteLog
folder = Path(sys.argv[1])
RawArchive(SqliteLog(folder / "log.db"), folder / "raw", ["event"]).step()
"""


def test_a_killed_writer_loses_and_doubles_nothing(log: SqliteLog, tmp_path: Path) -> None:
    _append(log, [number % 7 for number in range(300)])
    raw = tmp_path / "raw"
    process = subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)])
    deadline = time.monotonic() + 30
    while len(raw_files(raw, _TOPIC)) < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert 0 < len(list(read_raw(raw, _TOPIC))) <= len(_there(log))
    RawArchive(log, raw, [_TOPIC]).step()
    assert list(read_raw(raw, _TOPIC)) == _there(log)


def test_a_file_that_was_changed_is_told(log: SqliteLog, tmp_path: Path) -> None:
    _append(log, [0, 0, 0])
    archive = RawArchive(log, tmp_path / "raw", [_TOPIC])
    archive.step()
    path = tmp_path / "raw" / raw_files(tmp_path / "raw", _TOPIC)[0].path
    assert not path.stat().st_mode & 0o222
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        list(archive.differing())


def test_a_log_that_is_older_than_the_archive_is_told(log: SqliteLog, tmp_path: Path) -> None:
    _append(log, [0, 0, 0, 0])
    RawArchive(log, tmp_path / "raw", [_TOPIC]).step()
    other = SqliteLog(tmp_path / "other.db")
    try:
        other.create(Topic(_TOPIC, 2))
        with pytest.raises(StoreCorrupt, match="not of one history"):
            RawArchive(other, tmp_path / "raw", [_TOPIC]).step()
        (told,) = RawArchive(other, tmp_path / "raw", [_TOPIC]).differing()
        assert "differs from the log at offset 0" in told
        _append(other, [3] * 12)  # it has caught up by now
        with pytest.raises(StoreCorrupt, match="another record of event/1 than the log at offset 3"):
            RawArchive(other, tmp_path / "raw", [_TOPIC]).step()
    finally:
        other.close()


def _forget(log: SqliteLog) -> None:
    """Retention removes what is there."""
    log.create(Topic(_TOPIC, 2, retention_ms=1))
    log.apply_retention(int(time.time() * 1000))
    log.create(Topic(_TOPIC, 2))


def test_what_retention_removed_before_it_was_archived_is_told_and_not_forgotten(
    log: SqliteLog, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    archive = RawArchive(log, raw, [_TOPIC])
    _append(log, [0, 0, 0])
    assert archive.step().gone == ()
    ends = {place: held.end for place, held in log.ranges(_TOPIC).items()}
    _append(log, [1, 1, 1, 1])
    lost = {place: held.end for place, held in log.ranges(_TOPIC).items()}
    expected = [
        Gone(_TOPIC, place, ends[place], lost[place] - 1) for place in sorted(lost) if lost[place] > ends[place]
    ]
    _forget(log)
    assert list(archive.step().gone) == expected
    assert archive.step().gone == (), "it is told once"
    _append(log, [2, 2, 2, 2])
    assert archive.step().records == 4
    assert list(archive.gone()) == gone_of(raw, [_TOPIC]) == expected, "and known from then on"
    assert sum(each.count for each in expected) == 4
    assert list(archive.differing()) == []
    assert "are not archived: the log's retention had removed them before" in str(expected[0])


def test_more_that_is_removed_is_told_as_what_it_is(log: SqliteLog, tmp_path: Path) -> None:
    archive = RawArchive(log, tmp_path / "raw", [_TOPIC])
    told: list[Gone] = []
    for day in (0, 1):
        _append(log, [day] * 4)
        _forget(log)
        told += archive.step().gone
    assert sum(each.count for each in told) == 8
    assert list(archive.gone()) == sorted(told, key=lambda each: (each.partition, each.first))


def test_a_disk_that_fails_leaves_the_gap_to_be_told_later(
    log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _append(log, [0] * 4)
    _forget(log)
    _append(log, [1] * 4)
    archive = RawArchive(log, tmp_path / "raw", [_TOPIC])
    with monkeypatch.context() as context:
        context.setattr(Path, "rename", _full)
        with pytest.raises(StoreUnavailable):
            archive.step()
    done = archive.step()
    assert (done.records, sum(each.count for each in done.gone)) == (4, 4)


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_that_was_taken_away_is_told(log: SqliteLog, tmp_path: Path) -> None:
    archive = RawArchive(log, tmp_path / "raw", [_TOPIC])
    for day in range(3):
        _append(log, [day] * 9)
        archive.step()
    files = raw_files(tmp_path / "raw", _TOPIC)[:3]
    assert len({each.partition for each in files}) == 1
    for file in files[:2]:
        (tmp_path / "raw" / file.path).unlink()
        (told,) = archive.differing()
        assert told == f"{_TOPIC}/{file.partition} has records at offset {files[0].first} that are in no file"


def test_one_writes_at_a_time_and_stops_when_told(log: SqliteLog, tmp_path: Path) -> None:
    _append(log, [0, 1])
    archive, stop = RawArchive(log, tmp_path / "raw", [_TOPIC]), threading.Event()
    with _alone(tmp_path / "raw"), pytest.raises(StoreBusy):
        archive.step()
    stop.set()
    assert archive.step(stop).records == 0
    assert archive.step().records == 2
