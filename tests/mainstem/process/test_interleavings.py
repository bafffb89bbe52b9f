"""Whatever crashes, comes twice, comes late or is cancelled: of each transfer both halves happen, or neither."""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank.card import CARD, BlockCard, CardCommand, CloseCard, MoneyRepaid, MoneyWithdrawn, OpenCard, Repay, Withdraw
from bank.transfer import TRANSFER, TransferRequested
from mainstem import Refused, recorded_events
from mainstem.codec import encode
from mainstem.command.answer import Answer
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.errors import AnswerTimeout
from mainstem.eventstore.reader import EventReader
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.log.partitioner import partition_for
from mainstem.messages import SYSTEM, Command, Origin
from mainstem.process.deciding import decider_of
from mainstem.process.desk import Processes
from mainstem.process.driver import Commands, Driver
from mainstem.process.rows import PROCESS, row_of
from mainstem.testing import FakeClock
from mainstem.view.sqlite import SqliteViews

_CARDS = ("anna", "bert", "cora", "nobody")
_FAULTS = ("none", "none", "before", "after", "twice", "unanswered")
_ROUNDS_MAX = 40

fault = st.sampled_from(_FAULTS)
card = st.sampled_from(_CARDS)
amount = st.integers(1, 60).map(Decimal)
action = st.one_of(
    st.tuples(st.just("begin"), card, card, amount),
    st.tuples(st.just("round"), st.lists(fault, max_size=6)),
    st.tuples(st.just("look")),
    st.tuples(st.just("wait"), st.sampled_from([1, 59, 61])),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("command"), st.sampled_from([BlockCard, CloseCard, Repay, Withdraw]), card, amount),
)


class Crash(BaseException):
    """The process has died."""


class Faulty:
    """The writer behind a plan of faults, one for each command."""

    def __init__(self, bus: CommandBus) -> None:
        self._bus = bus
        self.plan: deque[str] = deque()

    def execute(self, command: Command, *, key: str | None = None, origin: Origin = SYSTEM) -> Answer:
        return self._do(lambda: self._bus.execute(command, key=key, origin=origin))

    def revoke(self, command: Command, *, key: str, origin: Origin = SYSTEM) -> Answer:
        return self._do(lambda: self._bus.revoke(command, key=key, origin=origin))

    def _do(self, work: Callable[[], Answer]) -> Answer:
        what = self.plan.popleft() if self.plan else "none"
        if what == "before":
            raise Crash
        if what == "twice":
            with suppress(Refused):
                work()
        if what in ("after", "unanswered"):
            with suppress(Refused):
                work()
            raise Crash if what == "after" else AnswerTimeout("no answer")
        return work()


