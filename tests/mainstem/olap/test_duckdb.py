"""What the DuckDB store does beyond the contract: faults of the file, limits, and a death in the middle of a batch."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem.errors import (
    ConfigurationError,
    InvalidQuery,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.testing.contracts.olap import SALES, sale

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

FEEDING = """
import sys
from pathlib import Path
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.testing.contracts.olap import SALES, record, sale
olap = DuckdbOlap(Path(sys.argv[1]))
olap.create(SALES)
start = olap.offsets(SALES).get(("sale", 0), 0)
while True:
    batch = [record(n, b"{") if n % 10 == 0 else sale(n) for n in range(max(0, start - 50), start + 200)]
    olap.ingest(SALES, batch)
    start += 200
    print(start, flush=True)
"""

HOLDING = """
import sys
from pathlib import Path
from mainstem.olap.duckdb import DuckdbOlap
olap = DuckdbOlap(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""

FULL = """
import resource, sys
from pathlib import Path
from mainstem.errors import StoreFull
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.testing.contracts.olap import SALES, sale
path = Path(sys.argv[1])
olap = DuckdbOlap(path)
olap.create(SALES)
taken = 0
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))
try:
    for start in range(0, 100_000, 1000):
        taken += olap.ingest(SALES, [sale(n) for n in range(start, start + 1000)])
except StoreFull as error:
    print(error)
assert 0 < taken < 100_000, taken
assert olap.ask("SELECT count(*) FROM sales").rows[0][0] == taken
assert olap.offsets(SALES) == {("sale", 0): taken}
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert olap.ingest(SALES, [sale(n) for n in range(taken + 1000)]) == 1000
olap.close()
olap = DuckdbOlap(path)
olap.create(SALES)
assert olap.offsets(SALES) == {("sale", 0): taken + 1000}
olap.close()
"""

FULL_AT_CHECKPOINT = """
import resource, sys
from pathlib import Path
import mainstem.duckdb as module
from mainstem.errors import StoreFull
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.testing.contracts.olap import SALES, sale
module._WAL_MAX_BYTES = 300_000
path = Path(sys.argv[1])
olap = DuckdbOlap(path)
olap.create(SALES)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, most))
fed = 0
try:
    for start in range(0, 1_000_000, 2000):
        fed = start + 2000
        olap.ingest(SALES, [sale(n * 7919) for n in range(start, fed)])
except StoreFull as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
olap.ingest(SALES, [sale(n * 7919) for n in range(fed)])
assert olap.ask("SELECT count(*), count(DISTINCT id) FROM sales").rows[0] == (fed, fed)
olap.close()
"""


@pytest.fixture
def olap(tmp_path: Path) -> Iterator[DuckdbOlap]:
    olap = DuckdbOlap(tmp_path / "olap.duckdb")
    olap.create(SALES)
    yield olap
    olap.close()


def run(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)


def made(path: Path, rows: int = 20_000) -> Path:
    olap = DuckdbOlap(path)
    olap.create(SALES)
    olap.ingest(SALES, [sale(n) for n in range(rows)])
    olap.close()
    return path


def test_a_death_in_the_middle_of_a_batch_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "olap.duckdb"
    for rounds in range(1, 6):
        command = [sys.executable, "-c", FEEDING, str(path)]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as feeding:
            assert feeding.stdout is not None
            said = [int(feeding.stdout.readline()) for _ in range(rounds * 3)]
            feeding.send_signal(signal.SIGKILL)
            said += [int(line) for line in feeding.stdout.read().splitlines() if line.endswith("00")]
        olap = DuckdbOlap(path)
        olap.create(SALES)
        stands = olap.offsets(SALES)["sale", 0]
        rows, different = olap.ask("SELECT count(*), count(DISTINCT id) FROM sales").rows[0]
        rejected = olap.rejected(SALES)
        olap.close()
        assert stands >= said[-1]
        assert (rows, different, rejected) == (stands - stands // 10, stands - stands // 10, stands // 10)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(1, 12)), max_size=12))
def test_any_delivery_leaves_each_record_once(
    tmp_path_factory: pytest.TempPathFactory, deliveries: list[tuple[int, int, int]]
) -> None:
    """A partition's records may be delivered again from any earlier offset on, but never with a gap."""
    olap = DuckdbOlap(tmp_path_factory.mktemp("delivery") / "olap.duckdb")
    olap.create(SALES)
    reached = {0: 0, 1: 0, 2: 0}
    for partition, back, count in deliveries:
        begin = max(0, reached[partition] - back)
        end = begin + count
        olap.ingest(SALES, [sale(n, partition=partition) for n in range(begin, end)])
        reached[partition] = max(reached[partition], end)
    rows = [row[0] for row in olap.ask("SELECT id FROM sales").rows]
    expected = {("sale", partition): end for partition, end in reached.items() if end}
    found = olap.offsets(SALES)
    olap.close()
    assert sorted(rows) == sorted(f"{p}-{n}" for p, end in reached.items() for n in range(end))
    assert found == expected


def test_two_owners_in_one_process_cannot_double(olap: DuckdbOlap, tmp_path: Path) -> None:
    other = DuckdbOlap(tmp_path / "olap.duckdb")
    try:
        other.create(SALES)
        assert olap.ingest(SALES, [sale(0)]) == 1
        assert other.ingest(SALES, [sale(0), sale(1)]) == 1
        with pytest.raises(StoreBusy, match="another owner"):
            olap.ingest(SALES, [sale(1), sale(2)])
        assert olap.ingest(SALES, [sale(1), sale(2)]) == 1
        assert olap.ask("SELECT count(*) FROM sales").rows[0] == (3,)
    finally:
        other.close()


def test_another_process_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "olap.duckdb"
    command = [sys.executable, "-c", HOLDING, str(path)]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holding:
        assert holding.stdout is not None
        assert holding.stdout.readline() == "open\n"
        with pytest.raises(StoreBusy, match="in use by another"):
            DuckdbOlap(path)
        holding.communicate("")
    DuckdbOlap(path).close()


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(100, len(content), 4096):
        content[place] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"no database" * 1000), id="text"),
        pytest.param(lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(5000)), id="another engine's"),
        pytest.param(lambda path: os.truncate(path, 5000), id="truncated in its head"),
        pytest.param(_truncate, id="truncated"),
        pytest.param(_flip, id="bits flipped"),
    ],
)
def test_a_damaged_file_is_not_served(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    path = made(tmp_path / "olap.duckdb")
    harm(path)
    with pytest.raises(StoreCorrupt, match=r"olap\.duckdb.*delete it.*filled again from the log"):
        _read(path)


def _read(path: Path) -> None:
    """Opens and reads; damage in a table's blocks shows only when they are read."""
    olap = DuckdbOlap(path)
    try:
        olap.ask("SELECT min(id), sum(price), max(soldAt), max(shop) FROM sales")
    finally:
        olap.close()


def test_a_write_ahead_log_of_another_file_is_not_served(tmp_path: Path) -> None:
    path = made(tmp_path / "olap.duckdb")
    code = FEEDING.replace("print(start, flush=True)", "import os; os._exit(0)")
    assert run(code, tmp_path / "other.duckdb").returncode == 0
    (tmp_path / "other.duckdb.wal").rename(tmp_path / "olap.duckdb.wal")
    with pytest.raises(StoreCorrupt, match="does not match"):
        DuckdbOlap(path)


def test_a_foreign_duckdb_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "olap.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine (a INTEGER)")
    with pytest.raises(StoreCorrupt, match="left alone"):
        DuckdbOlap(path)
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("mine",)]


