"""What every capture keeps to. Bind an adapter by subclassing `CaptureContract` and implementing its three methods."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mainstem.cdc.port import Capture, Captured, Outbox
from mainstem.messages import NewRecord

ITEM = Captured("item", topic="items")
"""A table ``item(id INTEGER PRIMARY KEY, name TEXT, price DECIMAL(18,2))``."""

FACT = Captured(
    "fact", topic="facts", outbox=Outbox(key="stream", payload="content", timestamp="at_ms", columns=("stream", "n"))
)
"""A table ``fact(n INTEGER PRIMARY KEY, stream TEXT, content TEXT, at_ms INTEGER)``."""


class Client(Protocol):
    """A client of the database that knows nothing of the capture."""

    def execute(self, sql: str, /) -> Any:
        """Run one statement."""


class CaptureContract(ABC):
    """The suite."""

    @abstractmethod
    def make(self, folder: Path) -> None:
        """Make the database of that folder, with the tables `item` and `fact`, empty."""

    @abstractmethod
    def client(self, folder: Path) -> AbstractContextManager[Client]:
        """A client that begins a transaction, commits at the end, and rolls back where the block raises."""

    @abstractmethod
    def open(self, folder: Path) -> Capture:
        """The capture of that folder, of ITEM and FACT, named "shop"; not yet installed."""

    def captured(self, capture: Capture, after: int = 0) -> Sequence[NewRecord]:
        """All records behind the position."""
        return capture.read(after, 1_000).records

    def changes(self, capture: Capture) -> list[tuple[str, Any, Any]]:
        """Of all change records: op, before, after."""
        found = [content(each) for each in self.captured(capture) if each.topic == "items"]
        return [(each["op"], each["before"], each["after"]) for each in found]

    def test_inserts_updates_and_deletes(self, tmp_path: Path) -> None:
        """Each in Debezium's envelope, in the order of the changes."""
        self.make(tmp_path)
        capture = self.open(tmp_path)
        capture.install()
        with self.client(tmp_path) as client:
            client.execute("INSERT INTO item VALUES (1, 'pen', '1.50')")
            client.execute("UPDATE item SET price = '2.00' WHERE id = 1")
            client.execute("DELETE FROM item WHERE id = 1")
        pen = {"id": 1, "name": "pen", "price": "1.50"}
        dear = {"id": 1, "name": "pen", "price": "2.00"}
        assert self.changes(capture) == [("c", None, pen), ("u", pen, dear), ("d", dear, None)]
        first = content(self.captured(capture)[0])
        assert set(first) >= {"before", "after", "op", "source", "ts_ms", "transaction"}
        assert (first["source"]["name"], first["source"]["table"]) == ("shop", "item")
        capture.close()

    def test_records_have_key_time_and_identity(self, tmp_path: Path) -> None:
        """The identity is the place in the source, the same at every reading."""
        self.make(tmp_path)
        capture = self.open(tmp_path)
        capture.install()
        with self.client(tmp_path) as client:
            client.execute("INSERT INTO item VALUES (7, 'pen', '1.50')")
            client.execute("INSERT INTO item VALUES (8, 'ink', '3')")
        records = self.captured(capture)
        assert [each.key for each in records] == ["7", "8"]
        assert records == self.captured(capture)
        assert len({each.identity for each in records}) == 2
        source = content(records[0])["source"]
        assert records[0].identity == f"{source['file']}:{source['pos']:012d}:{source['row']:03d}"
        assert records[0].timestamp_ms == source["ts_ms"] > 1_600_000_000_000
        capture.close()

    def test_rows_that_stood_before_are_a_snapshot(self, tmp_path: Path) -> None:
        """Once, however often the capture is installed."""
        self.make(tmp_path)
        with self.client(tmp_path) as client:
            client.execute("INSERT INTO item VALUES (1, 'pen', '1.50')")
        for _ in range(2):
            capture = self.open(tmp_path)
            capture.install()
            capture.install()
            assert self.changes(capture) == [("r", None, {"id": 1, "name": "pen", "price": "1.50"})]
            capture.close()

    def test_what_is_rolled_back_was_never_there(self, tmp_path: Path) -> None:
        """Nor does it leave a hole that a reader could stumble over."""
        self.make(tmp_path)
        capture = self.open(tmp_path)
        capture.install()
        try:
            with self.client(tmp_path) as client:
                client.execute("INSERT INTO item VALUES (1, 'pen', '1.50')")
                raise LookupError
        except LookupError:
            pass
        assert self.changes(capture) == []
        with self.client(tmp_path) as client:
            client.execute("INSERT INTO item VALUES (2, 'ink', '1.50')")
        assert [each.key for each in self.captured(capture)] == ["2"]
        capture.close()

    def test_a_changed_key_is_a_delete_and_a_create(self, tmp_path: Path) -> None:
        """Under the two keys, so that each key's records stay together."""
        self.make(tmp_path)
        capture = self.open(tmp_path)
        capture.install()
        with self.client(tmp_path) as client:
            client.execute("INSERT INTO item VALUES (1, 'pen', '1.50')")
            client.execute("UPDATE item SET id = 2 WHERE id = 1")
        _, gone, come = self.captured(capture)
        assert (gone.key, content(gone)["op"], come.key, content(come)["op"]) == ("1", "d", "2", "c")
        assert gone.identity != come.identity
        capture.close()

    def test_an_outbox_row_is_its_message(self, tmp_path: Path) -> None:
        """The payload goes in as it is, beside the columns that were asked for."""
        self.make(tmp_path)
        capture = self.open(tmp_path)
        capture.install()
        with self.client(tmp_path) as client:
            client.execute("""INSERT INTO fact VALUES (5, 'a-1', '{"type":"Sold","price":"1.50"}', 77)""")
        (found,) = self.captured(capture)
        assert (found.topic, found.key, found.timestamp_ms) == ("facts", "a-1", 77)
        assert content(found) == {"stream": "a-1", "n": 5, "payload": {"type": "Sold", "price": "1.50"}}
        capture.close()

    def test_reading_goes_on_behind_a_position(self, tmp_path: Path) -> None:
        """In portions, without a gap; released changes are given no more."""
        self.make(tmp_path)
        capture = self.open(tmp_path)
        capture.install()
        with self.client(tmp_path) as client:
            for number in range(10):
                client.execute(f"INSERT INTO item VALUES ({number}, 'x', '1')")
        position, keys = 0, []
        while True:
            batch = capture.read(position, 3)
            if batch.position == position:
                break
            keys += [each.key for each in batch.records]
            position = batch.position
        assert keys == [str(number) for number in range(10)]
        assert capture.lag(position) == 0
        assert capture.oldest_ms(position) is None
        oldest_ms = capture.oldest_ms(position - 4)
        assert oldest_ms is not None
        assert abs(oldest_ms - time.time() * 1000) < 60_000
        assert capture.lag(position - 4) == 4
        capture.release(position)
        assert self.captured(capture) == []
        with self.client(tmp_path) as client:
            client.execute("INSERT INTO item VALUES (10, 'x', '1')")
        assert capture.read(position, 3).position > position
        capture.close()

    def test_waiting_ends_with_a_change_of_another_client(self, tmp_path: Path) -> None:
        """Or with the time."""
        self.make(tmp_path)
        capture = self.open(tmp_path)
        capture.install()
        assert not capture.wait(0, 0.1)
        with self.client(tmp_path) as client:
            client.execute("INSERT INTO item VALUES (1, 'x', '1')")
        assert capture.wait(0, 10.0)
        capture.close()

    def test_closing_twice_is_allowed(self, tmp_path: Path) -> None:
        """The second does nothing."""
        self.make(tmp_path)
        capture = self.open(tmp_path)
        capture.install()
        capture.close()
        capture.close()


def content(record: NewRecord) -> Any:
    """The record's value, decoded."""
    return msgspec.json.decode(record.value or b"null")
