"""Any sequence of transactions by two processes, held against a model of lists. Bind an adapter by subclassing."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mainstem.errors import TagConflict, VersionConflict
from mainstem.eventstore.port import EventStore, KeptAnswer, NewEvent, Snapshot, StoredEvent, TaggedEvent
from mainstem.messages import Origin

_runs = count(1)

_STREAMS = st.sampled_from(["a", "b", "c"])
_TAGS = st.frozensets(st.sampled_from(["red", "big", "old"]), max_size=2)
_EVENTS = st.lists(_TAGS, min_size=1, max_size=4)
_APPENDS = st.lists(st.tuples(_STREAMS, _EVENTS), min_size=1, max_size=3)
_WRITERS = st.integers(0, 1)

_Write = tuple[str, list[frozenset[str]]]


class _Stop(Exception):
    """Somebody's own error, in the middle of a transaction."""


class StoreMachine(RuleBasedStateMachine):
    """Two openings of one store, and what it should hold. The names of each run are its own."""

    def __init__(self, opening: Callable[[], EventStore]) -> None:
        super().__init__()
        self._opening = opening
        self._stores = [opening(), opening()]
        self._run = next(_runs)
        self._numbers = count(1)
        self._streams: dict[str, list[tuple[bytes, frozenset[str]]]] = {}
        self._tags: dict[str, list[tuple[str, int]]] = {}
        self._answers: dict[str, KeptAnswer] = {}
        self._snapshots: dict[str, Snapshot] = {}

    def _stream(self, name: str) -> str:
        return f"s{self._run}-{name}"

    def _tag(self, name: str) -> str:
        return f"{name}:{self._run}"

    def _new(self, tags: Sequence[frozenset[str]]) -> list[tuple[bytes, frozenset[str]]]:
        return [(b'{"type":"Counted","n":%d}' % next(self._numbers), each) for each in tags]

    def _append(
        self, transaction: Any, name: str, before: int, new: Sequence[tuple[bytes, frozenset[str]]], **standing: Any
    ) -> None:
        events = [NewEvent("Counted", data, tags=tuple(map(self._tag, sorted(tags)))) for data, tags in new]
        transaction.append(
            self._stream(name), before, events, occurred_at_ms=before, origin=Origin(actor="teller"), **standing
        )

    @rule(writer=_WRITERS, writes=_APPENDS, fails=st.booleans())
    def write(self, writer: int, writes: list[_Write], fails: bool) -> None:
        """All of a transaction is there, in itself and after it, or none of it."""
        added: list[tuple[str, list[tuple[bytes, frozenset[str]]]]] = []
        with suppress(_Stop), self._stores[writer].transaction() as transaction:
            for name, tags in writes:
                own = [event for other, new in added if other == name for event in new]
                held = [*self._streams.get(name, []), *own]
                stored = transaction.load(self._stream(name), 0) or ()
                assert [event.payload for event in stored] == [data for data, _ in held]
                new = self._new(tags)
                self._append(transaction, name, len(held), new)
                added.append((name, new))
            if fails:
                raise _Stop
        for name, new in [] if fails else added:
            for data, having in new:
                events = self._streams.setdefault(name, [])
                events.append((data, having))
                for tag in having:
                    self._tags.setdefault(tag, []).append((name, len(events)))

    @rule(writer=_WRITERS, first=_STREAMS, name=_STREAMS, off=st.sampled_from([-1, 1, 7]))
    def write_on_another_version(self, writer: int, first: str, name: str, off: int) -> None:
        """A conflict, by which what the transaction had before is gone too."""
        before = len(self._streams.get(name, ()))
        if before + off < 0 or first == name:
            return

        def both() -> None:
            with self._stores[writer].transaction() as transaction:
                self._append(transaction, first, len(self._streams.get(first, ())), self._new([frozenset()]))
                self._append(transaction, name, before + off, self._new([frozenset({"red"})]))

        with pytest.raises(VersionConflict):
            both()

    @rule(writer=_WRITERS, name=_STREAMS, tag=st.sampled_from(["red", "big", "old"]), off=st.sampled_from([-1, 0, 1]))
    def write_on_a_condition(self, writer: int, name: str, tag: str, off: int) -> None:
        """Only where the last event with the tag is the one that the decision was made on."""
        standing, before = len(self._tags.get(tag, ())), len(self._streams.get(name, ()))
        if standing + off < 0:
            return
        new = self._new([frozenset({tag})])
        try:
            with self._stores[writer].transaction() as transaction:
                found = transaction.load_tagged({self._tag(tag): 0}) or ()
                assert [(each.event.stream, each.event.version) for each in found] == self._places(tag)
                self._append(transaction, name, before, new, standing={self._tag(tag): standing + off})
        except TagConflict:
            assert off
            return
        assert not off
        self._streams.setdefault(name, []).extend(new)
        self._tags.setdefault(tag, []).append((name, before + 1))

    @rule(writer=_WRITERS, key=st.sampled_from(["k", "l"]), fails=st.booleans())
    def keep_an_answer(self, writer: int, key: str, fails: bool) -> None:
        """Once for each key, and with its transaction."""
        if key in self._answers:
            return
        kept = KeptAnswer(b"d" * 16, b'{"n":%d}' % next(self._numbers))
        with suppress(_Stop), self._stores[writer].transaction() as transaction:
            transaction.keep_answer(f"{self._run}-{key}", kept, 1)
            if fails:
                raise _Stop
            self._answers[key] = kept

    @rule(writer=_WRITERS, name=_STREAMS)
    def keep_a_snapshot(self, writer: int, name: str) -> None:
        """The newest of a stream."""
        version = len(self._streams.get(name, ()))
        if version:
            snapshot = Snapshot(version, 1, "fold", next(self._numbers), b"{}", b"digest")
            self._stores[writer].keep_snapshots([(self._stream(name), snapshot)])
            self._snapshots[name] = snapshot

    @rule(writer=_WRITERS)
    def open_again(self, writer: int) -> None:
        """As a process that has ended and begun."""
        self._stores[writer].close()
        self._stores[writer] = self._opening()

    @rule(reader=_WRITERS, name=_STREAMS, after=st.integers(0, 6), limit=st.integers(1, 4))
    def read_a_page(self, reader: int, name: str, after: int, limit: int) -> None:
        """Of a stream, and of a tag."""
        wanted = [data for data, _ in self._streams.get(name, ())][after : after + limit]
        found = self._stores[reader].read(self._stream(name), after, limit)
        assert [event.payload for event in found] == wanted
        tagged = self._stores[reader].read_tagged(self._tag("red"), after, limit)
        assert _places(tagged) == self._places("red")[after : after + limit]

    @invariant()
    def holds_what_it_should(self) -> None:
        """Both openings show the same: streams, tags in the order of transactions, answers, snapshots."""
        for store in self._stores:
            for name, events in self._streams.items():
                found = store.read(self._stream(name))
                assert [(event.version, event.payload) for event in found] == [
                    (version, data) for version, (data, _) in enumerate(events, 1)
                ]
            for tag in ("red", "big", "old"):
                tagged = store.read_tagged(self._tag(tag))
                assert [each.number for each in tagged] == list(range(1, len(tagged) + 1))
                assert _places(tagged) == self._places(tag)
        with self._stores[0].transaction() as transaction:
            for key in ("k", "l"):
                assert transaction.kept_answer(f"{self._run}-{key}") == self._answers.get(key)
            for name in ("a", "b", "c"):
                assert transaction.snapshot(self._stream(name), "fold") == self._snapshots.get(name)

    def teardown(self) -> None:
        """Everything is read in the order in which each stream and each tag has it."""
        every = [event for batch in self._stores[0].read_all() for event in batch if self._is_own(event)]
        for name, events in self._streams.items():
            assert [event.payload for event in every if event.stream == self._stream(name)] == [d for d, _ in events]
        assert len(every) == sum(map(len, self._streams.values()))
        for store in self._stores:
            store.close()

    def _is_own(self, event: StoredEvent) -> bool:
        return event.stream.startswith(f"s{self._run}-")

    def _places(self, tag: str) -> list[tuple[str, int]]:
        return [(self._stream(name), version) for name, version in self._tags.get(tag, ())]


def _places(tagged: Sequence[TaggedEvent]) -> list[tuple[str, int]]:
    return [(each.event.stream, each.event.version) for each in tagged]


class EventStoreModelContract(ABC):
    """The suite."""

    examples = 30
    """How many sequences are tried."""

    @abstractmethod
    def open(self, folder: Path) -> EventStore:
        """The store of that folder; opened a second time it stands for another process."""

    @pytest.fixture
    def opening(self, tmp_path: Path) -> Callable[[], EventStore]:
        """Opens the store of this test, anew each time."""
        return lambda: self.open(tmp_path)

    def test_any_sequence_of_transactions_leaves_what_the_model_has(self, opening: Callable[[], EventStore]) -> None:
        """Whatever is written, fails, conflicts or is opened again."""
        effort = settings(
            max_examples=self.examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )

        class Opened(StoreMachine):
            def __init__(self) -> None:
                super().__init__(opening)

        run_state_machine_as_test(Opened, settings=effort)
