"""Two writers, and an older release beside them, held against a model of one list, whatever they remember and keep.

What each decision was made on stands in its event: the aggregate's text, and that of the events with its tags.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec import Struct
from msgspec.structs import replace

from mainstem import AsOf, Boundary, Command, Decider, Event, Refused, Snapshots
from mainstem.codec import encode
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.eventstore.port import EventStore, NewEvent
from mainstem.evolution import EventData, evolved, rename_field, split
from mainstem.history import History
from mainstem.messages import SYSTEM


@evolved(
    2,
    rename_field("Told", 1, "said", "word"),
    split("ToldTwice", 1, lambda data: [EventData("Told", 2, data)] * 2, into=(("Told", 2),)),
)
class Told(Event, frozen=True):
    """`before` and `over` are what the decision was made on."""

    word: str
    tags: tuple[str, ...]
    before: str = ""
    over: str = ""


class Tale(Struct, frozen=True):
    text: str = ""


class Tell(Command, frozen=True):
    """Refused where the events with any of the tags are `most` already."""

    aggregate: str
    word: str
    tags: tuple[str, ...] = ()
    most: int = 100


def _evolve(tale: Tale, event: Told) -> Tale:
    return Tale(f"{tale.text}{event.word} ")


def _decide_over(tale: Tale, command: Tell, over: Tale) -> Sequence[Told]:
    if len(over.text.split()) >= command.most:
        raise Refused("too-many", over.text)
    return [Told(word=command.word, tags=command.tags, before=tale.text, over=over.text)]


def _tale(policy: Snapshots) -> Decider[Tell, Told, Tale]:
    return Decider(
        category="tale",
        initial=Tale(),
        decide=lambda tale, command: [Told(word=command.word, tags=command.tags, before=tale.text)],
        evolve=_evolve,
        target=lambda command: command.aggregate,
        commands=(Tell,),
        events=(Told,),
        snapshots=policy,
        boundary=Boundary(
            tags=lambda _, command: command.tags,
            initial=Tale(),
            evolve=_evolve,
            events=(Told,),
            decide=_decide_over,
            tagged=lambda _, event: event.tags,
        ),
    )


@dataclass(frozen=True)
class _Stored:
    """An event of the model: it is read as `words`, one or two of today's."""

    aggregate: str
    words: tuple[str, ...]
    tags: tuple[str, ...]


_POLICIES = st.sampled_from([Snapshots(), Snapshots(every_events=1), Snapshots(every_events=3)])
_NAMES = st.sampled_from(["a", "b", "c"])
_TAGS = st.lists(st.sampled_from(["red", "big"]), max_size=2, unique=True).map(tuple)
_ASKED = st.lists(st.tuples(_NAMES, _TAGS, st.sampled_from([0, 1, 3, 100])), min_size=1, max_size=5)
_WRITERS = st.integers(0, 1)
_runs = count(1)


