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
from mainstem.layers.archive import RawArchive, _alone, raw_files, read_raw
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
    finally:
        other.close()


def test_one_writes_at_a_time_and_stops_when_told(log: SqliteLog, tmp_path: Path) -> None:
    _append(log, [0, 1])
    archive, stop = RawArchive(log, tmp_path / "raw", [_TOPIC]), threading.Event()
    with _alone(tmp_path / "raw"), pytest.raises(StoreBusy):
        archive.step()
    stop.set()
    assert archive.step(stop).records == 0
    assert archive.step().records == 2
