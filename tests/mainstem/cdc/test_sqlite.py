"""The embedded capture's own promises: SQLite's types, REPLACE and its kin, altered tables, transactions, the relay."""

import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem.cdc.port import Captured, Outbox
from mainstem.cdc.relay import Relay
from mainstem.cdc.sqlite import MARK_TRANSACTION, SqliteCapture
from mainstem.errors import ConfigurationError
from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from tests.foreign import foreign_client

TABLES = """
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, price DECIMAL_TEXT(18,2));
CREATE TABLE bare (a, b);
CREATE TABLE pair (x TEXT, y INTEGER, v TEXT, PRIMARY KEY (x, y)) WITHOUT ROWID;
CREATE TABLE typed (
    id INTEGER PRIMARY KEY, d DECIMAL(10,3), n NUMERIC(5), b BOOLEAN, day DATE, at DATETIME, fine DATETIME(6),
    stamp TIMESTAMP, blob BLOB, r REAL
);
CREATE TABLE fact (n INTEGER PRIMARY KEY, content TEXT, at_ms INTEGER);
"""
CAPTURED = [
    *map(Captured, ("item", "bare", "pair", "typed")),
    Captured("fact", outbox=Outbox(key="n", payload="content", timestamp="at_ms")),
]


def _contents(capture: SqliteCapture, after: int = 0) -> list[Any]:
    return [msgspec.json.decode(each.value or b"") for each in capture.read(after, 10_000).records]


def _images(capture: SqliteCapture) -> list[tuple[str, Any, Any]]:
    def names(row: Any) -> Any:
        return None if row is None else tuple(row.values())

    return [(each["op"], names(each["before"]), names(each["after"])) for each in _contents(capture)]


_ANY = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text().filter(lambda text: "\0" not in text),
    st.binary(max_size=40),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=_ANY, second=_ANY)
def test_any_value_of_sqlite_round_trips(
    capture: SqliteCapture, writer: apsw.Connection, first: Any, second: Any
) -> None:
    """In columns without a type; JSON has no bytes and no infinity, which go as base64 and by name."""
    position = capture.read(0, 1_000_000).position
    writer.execute("INSERT INTO bare VALUES (?, ?)", (first, second))
    (change,) = _contents(capture, position)
    capture.release(capture.read(position, 10).position)
    assert [change["after"]["a"], change["after"]["b"]] == [_json(first), _json(second)]


def _json(value: Any) -> Any:
    import base64

    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def test_declared_types_take_debeziums_form(capture: SqliteCapture, writer: apsw.Connection) -> None:
    writer.execute(
        "INSERT INTO typed VALUES (1, '10', 12345, 1, '2026-01-31', '2026-01-31 09:30:00.125',"
        " '2026-01-31 09:30:00.000125', '2026-01-31T10:30:00+01:00', x'00ff', 1.5)"
    )
    writer.execute("INSERT INTO typed VALUES (2, 'ten', 'many', 7, 'today', 5, NULL, '', 'text', 'real')")
    first, second = (each["after"] for each in _contents(capture))
    assert first == {
        "id": 1,
        "d": "10.000",
        "n": "12345",
        "b": True,
        "day": 20484,
        "at": 1769851800125,
        "fine": 1769851800000125,
        "stamp": "2026-01-31T09:30:00Z",
        "blob": "AP8=",
        "r": 1.5,
    }
    # What is not of its column's kind goes as it is.
    assert second == {
        "id": 2,
        "d": "ten",
        "n": "many",
        "b": 7,
        "day": "today",
        "at": 5,
        "fine": None,
        "stamp": "",
        "blob": "text",
        "r": "real",
    }


def test_replace_upsert_and_ignore_come_out_as_what_they_did(capture: SqliteCapture, writer: apsw.Connection) -> None:
    writer.execute("INSERT INTO item VALUES (1, 'pen', '1.00')")
    writer.execute("INSERT OR REPLACE INTO item VALUES (1, 'ink', '2.00')")
    writer.execute("REPLACE INTO item VALUES (2, 'new', '3.00')")
    writer.execute("INSERT INTO item VALUES (1, 'x', '4.00') ON CONFLICT (id) DO UPDATE SET price = excluded.price")
    writer.execute("INSERT OR IGNORE INTO item VALUES (1, 'y', '5.00')")
    writer.execute("INSERT INTO item VALUES (3, 'after', '6.00')")
    assert _images(capture) == [
        ("c", None, (1, "pen", "1.00")),
        ("u", (1, "pen", "1.00"), (1, "ink", "2.00")),
        ("c", None, (2, "new", "3.00")),
        ("u", (1, "ink", "2.00"), (1, "ink", "4.00")),
        ("c", None, (3, "after", "6.00")),
    ]