class World:
    """A store, its writer, a view that is looked at when the test says so, and the driver, which may crash."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        deciders = (CARD, decider_of(TRANSFER))
        self.store = SqliteEventStore(folder / "events.db", CARD_TABLES, clock_ms=self.clock)
        self.views = SqliteViews(folder / "views.db")
        self.views.create(PROCESS)
        self.bus = CommandBus(self.store, Handler(deciders, clock_ms=self.clock))
        self.bus.start()
        self.commands = Faulty(self.bus)
        self.names: list[str] = []
        self.restart()
        for name in _CARDS[:3]:
            self.do(OpenCard(card=name, limit=Decimal(100)))
            self.do(Withdraw(card=name, amount=Decimal(40)))

    def restart(self, answers_kept_ms: int = 10**12) -> None:
        """What the driver held in memory is gone."""
        self.driver = self.another_driver(self.commands, answers_kept_ms)
        self.desk = Processes((TRANSFER,), commands=self.bus, events=self.store, views=self.views, clock_ms=self.clock)

    def another_driver(
        self, commands: Commands, answers_kept_ms: int = 10**12, mine: Callable[[str], bool] = lambda _: True
    ) -> Driver:
        """As another process has it."""
        return Driver(
            (TRANSFER,),
            (CARD,),
            commands=commands,
            events=self.store,
            views=self.views,
            clock_ms=self.clock,
            answers_kept_ms=answers_kept_ms,
            at_once=1,  # so that a plan of faults hits the same commands whenever it is run
            mine=mine,
        )

    def do(self, command: Command) -> None:
        with suppress(Refused):
            self.bus.execute(command)

    def begin(self, source: str, target: str, money: Decimal) -> None:
        name = f"t{len(self.names)}"
        with suppress(Refused):
            self.bus.execute(self.desk.beginning(TRANSFER, name, TransferRequested(name, source, target, money)))
            self.names.append(name)

    def look(self) -> None:
        """The view comes up with the events, by its own projection."""
        decoder = recorded_events([TRANSFER.stepped], categories=["transfer"])
        for batch in self.store.read_all():
            for stored in batch:
                place = {name: getattr(stored, name) for name in ("stream", "version", "occurred_at_ms")}
                value = {**place, "recorded_at_ms": 1, "actor": "", "payload": stored.payload.decode()}
                with self.views.transaction() as transaction:
                    transaction.put(PROCESS, [row_of(each) for each in decoder.many([encode(value)])])

    def round(self, faults: list[str]) -> None:
        self.commands.plan = deque(faults)
        try:
            self.driver.round()
        except Crash:
            self.restart()
        self.commands.plan.clear()
        self.driver._failures.clear()  # as if the wait for another try were over

    def close(self) -> None:
        self.bus.stop()
        self.views.close()
        self.store.close()


CARD_TABLES = (CARD.state_row.table,) if CARD.state_row else ()


@contextmanager
def world() -> Iterator[World]:
    with TemporaryDirectory() as folder:
        made = World(Path(folder))
        try:
            yield made
        finally:
            made.close()


def moved(made: World) -> dict[str, dict[str, list[tuple[str, Decimal]]]]:
    """By transfer what was withdrawn and what was repaid, of which card."""
    found: dict[str, dict[str, list[tuple[str, Decimal]]]] = defaultdict(lambda: {"out": [], "in": []})
    reader = EventReader(CARD.events)
    for batch in made.store.read_all():
        for stored, event in reader.each([each for each in batch if each.stream.startswith("debit_card-")]):
            if isinstance(event, MoneyWithdrawn | MoneyRepaid) and event.transfer is not None:
                side = "out" if isinstance(event, MoneyWithdrawn) else "in"
                found[event.transfer][side].append((stored.stream.partition("-")[2], event.amount))
    return found


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(action, max_size=25))
def test_both_halves_or_neither(actions: list[Any]) -> None:
    with world() as made:
        for what, *more in actions:
            match what:
                case "begin":
                    made.begin(*more)
                case "round":
                    made.round(*more)
                case "look":
                    made.look()
                case "wait":
                    made.clock.advance(s=more[0])
                case "cancel":
                    with suppress(Refused):
                        made.desk.cancel("transfer", f"t{more[0]}", "asked for")
                case "command":
                    kind, name, money = more
                    made.do(_command(kind, name, money))
            for each in moved(made).values():
                assert len(each["out"]) == 1
                assert len(each["in"]) <= 1, "money was made"
                assert {amount for _, amount in each["in"]} <= {amount for _, amount in each["out"]}
        _end(made)
        _check_all_ended(made)


def _command(kind: type[CardCommand], name: str, money: Decimal) -> CardCommand:
    fields: dict[type[CardCommand], dict[str, Any]] = {BlockCard: {"reason": "x"}, CloseCard: {}}
    return kind(card=name, **fields.get(kind, {"amount": money}))


def _end(made: World) -> None:
    for _ in range(_ROUNDS_MAX):
        made.look()
        if not made.driver.round():
            return
    raise AssertionError("the transfers do not come to an end")


def _check_all_ended(made: World) -> None:
    facts = moved(made)
    for name in made.names:
        step = made.desk.find("transfer", name)
        assert step is not None
        assert (step.status, step.pending) == ("ended", ())
        transfer = step.state
        sides = facts.get(name, {"out": [], "in": []})
        out = [(transfer.from_card, transfer.amount)]
        expected = {
            "completed": {"out": out, "in": [(transfer.to_card, transfer.amount)]},
            "returned": {"out": out, "in": out},
            "refused": {"out": [], "in": []},
        }
        assert sides == expected[transfer.phase], name
    for name in _CARDS:
        folded = CARD.fold(CARD.initial, EventReader(CARD.events).of_stream(made.store.read(f"debit_card-{name}")))
        assert folded.held == {}
        assert Decimal(0) <= folded.used <= folded.limit


def test_what_was_sent_long_ago_is_not_sent_again_by_itself() -> None:
    """Nobody knows any more whether it was carried out: whoever resumes the process has looked."""
    with world() as made:
        made.begin("anna", "bert", Decimal(10))
        made.restart(answers_kept_ms=100_000)
        made.clock.advance(s=51)
        made.look()
        made.driver.round()
        stuck = made.desk.find("transfer", "t0")
        assert stuck is not None
        assert (stuck.status, len(stuck.pending)) == ("stuck", 1)
        assert "may be forgotten" in stuck.why
        assert moved(made) == {}
        made.desk.resume("transfer", "t0")
        _end(made)
        _check_all_ended(made)
        assert len(moved(made)["t0"]["in"]) == 1


class Counting:
    """The writer of one of two drivers: how often each command is sent. Each begins when the other does too."""

    def __init__(self, bus: CommandBus, together: threading.Barrier) -> None:
        self._bus, self._together = bus, together
        self.sent: Counter[str] = Counter()
        self._waited = False

    def execute(self, command: Command, *, key: str | None = None, origin: Origin = SYSTEM) -> Answer:
        self._count(key)
        return self._bus.execute(command, key=key, origin=origin)

    def revoke(self, command: Command, *, key: str, origin: Origin = SYSTEM) -> Answer:
        self._count(key)
        return self._bus.revoke(command, key=key, origin=origin)

    def _count(self, key: str | None) -> None:
        if not self._waited:
            self._waited = True
            self._together.wait(10)
        if key is not None:
            self.sent[key] += 1


class Sharing:
    """Two drivers, each of which has some of the partitions; who has which may change."""

    partitions = 8

    def __init__(self, made: World) -> None:
        together = threading.Barrier(2)
        self.commands = [Counting(made.bus, together) for _ in range(2)]
        self.owners = {partition: partition % 2 for partition in range(self.partitions)}
        self.drivers = [
            made.another_driver(commands, mine=partial(self._is_of, number))
            for number, commands in enumerate(self.commands)
        ]

    def _is_of(self, number: int, stream: str) -> bool:
        return self.owners[partition_for(stream, self.partitions)] == number

    def round(self) -> int:
        """Both at the same time."""
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(Driver.round, self.drivers))

    def sent(self) -> Counter[str]:
        return self.commands[0].sent + self.commands[1].sent


def _begin_many(made: World, count: int) -> None:
    for _ in range(count):
        made.begin("anna", "bert", Decimal("0.01"))
    made.look()


def test_two_drivers_send_each_command_once() -> None:
    with world() as made:
        _begin_many(made, 150)  # more than a batch, so that each reads past what is the other's
        sharing = Sharing(made)
        while sharing.round():
            made.look()
        _check_all_ended(made)
        assert set(sharing.sent().values()) == {1}
        assert len(sharing.sent()) == 3 * len(made.names)
        assert all(each.sent for each in sharing.commands)


def test_what_a_driver_leaves_undone_is_done_by_whoever_comes_after_it() -> None:
    with world() as made:
        _begin_many(made, 20)
        sharing = Sharing(made)
        sharing.commands[0]._waited = True
        assert sharing.drivers[0].round()
        made.look()
        assert not sharing.drivers[0].round(), "the other's are left to it"
        left = sum(made.desk.find("transfer", name).status == "running" for name in made.names)  # type: ignore[union-attr]
        assert 0 < left < len(made.names)
        sharing.owners = dict.fromkeys(sharing.owners, 0)
        while sharing.drivers[0].round():
            made.look()
        _check_all_ended(made)
        assert set(sharing.sent().values()) == {1}