def test_a_file_of_another_release_says_so(tmp_path: Path) -> None:
    path = made(tmp_path / "olap.duckdb", rows=1)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE mainstem_file SET schema_version = 99")
    with pytest.raises(ConfigurationError, match="another release"):
        DuckdbOlap(path)


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "folder", tmp_path / "file" / "olap.duckdb"):
        with pytest.raises(StoreUnavailable, match="cannot be used"):
            DuckdbOlap(path)


@pytest.mark.parametrize("code", [FULL, FULL_AT_CHECKPOINT], ids=["in a commit", "in a checkpoint"])
def test_a_full_disk_is_told_and_survived(tmp_path: Path, code: str) -> None:
    result = run(code, tmp_path / "olap.duckdb")
    assert (result.returncode, result.stderr) == (0, "")
    assert "no space left for olap.duckdb" in result.stdout


def test_a_name_that_is_also_the_files(tmp_path: Path) -> None:
    made(tmp_path / "sales.duckdb", rows=10)
    made(tmp_path / "mainstem.duckdb", rows=10)
    _read(tmp_path / "sales.duckdb")


@pytest.mark.parametrize(("rows", "seconds"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0)])
def test_limits_that_leave_nothing_are_refused(olap: DuckdbOlap, rows: int, seconds: float) -> None:
    with pytest.raises(InvalidQuery):
        olap.ask("SELECT 1", row_limit=rows, timeout_s=seconds)