def test_replace_is_a_delete_and_a_create_for_a_client_with_recursive_triggers(
    capture: SqliteCapture, writer: apsw.Connection
) -> None:
    writer.execute("PRAGMA recursive_triggers = ON")
    writer.execute("INSERT INTO item VALUES (1, 'pen', '1.00')")
    writer.execute("INSERT OR REPLACE INTO item VALUES (1, 'ink', '2.00')")
    writer.execute("INSERT OR IGNORE INTO item VALUES (1, 'y', '5.00')")
    writer.execute("DELETE FROM item")
    assert [op for op, _, _ in _images(capture)] == ["c", "d", "c", "d"]


def test_a_row_deleted_after_an_ignored_insert_is_a_delete(capture: SqliteCapture, writer: apsw.Connection) -> None:
    writer.execute("INSERT INTO item VALUES (1, 'pen', '1.00')")
    writer.execute("INSERT OR IGNORE INTO item VALUES (1, 'y', '5.00')")
    writer.execute("DELETE FROM item")
    assert [op for op, _, _ in _images(capture)] == ["c", "d"]


def test_a_table_that_was_dropped_and_made_again_is_captured_again(
    capture: SqliteCapture, writer: apsw.Connection
) -> None:
    writer.execute("INSERT INTO bare VALUES (1, 2)")
    writer.execute("DROP TABLE bare")
    writer.execute("CREATE TABLE bare (a, b)")
    capture.read(0, 10)
    writer.execute("INSERT INTO bare VALUES (3, 4)")
    assert _images(capture) == [("c", None, (1, 2)), ("c", None, (3, 4))]


def test_a_generated_key_is_not_taken_for_a_replaced_row(capture: SqliteCapture, writer: apsw.Connection) -> None:
    """Before the insert SQLite shows -1 for a key that it is going to generate."""
    writer.execute("INSERT INTO item VALUES (-1, 'minus', '1.00')")
    writer.execute("INSERT INTO item (name) VALUES ('generated')")
    assert [op for op, _, _ in _images(capture)] == ["c", "c"]


def test_a_key_of_two_columns(capture: SqliteCapture, writer: apsw.Connection) -> None:
    writer.execute("INSERT INTO pair VALUES ('a', 1, 'v')")
    writer.execute("INSERT OR REPLACE INTO pair VALUES ('a', 1, 'w')")
    writer.execute("UPDATE pair SET y = 2")
    records = capture.read(0, 10).records
    assert [each.key for each in records] == ['["a",1]', '["a",1]', '["a",1]', '["a",2]']
    assert [op for op, _, _ in _images(capture)] == ["c", "u", "d", "c"]


def test_a_new_column_is_captured_once_it_is_noticed(capture: SqliteCapture, writer: apsw.Connection) -> None:
    writer.execute("INSERT INTO item VALUES (1, 'pen', '1.00')")
    writer.execute("ALTER TABLE item ADD COLUMN colour TEXT")
    capture.read(0, 10)
    writer.execute("UPDATE item SET colour = 'red'")
    before, after = _contents(capture)
    assert before["after"] == {"id": 1, "name": "pen", "price": "1.00"}
    assert after["before"] == {"id": 1, "name": "pen", "price": "1.00", "colour": None}
    assert after["after"] == {"id": 1, "name": "pen", "price": "1.00", "colour": "red"}


def test_an_outbox_row_is_a_fact(capture: SqliteCapture, path: Path) -> None:
    """For every client."""
    with foreign_client(path) as client:
        client.execute("INSERT INTO fact VALUES (1, '{}', 5)")
    for change in ("UPDATE fact SET at_ms = 6", "DELETE FROM fact"):
        with pytest.raises(AssertionError, match="never changed or removed"), foreign_client(path) as client:
            client.execute(change)
    assert _contents(capture) == [{"payload": {}}]


def test_transactions_are_told_apart_where_the_writer_marks_them(
    capture: SqliteCapture, writer: apsw.Connection
) -> None:
    for number in (1, 2):
        writer.execute("BEGIN IMMEDIATE")
        writer.execute(MARK_TRANSACTION)
        writer.execute("INSERT INTO item VALUES (?, ?, '1.00')", (number, f"n{number}"))
        writer.execute("INSERT INTO pair VALUES ('a', ?, 'v')", (number,))
        writer.execute(MARK_TRANSACTION)
        writer.execute("COMMIT")
    writer.execute("INSERT INTO item VALUES (3, 'alone', '1.00')")
    found = [each["transaction"] for each in _contents(capture)]
    assert [(each["total_order"], each["data_collection_order"]) for each in found] == [(1, 1), (2, 1)] * 2 + [(1, 1)]
    assert len({each["id"] for each in found}) == 3
    assert found[0]["id"] == found[1]["id"]


def test_the_order_in_a_transaction_is_the_same_wherever_reading_begins(
    capture: SqliteCapture, writer: apsw.Connection
) -> None:
    writer.execute("BEGIN IMMEDIATE")
    writer.execute(MARK_TRANSACTION)
    for number in range(6):
        writer.execute("INSERT INTO item VALUES (?, ?, '1.00')", (number, f"n{number}"))
        writer.execute("INSERT INTO pair VALUES ('a', ?, 'v')", (number,))
    writer.execute(MARK_TRANSACTION)
    writer.execute("COMMIT")
    whole = capture.read(0, 100).records
    for after in (5, 0, 11, 4, 5):
        assert list(capture.read(after, 3).records) == list(whole[after : after + 3])


