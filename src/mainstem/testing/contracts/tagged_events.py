"""What every event store keeps to of tags. Bind an adapter by subclassing `TaggedEventsContract`."""

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mainstem.errors import StoreBusy, TagConflict, VersionConflict, WriteConflict
from mainstem.eventstore.port import EventStore, NewEvent, StoreTransaction, Wanted
from mainstem.messages import Origin

ORIGIN = Origin(actor="teller")
_PATIENCE_S = 60.0


def tagged(number: int, *tags: str) -> NewEvent:
    """An event that can be told from others, with those tags."""
    return NewEvent("Counted", b'{"type":"Counted","n":%d}' % number, tags=tags)


class TaggedEventsContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path) -> EventStore:
        """The store of that folder; opened a second time it stands for another process."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[EventStore]:
        """An empty store."""
        store = self.open(tmp_path)
        yield store
        store.close()

    @pytest.fixture
    def other(self, tmp_path: Path) -> Iterator[EventStore]:
        """The same store, as another process has it."""
        other = self.open(tmp_path)
        yield other
        other.close()

    def test_events_are_found_by_each_of_their_tags(self, store: EventStore) -> None:
        """Across streams, numbered in each tag by itself, as they were appended."""
        _append(store, "a-1", 0, tagged(1, "red", "big"), tagged(2), tagged(3, "red"))
        _append(store, "b-1", 0, tagged(4, "big", "big"))
        red, big = store.read_tagged("red"), store.read_tagged("big")
        assert [(each.tag, each.number, each.event) for each in red] == [
            ("red", 1, store.read("a-1")[0]),
            ("red", 2, store.read("a-1")[2]),
        ]
        assert [(each.number, each.event) for each in big] == [(1, store.read("a-1")[0]), (2, store.read("b-1")[0])]
        assert list(store.read_tagged("Red")) == []

    def test_a_page_begins_behind_a_number_and_ends_at_the_limit(self, store: EventStore) -> None:
        """Pages of one tag."""
        _append(store, "a-1", 0, *(tagged(n, "red") for n in range(1, 8)))
        assert [each.number for each in store.read_tagged("red", after=2, limit=3)] == [3, 4, 5]
        assert list(store.read_tagged("red", after=7)) == []

    def test_a_transaction_that_raises_tags_nothing(self, store: EventStore) -> None:
        """The numbers go on where they stood."""

        def fail() -> None:
            with store.transaction() as transaction:
                assert transaction.load_tagged({"red": 0}) == []
                transaction.append("a-1", 0, [tagged(1, "red")], occurred_at_ms=1, origin=ORIGIN)
                assert _numbers(transaction, red=0) == [("red", 1)]
                raise KeyError("stop")

        with pytest.raises(KeyError):
            fail()
        assert list(store.read_tagged("red")) == []
        _append(store, "a-1", 0, tagged(2, "red"))
        assert [each.number for each in store.read_tagged("red")] == [1]

    def test_loading_goes_on_from_a_number(self, store: EventStore) -> None:
        """And says so where the tag never reached it."""
        _append(store, "a-1", 0, *(tagged(n, "red") for n in range(3)))
        with store.transaction() as transaction:
            transaction.expect([], [])
            transaction.expect_tags(["red", "nobody"])
            assert _numbers(transaction, red=1) == [("red", 2), ("red", 3)]
            assert transaction.load_tagged({"red": 3, "nobody": 0}) == []
            assert transaction.load_tagged({"red": 4}) is None
            assert transaction.load_tagged({"red": 0, "nobody": 1}) is None

    def test_several_tags_are_loaded_in_the_order_of_their_events(self, store: EventStore) -> None:
        """An event that has two of them is there twice, side by side."""
        _append(store, "b-1", 0, tagged(1, "red"))
        _append(store, "a-1", 0, tagged(2, "big"), tagged(3, "red", "big"), tagged(4))
        with store.transaction() as transaction:
            assert _numbers(transaction, red=0, big=0) == [("red", 1), ("big", 1), ("big", 2), ("red", 2)]
            assert _numbers(transaction, red=1, big=1) == [("big", 2), ("red", 2)]

    def test_a_transaction_sees_its_own_events(self, store: EventStore) -> None:
        """A second command of a batch decides on what the first has appended."""
        with store.transaction() as transaction:
            transaction.append("a-1", 0, [tagged(1, "red")], occurred_at_ms=1, origin=ORIGIN, standing={"red": 0})
            transaction.append("b-1", 0, [tagged(2, "red")], occurred_at_ms=1, origin=ORIGIN, standing={"red": 1})
            assert _numbers(transaction, red=0) == [("red", 1), ("red", 2)]
        assert [each.event.stream for each in store.read_tagged("red")] == ["a-1", "b-1"]

    @pytest.mark.parametrize("expected", [0, 1, 3])
    def test_another_number_than_expected_is_a_conflict(self, store: EventStore, expected: int) -> None:
        """Whichever stream the event came to, and nothing is changed."""
        _append(store, "a-1", 0, tagged(1, "red"), tagged(2, "red"))
        events, standing = [tagged(3, "big")], {"big": 0, "red": expected}
        with pytest.raises(TagConflict) as caught, store.transaction() as transaction:
            transaction.append("b-1", 0, events, occurred_at_ms=1, origin=ORIGIN, standing=standing)
        assert (caught.value.tag, caught.value.expected, caught.value.actual) == ("red", expected, 2)
        assert list(store.read("b-1")) == []
        assert list(store.read_tagged("big")) == []

    def test_events_without_the_tag_are_no_conflict(self, store: EventStore) -> None:
        """Neither of the stream nor of other tags."""
        _append(store, "a-1", 0, tagged(1, "red"))
        _append(store, "a-1", 1, tagged(2), tagged(3, "big"))
        with store.transaction() as transaction:
            transaction.append("b-1", 0, [tagged(4)], occurred_at_ms=1, origin=ORIGIN, standing={"red": 1})
        assert len(store.read("b-1")) == 1

    def test_a_tag_that_is_loaded_stays_as_it_is_until_the_end(self, store: EventStore, other: EventStore) -> None:
        """Another process that appends one waits, and what it decides is decided behind it."""
        first_has_loaded, seen = threading.Event(), list[int]()

        def second() -> None:
            first_has_loaded.wait(_PATIENCE_S)
            with other.transaction() as transaction:
                seen.append(len(transaction.load_tagged({"red": 0}) or ()))

        thread = threading.Thread(target=second)
        thread.start()
        with store.transaction() as transaction:
            assert transaction.load_tagged({"red": 0}) == []
            first_has_loaded.set()
            thread.join(0.2)
            transaction.append("a-1", 0, [tagged(1, "red")], occurred_at_ms=1, origin=ORIGIN, standing={"red": 0})
        thread.join(_PATIENCE_S)
        assert seen == [1]

    def test_what_all_may_take_together_is_never_exceeded(self, store: EventStore, other: EventStore) -> None:
        """Two processes, four threads each: of ten that may be, ten are, whoever was first."""
        threads = [
            threading.Thread(target=_take_ten, args=(taking, f"{name}-{number}"))
            for name, taking in (("a", store), ("b", other))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE_S)
        assert [each.number for each in store.read_tagged("red", limit=100)] == list(range(1, 11))

    def test_tags_are_there_after_opening_again(self, store: EventStore, tmp_path: Path) -> None:
        """With their numbers."""
        _append(store, "a-1", 0, tagged(1, "red"))
        store.close()
        again = self.open(tmp_path)
        try:
            _append(again, "b-1", 0, tagged(2, "red"))
            assert [each.number for each in again.read_tagged("red")] == [1, 2]
        finally:
            again.close()


def _append(store: EventStore, stream: str, expected: int, *events: NewEvent) -> None:
    with store.transaction() as transaction:
        transaction.append(stream, expected, events, occurred_at_ms=500, origin=ORIGIN)


def _numbers(transaction: StoreTransaction, **after: int) -> list[tuple[str, int]]:
    return [(each.tag, each.number) for each in transaction.load_tagged(after) or ()]


def _take_ten(store: EventStore, stream: str) -> None:
    """Try to append until all ten are there; in a stream of its own, or in one that all write to."""
    rng = random.Random(stream)
    while True:
        name = stream if rng.random() < 0.7 else "shared-1"
        with suppress(StoreBusy, VersionConflict, WriteConflict), store.transaction() as transaction:
            transaction.expect([Wanted(name, 0, "")], [])
            transaction.expect_tags(["red", stream])
            version = len(transaction.load(name, 0) or ())
            taken = len(transaction.load_tagged({"red": 0}) or ())
            if taken >= 10:
                return
            transaction.append(
                name, version, [tagged(taken, "red", stream)], occurred_at_ms=1, origin=ORIGIN, standing={"red": taken}
            )