class WritersMachine(RuleBasedStateMachine):
    """All names of a run are its own, so that one store serves many runs."""

    def __init__(self, opening: Callable[[], EventStore]) -> None:
        super().__init__()
        self._run = next(_runs)
        self._words = (f"w{number}" for number in count(1))
        self._stores = [opening(), opening()]
        self._buses = [self._begun(store, 100, Snapshots(every_events=2)) for store in self._stores]
        self._log: list[_Stored] = []

    def _begun(self, store: EventStore, remembered: int, policy: Snapshots) -> CommandBus:
        bus = CommandBus(store, Handler([_tale(policy)], clock_ms=lambda: 1, remembered=remembered))
        bus.start()
        return bus

    def _own(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{self._run}.{name}" for name in names)

    @rule(writer=_WRITERS, asked=_ASKED)
    def tell(self, writer: int, asked: list[tuple[str, tuple[str, ...], int]]) -> None:
        """Several at once go into one transaction, in their order; each is decided on all that came before it."""
        commands = [
            Tell(aggregate=self._own(name)[0], word=next(self._words), tags=self._own(tags), most=most)
            for name, tags, most in asked
        ]

        async def all_at_once() -> list[object]:
            sent = (self._buses[writer].send(command) for command in commands)
            return await asyncio.gather(*sent, return_exceptions=True)

        for command, told in zip(commands, asyncio.run(all_at_once()), strict=True):
            before, over = self._text(command.aggregate), self._over(command.tags)
            if command.tags and len(over.split()) >= command.most:
                assert isinstance(told, Refused), told
                assert str(told) == over
                continue
            assert not isinstance(told, BaseException), told
            self._log.append(_Stored(command.aggregate, (command.word,), command.tags))
            version = len(self._of(command.aggregate))
            happened = History(self._stores[writer], _tale(Snapshots())).events(command.aggregate, version - 1, 1)
            assert happened[0].event == Told(word=command.word, tags=command.tags, before=before, over=over)

    @rule(writer=_WRITERS, name=_NAMES, tags=_TAGS, twice=st.booleans())
    def tell_by_an_older_release(self, writer: int, name: str, tags: tuple[str, ...], twice: bool) -> None:
        """Another process, whose event has another field, or stands for two of today's."""
        aggregate, own, word = self._own(name)[0], self._own(tags), next(self._words)
        kind, content = ("ToldTwice", {"word": word}) if twice else ("Told", {"said": word})
        new = NewEvent(kind, encode({"type": kind, "tags": own, **content}), 1, own)
        with self._stores[writer].transaction() as transaction:
            stands = len(self._of(aggregate))
            transaction.load(f"tale-{aggregate}", stands)
            transaction.append(f"tale-{aggregate}", stands, [new], occurred_at_ms=1, origin=SYSTEM)
        self._log.append(_Stored(aggregate, (word, word) if twice else (word,), own))

    @rule(writer=_WRITERS, remembered=st.sampled_from([1, 2, 100]), policy=_POLICIES)
    def begin_anew(self, writer: int, remembered: int, policy: Snapshots) -> None:
        """It has kept its snapshots, and remembers nothing."""
        self._buses[writer].stop()
        self._buses[writer] = self._begun(self._stores[writer], remembered, policy)

    @rule(writer=_WRITERS)
    def drop_snapshots(self, writer: int) -> None:
        """All of them."""
        self._stores[writer].drop_snapshots()

    @rule(writer=_WRITERS, name=_NAMES)
    def damage_the_snapshot(self, writer: int, name: str) -> None:
        """Its state is another, as its digest tells a writer that remembers nothing."""
        stream = f"tale-{self._own(name)[0]}"
        fingerprint = _tale(Snapshots(every_events=1)).fingerprint()
        with self._stores[writer].transaction() as transaction:
            kept = transaction.snapshot(stream, fingerprint)
        if kept is not None:
            self._stores[writer].keep_snapshots([(stream, replace(kept, state=b'{"text":"changed "}'))])
            self.begin_anew(writer, 1, Snapshots(every_events=1))
            self.tell(writer, [(name, (), 100)])

    @rule(reader=_WRITERS, name=_NAMES, version=st.integers(0, 12))
    def look_back(self, reader: int, name: str, version: int) -> None:
        """As of each version it is the fold of the events up to that."""
        aggregate = self._own(name)[0]
        stored = self._of(aggregate)[:version]
        past = History(self._stores[reader], _tale(Snapshots())).at(aggregate, AsOf(version=len(stored)))
        assert past.state.text == _said(stored)

    @invariant()
    def both_show_the_same(self) -> None:
        """What stands under each tag is what the model has, in its order."""
        for store in self._stores:
            for tag in self._own(["red", "big"]):
                found = [each.event.stream for each in store.read_tagged(tag)]
                assert found == [f"tale-{each.aggregate}" for each in self._log if tag in each.tags]

    def teardown(self) -> None:
        """Nothing has failed."""
        for bus, store in zip(self._buses, self._stores, strict=True):
            bus.stop()
            assert bus.status().failed == 0
            store.close()

    def _of(self, aggregate: str) -> list[_Stored]:
        return [each for each in self._log if each.aggregate == aggregate]

    def _text(self, aggregate: str) -> str:
        return _said(self._of(aggregate))

    def _over(self, tags: Sequence[str]) -> str:
        return _said([each for each in self._log if set(each.tags) & set(tags)])


def _said(stored: Sequence[_Stored]) -> str:
    return "".join(f"{word} " for each in stored for word in each.words)


class WritersSuite(ABC):
    """Bind an engine by implementing `open`."""

    examples = 30

    @abstractmethod
    def open(self, folder: Path) -> EventStore:
        """The store of that folder; opened a second time it stands for another process."""

    def test_every_decision_is_made_on_all_that_bears_on_it(self, tmp_path: Path) -> None:
        """Whoever writes, whatever is remembered, kept, dropped or damaged."""
        effort = settings(
            max_examples=self.examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        opening = partial(self.open, tmp_path)

        class Opened(WritersMachine):
            def __init__(self) -> None:
                super().__init__(opening)

        run_state_machine_as_test(Opened, settings=effort)