def test_what_cannot_be_captured_is_said_at_once(path: Path) -> None:
    for table, text in (("nowhere", "no table 'nowhere'"), ('bad"name', "no table")):
        capture = SqliteCapture(path, "shop", [Captured(table)])
        with pytest.raises(ConfigurationError, match=text):
            capture.install()
        capture.close()
    connection = apsw.Connection(str(path))
    connection.execute('CREATE TABLE odd ("a column" TEXT)')
    connection.close()
    capture = SqliteCapture(path, "shop", [Captured("odd")])
    with pytest.raises(ConfigurationError, match="'a column'"):
        capture.install()
    capture.close()


def test_positions_are_never_given_twice(capture: SqliteCapture, writer: apsw.Connection) -> None:
    """Not even when all changes have been released, and the last of them was rolled back."""
    writer.execute("INSERT INTO item VALUES (1, 'pen', '1.00')")
    capture.release(1)
    assert capture.bounds() == (1, 1)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO item VALUES (2, 'ink', '1.00')")
    writer.execute("ROLLBACK")
    writer.execute("INSERT INTO item VALUES (3, 'cap', '1.00')")
    assert capture.read(1, 10).position == 2
    assert capture.bounds() == (1, 2)


def _log(folder: Path) -> SqliteLog:
    log = SqliteLog(folder / "log.db")
    for captured in CAPTURED:
        log.create(Topic(captured.topic, partitions=1))
    return log


def _names(log: SqliteLog) -> list[str]:
    return [msgspec.json.decode(each.value or b"")["after"]["name"] for each in log.read("item", 0, 0, 100_000)]


class _Crash(Exception):
    pass


@pytest.mark.parametrize("crash_after", ["read", "append", "release"])
def test_a_relay_that_dies_between_two_steps_loses_and_repeats_nothing(
    capture: SqliteCapture, writer: apsw.Connection, tmp_path: Path, crash_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _log(tmp_path)
    for number in range(10):
        writer.execute("INSERT INTO item VALUES (?, ?, '1.00')", (number, f"n{number}"))
    owner = log if crash_after == "append" else capture
    real = getattr(owner, crash_after)

    def dying(*values: Any, **named: Any) -> Any:
        real(*values, **named)
        raise _Crash

    relay = Relay(capture, log, "shop", batch_max=3, release_every=3)
    with monkeypatch.context() as patched:
        patched.setattr(owner, crash_after, dying)
        with pytest.raises(_Crash):
            relay.step()
    again = Relay(capture, log, "shop", batch_max=3, release_every=3)
    while again.step():
        pass
    assert _names(log) == [f"n{number}" for number in range(10)]
    assert again.status().lag == 0
    log.close()


def test_a_relay_that_is_far_behind_does_not_pause(
    capture: SqliteCapture, writer: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstem.cdc.relay._LOADED_PACE_S", 3600.0)
    monkeypatch.setattr("mainstem.cdc.relay._PACE_S", 3600.0)
    log = _log(tmp_path)
    for number in range(10):
        writer.execute("INSERT INTO item VALUES (?, ?, '1.00')", (number, f"n{number}"))
    stop = threading.Event()
    running = threading.Thread(target=Relay(capture, log, "shop", batch_max=3).run, args=(stop,))
    running.start()
    deadline = time.monotonic() + 10
    while len(_names(log)) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    running.join(10)
    assert _names(log) == [f"n{number}" for number in range(10)]
    log.close()


_WRITER = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.set_busy_timeout(10000)
number = int(sys.argv[2])
while True:
    connection.execute("INSERT INTO item VALUES (?, ?, '1.00')", (number, f"n{number}"))
    number += 1
    print(number, flush=True)
"""


def test_a_writer_killed_under_a_running_relay(capture: SqliteCapture, path: Path, tmp_path: Path) -> None:
    """Every row that was committed is in the log, once, in order."""
    log = _log(tmp_path)
    relay = Relay(capture, log, "shop")
    stop = threading.Event()
    running = threading.Thread(target=relay.run, args=(stop,))
    running.start()
    number = 0
    for _ in range(4):
        words = [sys.executable, "-c", _WRITER, str(path), str(number)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(30):
                process.stdout.readline()
            process.kill()
        connection = apsw.Connection(str(path))
        number = connection.execute("SELECT max(id) + 1 FROM item").fetchall()[0][0]  # type: ignore[assignment]
        connection.close()
    for _ in range(500):
        if len(log.read("item", 0, 0, 100_000)) >= number:
            break
        threading.Event().wait(0.02)
    stop.set()
    capture.wake()
    running.join(10)
    assert _names(log) == [f"n{n}" for n in range(number)]
    log.close()