@pytest.mark.parametrize(("threads", "megabytes"), [(0, 512), (1, 63)])
def test_settings_that_cannot_work_are_refused(tmp_path: Path, threads: int, megabytes: int) -> None:
    with pytest.raises(ConfigurationError):
        DuckdbOlap(tmp_path / "olap.duckdb", threads=threads, memory_limit_mb=megabytes)


def test_a_question_is_stopped_at_its_time_limit(olap: DuckdbOlap) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidQuery, match=r"took longer than 0\.2 s"):
        olap.ask(ENDLESS, timeout_s=0.2)
    assert time.monotonic() - began < 5
    assert olap.ask("SELECT 1").rows == [(1,)]


def test_a_question_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    olap = DuckdbOlap(tmp_path / "olap.duckdb", memory_limit_mb=64)
    try:
        with pytest.raises(InvalidQuery, match="Out of Memory"):
            olap.ask("SELECT list(range) FROM range(50000000)")
        assert olap.ask("SELECT 1").rows == [(1,)]
    finally:
        olap.close()


def test_closing_interrupts_a_question_and_refuses_the_next(tmp_path: Path) -> None:
    olap = DuckdbOlap(tmp_path / "olap.duckdb")
    olap.create(SALES)
    errors: list[Exception] = []

    def ask() -> None:
        try:
            olap.ask(ENDLESS, timeout_s=60)
        except StoreUnavailable as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not olap._file._cursors:
        threading.Event().wait(0.001)
    olap.close()
    asking.join(timeout=10)
    assert len(errors) == 1
    for call in (lambda: olap.ask("SELECT 1"), lambda: olap.ingest(SALES, [sale(0)]), lambda: olap.create(SALES)):
        with pytest.raises(StoreUnavailable, match="closed"):
            call()
    DuckdbOlap(tmp_path / "olap.duckdb").close()


def test_no_thread_is_left(olap: DuckdbOlap) -> None:
    before = threading.active_count()
    for _ in range(20):
        olap.ask("SELECT 1")
    assert threading.active_count() == before


def test_the_write_ahead_log_stays_small_while_questions_are_open(olap: DuckdbOlap, tmp_path: Path) -> None:
    """DuckDB by itself makes no checkpoint while anybody reads; under steady questions the log would only grow."""
    asking = threading.Thread(target=_interrupted, args=(olap,))
    asking.start()
    while not olap._file._cursors:
        threading.Event().wait(0.001)
    wal = tmp_path / "olap.duckdb.wal"
    largest = 0
    for start in range(0, 600_000, 20_000):
        olap.ingest(SALES, [sale(n) for n in range(start, start + 20_000)])
        largest = max(largest, wal.stat().st_size if wal.exists() else 0)
    open_until_now = bool(olap._file._cursors)
    olap.close()
    asking.join(timeout=10)
    assert open_until_now
    assert largest < 32 * 1024 * 1024
    assert not wal.exists()


def _interrupted(olap: DuckdbOlap) -> None:
    with pytest.raises(StoreUnavailable):
        olap.ask(ENDLESS, timeout_s=60)


def test_a_batch_that_fails_changes_nothing(olap: DuckdbOlap, monkeypatch: pytest.MonkeyPatch) -> None:
    olap.ingest(SALES, [sale(0)])
    with monkeypatch.context() as patched:
        patched.setattr(olap, "_advance", _raise)
        with pytest.raises(StoreFull):
            olap.ingest(SALES, [sale(1)])
    assert olap.ask("SELECT count(*) FROM sales").rows[0] == (1,)
    assert olap.ingest(SALES, [sale(1)]) == 1


def _raise(*_: object) -> None:
    raise StoreFull("no space")


def test_a_record_of_another_topic_is_a_mistake(olap: DuckdbOlap) -> None:
    other = sale(0)
    with pytest.raises(ConfigurationError, match="topic other"):
        olap.ingest(SALES, [type(other)("other", 0, 0, "k", other.value, 0)])
