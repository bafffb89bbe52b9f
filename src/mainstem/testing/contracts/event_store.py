"""What every event store keeps to. Bind an adapter by subclassing `EventStoreContract` and implementing `open`."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from mainstem.errors import CodecError, StateDrift, VersionConflict
from mainstem.eventstore.port import (
    EventStore,
    KeptAnswer,
    KeptRefusal,
    KeptSnapshot,
    NewEvent,
    Refusal,
    RefusalCount,
    RefusalFilter,
    Retried,
    Snapshot,
    Wanted,
)
from mainstem.messages import Origin
from mainstem.table import Table

ORIGIN = Origin(actor="teller", correlation_id="c-1", causation_id="order-7:3")


class Account(Struct, frozen=True):
    """The state row of this suite."""

    id: str
    holder: str
    version: int
    note: str | None = None
    order: int = 0


ACCOUNT = Table("account", Account, key=("id",))


def event(number: int) -> NewEvent:
    """An event that can be told from others."""
    return NewEvent("Counted", b'{"type":"Counted","n":%d}' % number)


class EventStoreContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path) -> EventStore:
        """The store of that folder, with the state table ACCOUNT, its clock standing at 1000."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[EventStore]:
        """An empty store."""
        store = self.open(tmp_path)
        yield store
        store.close()

    def append(self, store: EventStore, stream: str, expected: int, *numbers: int) -> None:
        """Append in a transaction of its own."""
        with store.transaction() as transaction:
            transaction.append(stream, expected, [event(n) for n in numbers], occurred_at_ms=500, origin=ORIGIN)

    def test_nothing_is_recorded_before_it_occurred(self, store: EventStore) -> None:
        """A transaction's clock is read once, at its beginning."""
        with store.transaction() as transaction:
            transaction.append("a-1", 0, [event(1)], occurred_at_ms=5_000, origin=ORIGIN)
        assert store.read("a-1")[0].recorded_at_ms == 5_000

    def test_events_come_back_as_they_were_appended(self, store: EventStore) -> None:
        """With their versions, times and origin."""
        self.append(store, "a-1", 0, 1, 2)
        first, second = store.read("a-1")
        assert (first.stream, first.version, first.type, first.payload) == ("a-1", 1, *self._parts(1))
        assert (first.occurred_at_ms, first.recorded_at_ms) == (500, 1000)
        assert (first.actor, first.correlation_id, first.causation_id) == ("teller", "c-1", "order-7:3")
        assert (second.version, second.payload) == (2, event(2).payload)

    def _parts(self, number: int) -> tuple[str, bytes]:
        return event(number).type, event(number).payload

    def test_a_page_begins_behind_a_version_and_ends_at_the_limit(self, store: EventStore) -> None:
        """Pages of one stream."""
        self.append(store, "a-1", 0, *range(1, 8))
        assert [stored.version for stored in store.read("a-1", after=2, limit=3)] == [3, 4, 5]
        assert list(store.read("a-1", after=7)) == []
        assert list(store.read("nobody")) == []

    @pytest.mark.parametrize("expected", [0, 1, 3, 100])
    def test_another_expected_version_is_a_conflict(self, store: EventStore, expected: int) -> None:
        """Below and above the stream's version alike, and nothing is changed."""
        self.append(store, "a-1", 0, 1, 2)
        with pytest.raises(VersionConflict) as caught:
            self.append(store, "a-1", expected, 9)
        assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("a-1", expected, 2)
        assert len(store.read("a-1")) == 2

    def test_a_transaction_that_raises_changes_nothing(self, store: EventStore) -> None:
        """Events, state, answers and refusals go back together."""

        def fail() -> None:
            with store.transaction() as transaction:
                transaction.append("a-1", 0, [event(1)], occurred_at_ms=1, origin=ORIGIN)
                transaction.put_state(ACCOUNT, None, Account("1", "Ada", 1))
                transaction.keep_answer("k", KeptAnswer(b"d", b"a"), 1)
                transaction.keep_refusal(_refusal("no"))
                raise KeyError("stop")

        with pytest.raises(KeyError):
            fail()
        with store.transaction() as transaction:
            assert transaction.load("a-1", 0) == []
            assert transaction.kept_answer("k") is None
        assert list(store.states(ACCOUNT)) == []
        assert list(store.refusals.page()) == []

    def test_loading_goes_on_from_a_version(self, store: EventStore) -> None:
        """And says so where the stream never reached that version."""
        self.append(store, "a-1", 0, 1, 2, 3)
        with store.transaction() as transaction:
            after_one = transaction.load("a-1", 1)
            assert after_one is not None
            assert [stored.version for stored in after_one] == [2, 3]
            assert transaction.load("a-1", 3) == []
            assert transaction.load("a-1", 4) is None
            assert transaction.load("nobody", 0) == []
            assert transaction.load("nobody", 1) is None

    def test_what_was_expected_is_what_stands(self, store: EventStore) -> None:
        """Streams with and without news, one that never got there, and one that the transaction itself goes on with."""
        for stream in ("even", "news", "short", "own"):
            self.append(store, stream, 0, 1, 2)
        with store.transaction() as transaction:
            after = {"even": 2, "news": 1, "short": 3, "own": 2, "none": 1, "new": 0}
            transaction.expect([Wanted(stream, version, "") for stream, version in after.items()], [])
            assert transaction.load("own", 2) == []
            transaction.append("own", 2, [event(3)], occurred_at_ms=500, origin=ORIGIN)
            found = {stream: transaction.load(stream, version) for stream, version in after.items()}
            transaction.append("even", 2, [event(3)], occurred_at_ms=500, origin=ORIGIN)
        assert [stream for stream, events in found.items() if events is None] == ["short", "none"]
        behind = {stream: [each.version for each in events] for stream, events in found.items() if events is not None}
        assert behind == {"even": [], "news": [2], "own": [3], "new": []}
        assert [each.version for each in store.read("even")] == [1, 2, 3]

    def test_a_transaction_sees_its_own_events(self, store: EventStore) -> None:
        """A second command of a batch decides on what the first has appended."""
        with store.transaction() as transaction:
            transaction.append("a-1", 0, [event(1)], occurred_at_ms=1, origin=ORIGIN)
            assert len(transaction.load("a-1", 0) or ()) == 1
            transaction.append("a-1", 1, [event(2)], occurred_at_ms=1, origin=ORIGIN)
        assert len(store.read("a-1")) == 2

    def test_everything_is_read_in_commit_order(self, store: EventStore) -> None:
        """Streams mixed, in batches of the size asked for."""
        for number in range(1, 6):
            self.append(store, f"a-{number % 2}", (number - 1) // 2, number)
        batches = list(store.read_all(batch=2))
        assert [len(batch) for batch in batches] == [2, 2, 1]
        assert [stored.payload for batch in batches for stored in batch] == [event(n).payload for n in range(1, 6)]

    def test_reading_everything_is_a_picture_of_one_moment(self, store: EventStore) -> None:
        """What is appended while somebody reads is not in it."""
        self.append(store, "a-1", 0, 1, 2, 3)
        reading = store.read_all(batch=1)
        seen = [next(reading)]
        self.append(store, "a-1", 3, 4)
        seen.extend(reading)
        assert sum(len(batch) for batch in seen) == 3

    def test_the_state_row_follows(self, store: EventStore) -> None:
        """Inserted, changed and removed, NULL included."""
        one, two = Account("1", "Ada", 1), Account("1", "Ada", 2, "moved")
        for before, after in ((None, one), (one, two), (two, one)):
            with store.transaction() as transaction:
                transaction.put_state(ACCOUNT, before, after)
            assert list(store.states(ACCOUNT)) == [after]
        with store.transaction() as transaction:
            transaction.put_state(ACCOUNT, one, None)
        assert list(store.states(ACCOUNT)) == []

    @pytest.mark.parametrize("change", [{"version": 1.5}, {"version": "z"}, {"holder": 5}, {"holder": None}])
    def test_a_state_row_that_could_not_be_read_back(self, store: EventStore, change: dict[str, object]) -> None:
        """The transaction fails, and its events go back with the row."""

        def fail() -> None:
            with store.transaction() as transaction:
                transaction.append("a-1", 0, [event(1)], occurred_at_ms=1, origin=ORIGIN)
                transaction.put_state(ACCOUNT, None, replace(Account("1", "Ada", 1), **change))

        with pytest.raises(CodecError, match=f"column {next(iter(change))} of account"):
            fail()
        assert list(store.states(ACCOUNT)) == []
        assert store.read("a-1") == []

    def test_a_state_row_that_was_changed_by_somebody_else_is_a_drift(self, store: EventStore) -> None:
        """Changed, gone, or there before it was made."""
        stands = Account("1", "Ada", 1)
        with store.transaction() as transaction:
            transaction.put_state(ACCOUNT, None, stands)
        other = replace(stands, holder="Eve")
        for before, after in ((other, stands), (other, None), (None, stands), (replace(stands, id="2"), stands)):
            with pytest.raises(StateDrift), store.transaction() as transaction:
                transaction.put_state(ACCOUNT, before, after)
        assert list(store.states(ACCOUNT)) == [stands]

    def test_an_answer_is_kept_by_its_key(self, store: EventStore) -> None:
        """Until it is forgotten by age."""
        with store.transaction() as transaction:
            transaction.keep_answer("old", KeptAnswer(b"1", b"x"), 10)
            transaction.keep_answer("new", KeptAnswer(b"2", b"y"), 20)
        assert store.forget_answers(before_ms=20) == 1
        with store.transaction() as transaction:
            assert transaction.kept_answer("old") is None
            assert transaction.kept_answer("new") == KeptAnswer(b"2", b"y")

    def test_answers_are_forgotten_within_the_limit(self, store: EventStore) -> None:
        """So that no single call takes long."""
        with store.transaction() as transaction:
            for number in range(5):
                transaction.keep_answer(str(number), KeptAnswer(b"1", b"x"), number)
        assert store.forget_answers(before_ms=100, limit=3) == 3
        assert store.forget_answers(before_ms=100, limit=3) == 2

    def test_what_has_a_text_in_it_is_counted(self, store: EventStore) -> None:
        """Of snapshots, refused commands and kept answers."""
        nothing = {"snapshots": 0, "refused commands": 0, "kept answers": 0}
        assert store.holding("red") == nothing
        store.keep_snapshots([("a-1", _snapshot(1, "f1")), ("a-2", replace(_snapshot(1, "f1"), state=b"a red b"))])
        with store.transaction() as transaction:
            transaction.keep_answer("one", KeptAnswer(b"red", b"red"), 10)
            transaction.keep_answer("two", KeptAnswer(b"red", b"Red"), 10)
            transaction.keep_refusal(_refusal("no"))
            transaction.keep_refusal(_refusal("it is red"))
            transaction.keep_refusal(replace(_refusal("no"), content=b'{"type":"red"}'))
        assert store.holding("red") == {"snapshots": 1, "refused commands": 2, "kept answers": 1}
        assert store.holding("re_") == nothing

    def test_a_snapshot_is_read_by_stream_and_fingerprint(self, store: EventStore) -> None:
        """It comes back as it was kept, and takes the place of the one that was there, older or not."""
        one, other, older = _snapshot(9, "f1"), _snapshot(7, "f2"), _snapshot(3, "f1")
        store.keep_snapshots([("a-1", one), ("a-2", other)])
        store.keep_snapshots([("a-1", other)])
        store.keep_snapshots([])
        assert self._snapshots(store, "a-1") == [one, other]
        assert self._snapshots(store, "a-2") == [None, other]
        store.keep_snapshots([("a-1", older)])
        assert self._snapshots(store, "a-1") == [older, other]

    def _snapshots(self, store: EventStore, stream: str) -> list[Snapshot | None]:
        with store.transaction() as transaction:
            transaction.expect([Wanted(stream, 0, "f1")], [])
            return [transaction.snapshot(stream, fingerprint) for fingerprint in ("f1", "f2")]

    def test_loading_does_not_depend_on_a_snapshot(self, store: EventStore) -> None:
        """One that is ahead of its stream, or behind it, hides no event."""
        self.append(store, "a-1", 0, 1, 2, 3)
        for version in (2, 7):
            store.keep_snapshots([("a-1", _snapshot(version, "f1"))])
            with store.transaction() as transaction:
                transaction.expect([Wanted("a-1", 0, "f1")], [])
                assert [stored.version for stored in transaction.load("a-1", 0) or ()] == [1, 2, 3]
                assert transaction.load("a-1", 7) is None

    def test_snapshots_are_listed(self, store: EventStore) -> None:
        """In the order of streams and fingerprints, with the size of their states."""
        store.keep_snapshots([("b-1", _snapshot(1, "f1")), ("a-1", _snapshot(2, "f2")), ("a-1", _snapshot(3, "f1"))])
        found = list(store.kept_snapshots())
        assert [(each.stream, each.fingerprint, each.version) for each in found] == [
            ("a-1", "f1", 3),
            ("a-1", "f2", 2),
            ("b-1", "f1", 1),
        ]
        assert found[0] == KeptSnapshot("a-1", "f1", 3, 30, 300, len(_snapshot(3, "f1").state))
        assert list(store.kept_snapshots("b-1")) == found[2:]
        assert list(store.kept_snapshots("nobody")) == []

    def test_old_snapshots_are_dropped_within_the_limit(self, store: EventStore) -> None:
        """Those of other fingerprints than named, taken before then; without either, all."""
        for version, fingerprint in enumerate(("f1", "f1", "f2", "f3", "f3"), 1):
            store.keep_snapshots([(f"a-{version}", _snapshot(version, fingerprint))])
        assert store.drop_snapshots(keep=("f1", "f2"), before_ms=500) == 1
        assert [each.version for each in store.kept_snapshots()] == [1, 2, 3, 5]
        assert store.drop_snapshots(keep=("f1",), limit=1) == 1
        assert store.drop_snapshots(keep=("f1",), limit=5) == 1
        assert store.drop_snapshots(keep=("f1",)) == 0
        assert store.drop_snapshots() == 2
        assert list(store.kept_snapshots()) == []

    def test_refusals_are_kept_newest_first(self, store: EventStore) -> None:
        """Each has a number of its own, by which it is found again."""
        kept = self.refuse(store, *(_refusal(text) for text in ("one", "two", "three")))
        assert [each.refusal for each in kept] == [_refusal(text) for text in ("three", "two", "one")]
        assert len({each.number for each in kept}) == 3
        assert [store.refusals.find(each.number) for each in kept] == kept
        assert store.refusals.find(max(each.number for each in kept) + 1) is None

    def test_refusals_are_read_in_pages(self, store: EventStore) -> None:
        """Every one of them once, also where many were refused in one millisecond."""
        kept = self.refuse(store, *(replace(_refusal(str(n)), refused_at_ms=7 + n // 4) for n in range(10)))
        found, after = list[KeptRefusal](), None
        while page := store.refusals.page(after=after, limit=3):
            found += page
            after = (page[-1].refusal.refused_at_ms, page[-1].number)
        assert found == kept
        assert [each.refusal.text for each in found] == [str(n) for n in reversed(range(10))]

    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            (RefusalFilter(), "dcba"),
            (RefusalFilter(stream="a-1"), "ca"),
            (RefusalFilter(category="a"), "dca"),
            (RefusalFilter(category="a-1"), ""),
            (RefusalFilter(reason="too-much"), "b"),
            (RefusalFilter(command="Reset"), "c"),
            (RefusalFilter(actor="robot"), "d"),
            (RefusalFilter(from_ms=200), "dcb"),
            (RefusalFilter(to_ms=200), "a"),
            (RefusalFilter(from_ms=200, to_ms=400), "cb"),
            (RefusalFilter(retry_of=1_000), "d"),
            (RefusalFilter(category="a", reason="not-now", from_ms=200), "dc"),
            (RefusalFilter(stream="nobody"), ""),
        ],
        ids=lambda asked: "" if isinstance(asked, str) else str(asked),
    )
    def test_refusals_are_found_by_what_they_have(self, store: EventStore, asked: RefusalFilter, found: str) -> None:
        """All that is named counts, in every combination; and so they are counted."""
        self.refuse(
            store,
            replace(_refusal("a"), refused_at_ms=100),
            replace(_refusal("b"), refused_at_ms=200, stream="ab-1", reason="too-much"),
            replace(_refusal("c"), refused_at_ms=300, command="Reset"),
            replace(_refusal("d"), refused_at_ms=400, stream="a-2", actor="robot", retry_of=1_000),
        )
        assert "".join(each.refusal.text for each in store.refusals.page(asked)) == found
        assert sum(each.refusals for each in store.refusals.counts(asked)) == len(found)

    def test_refusals_are_counted_by_reason_and_period(self, store: EventStore) -> None:
        """The most frequent reason first; of periods the newest."""
        times = {"not-now": (0, 99, 100), "too-much": (100, 199)}
        self.refuse(
            store, *(replace(_refusal("x"), reason=r, refused_at_ms=at) for r, each in times.items() for at in each)
        )
        assert list(store.refusals.counts()) == [RefusalCount("not-now", 3), RefusalCount("too-much", 2)]
        assert list(store.refusals.counts(limit=1)) == [RefusalCount("not-now", 3)]
        assert list(store.refusals.counts(period_ms=100)) == [
            RefusalCount("too-much", 2, 100),
            RefusalCount("not-now", 1, 100),
            RefusalCount("not-now", 2, 0),
        ]

    def test_a_refusal_knows_of_its_accepted_retry(self, store: EventStore) -> None:
        """In the transaction that accepts it, and afterwards."""
        second, first = self.refuse(store, _refusal("one"), _refusal("two"))
        retried = Retried(3, 900, "operator")
        with store.transaction() as transaction:
            assert transaction.retried(first.number) is None
            transaction.keep_retried(first.number, retried)
            assert transaction.retried(first.number) == retried
        with store.transaction() as transaction:
            assert transaction.retried(first.number) == retried
            assert transaction.retried(second.number) is None
        assert store.refusals.find(first.number) == replace(first, retried=retried)
        assert list(store.refusals.page()) == [second, replace(first, retried=retried)]

    def refuse(self, store: EventStore, *refusals: Refusal) -> list[KeptRefusal]:
        """Keep them in one transaction; all that are kept, newest first."""
        with store.transaction() as transaction:
            for refusal in refusals:
                transaction.keep_refusal(refusal)
        return list(store.refusals.page())

    def test_writers_of_one_stream_take_turns(self, store: EventStore) -> None:
        """Eight threads append to one stream; each version is taken once and none is lost."""

        def work() -> None:
            for number in range(25):
                with store.transaction() as transaction:
                    stands = len(transaction.load("a-1", 0) or ())
                    transaction.append("a-1", stands, [event(number)], occurred_at_ms=1, origin=ORIGIN)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [stored.version for stored in store.read("a-1")] == list(range(1, 201))

    def test_what_was_committed_is_there_after_opening_again(self, store: EventStore, tmp_path: Path) -> None:
        """And closing twice is allowed."""
        self.append(store, "a-1", 0, 1)
        store.close()
        store.close()
        again = self.open(tmp_path)
        try:
            assert [stored.version for stored in again.read("a-1")] == [1]
        finally:
            again.close()


def _snapshot(version: int, fingerprint: str) -> Snapshot:
    return Snapshot(version, version * 10, fingerprint, version * 100, b'{"n":%d}' % version, b"\x00\xff")


def _refusal(text: str) -> Refusal:
    return Refusal(
        stream="a-1",
        command="Count",
        content=b'{"type":"Count"}',
        reason="not-now",
        text=text,
        refused_at_ms=7,
        actor="teller",
        correlation_id="c-1",
        causation_id="order-7:3",
    )
