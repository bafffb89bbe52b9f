"""SQLite's errors in mainstem's names, each really caused."""

import threading
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from mainstem.errors import CodecError, ConfigurationError, StoreBusy, StoreCorrupt, StoreFull, StoreUnavailable
from mainstem.sqlite import connect, insert_many, mapped_errors, prepare, transaction

_MIGRATIONS = ("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT) STRICT",)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "some.db"
    prepare(path, "things", _MIGRATIONS)
    return path


def test_durability_is_what_was_asked_for(path: Path) -> None:
    for durable, expected in ((True, 2), (False, 1)):
        connection = connect(path, durable=durable)
        assert connection.pragma("synchronous") == expected
        assert connection.pragma("journal_mode") == "wal"
        connection.close()


def test_migrations_run_forward_once(path: Path) -> None:
    more = (*_MIGRATIONS, "ALTER TABLE t ADD COLUMN c TEXT")
    with capture_logs() as logged:
        prepare(path, "things", more)
        prepare(path, "things", more)
    assert [(line["file"], line["schema"]) for line in logged] == [("some.db", 2)]
    with pytest.raises(ConfigurationError, match="newer release"):
        prepare(path, "things", _MIGRATIONS)


def test_a_file_of_another_kind_is_left_alone(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreCorrupt, match="holds things, not others"):
        prepare(path, "others", _MIGRATIONS)
    foreign = tmp_path / "foreign.db"
    connection = apsw.Connection(str(foreign))
    connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = foreign.read_bytes()
    with pytest.raises(StoreCorrupt, match="not a file of mainstem's"):
        prepare(foreign, "things", _MIGRATIONS)
    assert foreign.read_bytes() == before


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    with pytest.raises(Exception, match="syntax error"):
        prepare(path, "things", (*_MIGRATIONS, "ALTER TABLE t ADD COLUMN c TEXT; NONSENSE"))
    prepare(path, "things", (*_MIGRATIONS, "ALTER TABLE t ADD COLUMN c TEXT"))


def test_a_lock_that_is_held_too_long(path: Path) -> None:
    holder, waiter = connect(path), connect(path)
    waiter.set_busy_timeout(10)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match=r"some\.db"), transaction(waiter, path):
        pass
    holder.execute("ROLLBACK")
    holder.close()
    waiter.close()


def test_a_full_disk(path: Path) -> None:
    connection = connect(path)
    connection.pragma("max_page_count", 5)
    with pytest.raises(StoreFull, match=r"some\.db"), transaction(connection, path):
        insert_many(connection, "t", [(n, "x" * 2_000) for n in range(100)])
    assert connection.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    connection.close()


@pytest.mark.parametrize("cut", [0.3, 0.7])
def test_a_truncated_file(path: Path, cut: float) -> None:
    connection = connect(path)
    with transaction(connection, path):
        insert_many(connection, "t", [(n, "x" * 500) for n in range(500)])
    connection.close()
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * cut))
    with pytest.raises(StoreCorrupt, match=r"some\.db is damaged and is not served"):
        prepare(path, "things", _MIGRATIONS)


def test_a_path_that_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreUnavailable, match=r"folder\.db"):
        prepare(tmp_path / "folder.db", "things", _MIGRATIONS)
    with pytest.raises(StoreUnavailable):
        connect(tmp_path / "nowhere" / "some.db", read_only=True)


def test_writing_through_a_reader(path: Path) -> None:
    reader = connect(path, read_only=True)
    with pytest.raises(StoreUnavailable), mapped_errors(path):
        reader.execute("INSERT INTO t VALUES (1, 'a')")
    reader.close()


def test_a_value_that_has_no_place(path: Path) -> None:
    connection = connect(path)
    for value in (2**63, "\ud800"):
        with pytest.raises(CodecError), transaction(connection, path):
            insert_many(connection, "t", [(1, "a"), (2, value)])
    assert connection.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    connection.close()


def test_many_rows_keep_their_order(path: Path) -> None:
    connection = connect(path)
    for count in (0, 1, 31, 32, 33, 100):
        connection.execute("DELETE FROM t")
        with transaction(connection, path):
            insert_many(connection, "t", [(None, str(n)) for n in range(count)])
        assert connection.execute("SELECT b FROM t ORDER BY a").fetchall() == [(str(n),) for n in range(count)]
    connection.close()


def test_an_error_of_the_blocks_own_is_left_as_it_is(path: Path) -> None:
    connection = connect(path)
    with pytest.raises(LookupError), transaction(connection, path):
        raise LookupError
    assert not connection.in_transaction
    connection.close()


def test_threads_with_connections_of_their_own(path: Path) -> None:
    def write(start: int) -> None:
        connection = connect(path)
        for number in range(start, start + 20):
            with transaction(connection, path):
                insert_many(connection, "t", [(number, "x")])
        connection.close()

    threads = [threading.Thread(target=write, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    connection = connect(path, read_only=True)
    assert connection.execute("SELECT count(*) FROM t").fetchall() == [(80,)]
    connection.close()
