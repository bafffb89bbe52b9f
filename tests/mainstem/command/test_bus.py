"""Group commit: each command its own answer, nothing lost, nobody harmed by another."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Struct, field

from bank.card import CARD, DEBIT_CARD, CardCommand, MoneyWithdrawn, OpenCard, Withdraw
from mainstem import Command, Event, Origin, Refused
from mainstem.codec import encode
from mainstem.command.answer import Answer
from mainstem.command.bus import BusLimits, CommandBus
from mainstem.command.handler import Handler
from mainstem.decider import Decider
from mainstem.errors import (
    ConfigurationError,
    IdempotencyConflict,
    InvalidCommand,
    ShuttingDown,
    StateDrift,
    StoreFull,
    TryAgain,
)
from mainstem.eventstore.port import NewEvent, StoreTransaction
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.snapshots import Snapshots
from mainstem.testing import FakeClock

TELLER = Origin(actor="teller")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000)


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[SqliteEventStore]:
    store = SqliteEventStore(tmp_path / "events.db", [DEBIT_CARD], clock_ms=clock)
    yield store
    store.close()


@pytest.fixture
def bus(store: SqliteEventStore, clock: FakeClock) -> Iterator[CommandBus]:
    bus = CommandBus(store, Handler([CARD], clock_ms=clock, snapshots=Snapshots(every_events=10)))
    bus.start()
    yield bus
    bus.stop()


def money(text: str) -> Decimal:
    return Decimal(text)


def withdraw(amount: str = "1.00", card: str = "c") -> Withdraw:
    return Withdraw(card=card, amount=money(amount))


def test_a_command_becomes_an_event_and_a_state_row(bus: CommandBus, store: SqliteEventStore) -> None:
    bus.execute(OpenCard(card="c", limit=money("100")))
    answer = bus.execute(withdraw("10.50"), origin=TELLER)
    assert (answer.aggregate_id, answer.version, answer.replayed) == ("c", 2, False)
    last = store.read("debit_card-c")[-1]
    assert (last.type, last.payload, last.actor) == (
        "MoneyWithdrawn",
        b'{"type":"MoneyWithdrawn","amount":"10.50"}',
        "teller",
    )
    assert list(store.states(DEBIT_CARD)) == [answer.row]


class Line(Struct, frozen=True):
    price: Decimal


class Order(Command, frozen=True):
    order: str
    lines: tuple[Line, ...] = ()
    rates: dict[str, float] = field(default_factory=dict)
    note: str = ""


class Ordered(Event, frozen=True):
    pass


class Orders(Struct, frozen=True):
    pass


ORDER: Decider[Order, Ordered, Orders] = Decider(
    category="order",
    initial=Orders(),
    events=(Ordered,),
    commands=(Order,),
    decide=lambda *_: [Ordered()],
    evolve=lambda orders, _: orders,
    target=lambda command: command.order,
)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_a_command_with_a_number_that_has_no_end_changes_nothing(store: SqliteEventStore, text: str) -> None:
    """As JSON it comes as a text, which msgspec takes for a Decimal or a float."""
    bus = CommandBus(store, Handler([CARD, ORDER], clock_ms=FakeClock(1_000)))
    bus.start()
    try:
        bus.execute(OpenCard(card="c", limit=money("100")))
        with pytest.raises(InvalidCommand, match="amount has a number that is none, or has no end"):
            bus.execute(withdraw(text))
        with pytest.raises(InvalidCommand, match="lines has a number"):
            bus.execute(Order(order="o", lines=(Line(money("1")), Line(money(text)))))
        with pytest.raises(InvalidCommand, match="rates has a number"):
            bus.execute(Order(order="o", rates={"eur": float(text.removeprefix("s"))}))
        assert [len(store.read(stream)) for stream in ("debit_card-c", "order-o")] == [1, 0]
        bus.execute(Order(order="o", lines=(Line(money("1")),), rates={"eur": 1.0}, note="NaN"))
    finally:
        bus.stop()


def test_a_refused_command_is_kept_with_reason_time_and_who(bus: CommandBus, store: SqliteEventStore) -> None:
    bus.execute(OpenCard(card="123456789", limit=money("10000")))
    with pytest.raises(Refused, match=r"Card 123456789 not able to withdraw 20000. Balance is 10000") as caught:
        bus.execute(withdraw("20000", "123456789"), origin=TELLER)
    assert caught.value.reason == "insufficient-balance"
    kept = store.refusals.page()[0].refusal
    assert (kept.command, kept.reason, kept.refused_at_ms, kept.actor) == (
        "Withdraw",
        "insufficient-balance",
        1_000,
        "teller",
    )
    assert len(store.read("debit_card-123456789")) == 1


def test_the_same_key_gets_the_same_answer(bus: CommandBus, store: SqliteEventStore) -> None:
    bus.execute(OpenCard(card="c", limit=money("100")))
    first = bus.execute(withdraw("10"), key="k")
    bus.execute(withdraw("5"))
    again = bus.execute(withdraw("10"), key="k")
    assert (again.version, again.row, again.replayed) == (first.version, first.row, True)
    assert len(store.read("debit_card-c")) == 3


def test_the_same_key_gets_the_same_refusal(bus: CommandBus, store: SqliteEventStore) -> None:
    bus.execute(OpenCard(card="c", limit=money("5")))
    texts = []
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            bus.execute(withdraw("10"), key="k")
        texts.append((caught.value.reason, str(caught.value)))
    assert texts[0] == texts[1]
    assert len(store.refusals.page()) == 1


def test_a_key_with_other_content_is_a_conflict_and_changes_nothing(bus: CommandBus, store: SqliteEventStore) -> None:
    bus.execute(OpenCard(card="c", limit=money("100")))
    bus.execute(withdraw("10"), key="k")
    with pytest.raises(IdempotencyConflict):
        bus.execute(withdraw("11"), key="k")
    assert len(store.read("debit_card-c")) == 2


def test_one_key_twice_in_one_batch_is_carried_out_once(store: SqliteEventStore, clock: FakeClock) -> None:
    bus = CommandBus(store, Handler([CARD], clock_ms=clock))

    bus.start()
    bus.execute(OpenCard(card="c", limit=money("100")))

    async def twice() -> tuple[Answer, Answer]:
        return await asyncio.gather(bus.send(withdraw(), key="k"), bus.send(withdraw(), key="k"))

    answers = asyncio.run(twice())
    bus.stop()
    assert sorted(answer.replayed for answer in answers) == [False, True]
    assert len(store.read("debit_card-c")) == 2


def test_sixteen_callers_on_one_card_lose_nothing(bus: CommandBus, store: SqliteEventStore) -> None:
    bus.execute(OpenCard(card="c", limit=money("1000")))

    def caller() -> None:
        for _ in range(50):
            bus.execute(withdraw("1.00"))

    threads = [threading.Thread(target=caller) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.version for event in store.read("debit_card-c")] == list(range(1, 802))
    assert bus.execute(withdraw("200.00")).version == 802
    with pytest.raises(Refused):
        bus.execute(withdraw("0.01"))


def test_a_full_queue_says_try_again_and_loses_nothing(store: SqliteEventStore, clock: FakeClock) -> None:
    bus = CommandBus(store, Handler([CARD], clock_ms=clock), limits=BusLimits(queue_max=3, answer_timeout_s=30))
    bus.start()
    bus.execute(OpenCard(card="c", limit=money("100")))

    async def flood() -> list[Answer | BaseException]:
        with store.transaction():  # the writer waits for this one
            tasks = [asyncio.ensure_future(bus.send(withdraw())) for _ in range(20)]
            await asyncio.sleep(0.2)
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(flood())
    bus.stop()
    turned_away = [outcome for outcome in outcomes if isinstance(outcome, TryAgain)]
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert turned_away
    assert turned_away[0].retry_after_s >= 1
    assert len(accepted) + len(turned_away) == 20
    assert len(store.read("debit_card-c")) == 1 + len(accepted)


def test_a_cancelled_caller_harms_nobody(bus: CommandBus, store: SqliteEventStore) -> None:
    bus.execute(OpenCard(card="c", limit=money("100")))

    async def run() -> list[Answer | BaseException]:
        tasks = [asyncio.ensure_future(bus.send(withdraw())) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(run())
    assert sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes) == 5
    assert sum(isinstance(outcome, Answer) for outcome in outcomes) == 5
    assert bus.execute(withdraw()).version == len(store.read("debit_card-c"))


class Break(CardCommand, frozen=True):
    """A command whose decision has a fault."""


def _faulty(state: Any, command: Any) -> Sequence[Event]:
    if isinstance(command, Break):
        raise ZeroDivisionError("a fault")
    return CARD.decide(state, command)


def test_a_fault_in_one_decision_harms_no_other_of_its_batch(store: SqliteEventStore, clock: FakeClock) -> None:
    faulty: Decider[Any, Any, Any] = Decider(
        category="debit_card",
        initial=CARD.initial,
        decide=_faulty,
        evolve=CARD.evolve,
        target=CARD.target,
        commands=(*CARD.commands, Break),
        events=CARD.events,
        state_row=CARD.state_row,
    )
    bus = CommandBus(store, Handler([faulty], clock_ms=clock))
    bus.start()
    bus.execute(OpenCard(card="c", limit=money("100")))

    async def batch() -> list[Answer | BaseException]:
        commands = [withdraw(), Break(card="c"), withdraw(), Break(card="d"), withdraw()]
        with store.transaction():
            tasks = [asyncio.ensure_future(bus.send(command)) for command in commands]
            await asyncio.sleep(0.05)
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(batch())
    bus.stop()
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Answer",
        "ZeroDivisionError",
        "Answer",
        "ZeroDivisionError",
        "Answer",
    ]
    assert len(store.read("debit_card-c")) == 4


@pytest.mark.parametrize("fault", [SystemExit(3), StopIteration()], ids=repr)
def test_a_decision_that_ends_more_than_itself_ends_neither_the_writer_nor_its_callers(
    store: SqliteEventStore, clock: FakeClock, fault: BaseException
) -> None:
    def decide(state: Any, command: Any) -> Sequence[Event]:
        if isinstance(command, Break):
            raise fault
        return CARD.decide(state, command)

    ending: Decider[Any, Any, Any] = Decider(
        **{**vars(CARD), "decide": decide, "commands": (*CARD.commands, Break)},
    )
    bus = CommandBus(store, Handler([ending], clock_ms=clock), limits=BusLimits(answer_timeout_s=5.0))
    bus.start()
    bus.execute(OpenCard(card="c", limit=money("100")))

    async def batch() -> list[Answer | BaseException]:
        with store.transaction():
            tasks = [asyncio.ensure_future(bus.send(each)) for each in (withdraw(), Break(card="c"), withdraw())]
            await asyncio.sleep(0.05)
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(batch())
    assert [type(outcome) for outcome in outcomes] == [Answer, RuntimeError, Answer]
    with pytest.raises(RuntimeError, match=f"code of the application raised {type(fault).__name__}"):
        bus.execute(Break(card="c"))
    assert bus.execute(withdraw()).version == 4
    bus.stop()


def test_what_another_process_appended_is_decided_upon(
    bus: CommandBus, store: SqliteEventStore, tmp_path: Path, clock: FakeClock
) -> None:
    """The remembered state is behind the store: the store counts."""
    bus.execute(OpenCard(card="c", limit=money("100")))
    bus.execute(withdraw("10"))
    other = SqliteEventStore(tmp_path / "events.db", [DEBIT_CARD], clock_ms=clock)
    other_bus = CommandBus(other, Handler([CARD], clock_ms=clock))
    other_bus.start()
    other_bus.execute(withdraw("85"))
    other_bus.stop()
    other.close()
    with pytest.raises(Refused, match="Balance is 5"):
        bus.execute(withdraw("6"))
    assert bus.execute(withdraw("5")).version == 4


def test_a_remembered_state_ahead_of_the_store_is_dropped(
    bus: CommandBus, store: SqliteEventStore, tmp_path: Path, clock: FakeClock
) -> None:
    """An older copy of the file was put in its place under a running writer."""
    bus.execute(OpenCard(card="c", limit=money("100")))
    bus.execute(withdraw("90"))
    with store.transaction() as transaction:
        _rewind(transaction)
    assert bus.execute(withdraw("90")).version == 2


def _rewind(transaction: StoreTransaction) -> None:
    execute = transaction._execute  # type: ignore[attr-defined]  # behind the port's back, on purpose
    execute("DELETE FROM event WHERE version = 2")
    execute("UPDATE debit_card SET used_limit = '0.00', version = 1")


def test_a_long_stream_is_not_folded_for_each_command(store: SqliteEventStore, clock: FakeClock) -> None:
    folded = 0

    def counting(state: Any, event: Event) -> Any:
        nonlocal folded
        folded += 1
        return CARD.evolve(state, event)

    counted: Decider[Any, Any, Any] = Decider(
        category="debit_card",
        initial=CARD.initial,
        decide=CARD.decide,
        evolve=counting,
        target=CARD.target,
        commands=CARD.commands,
        events=CARD.events,
        state_row=CARD.state_row,
    )
    payload = encode(MoneyWithdrawn(amount=money("0.01")))
    for cold_start in (True, False):
        handler = Handler([counted], clock_ms=clock, snapshots=Snapshots(every_events=1000))
        bus = CommandBus(store, handler)
        bus.start()
        if cold_start:
            bus.execute(OpenCard(card="c", limit=money("100000")))
            with store.transaction() as transaction:
                events = [NewEvent("MoneyWithdrawn", payload)] * 5000
                transaction.append("debit_card-c", 1, events, occurred_at_ms=1, origin=TELLER)
                execute = transaction._execute
                execute("UPDATE debit_card SET used_limit = '50.00', version = 5001, occurred_at_ms = 1")
            bus.execute(withdraw())
        before = folded
        for _ in range(10):
            bus.execute(withdraw())
        bus.stop()
        assert folded - before < 1000 + 20


def test_a_state_row_changed_by_hand_is_refused_until_somebody_looks(bus: CommandBus, store: SqliteEventStore) -> None:
    bus.execute(OpenCard(card="c", limit=money("100")))
    with store.transaction() as transaction:
        transaction._execute("UPDATE debit_card SET used_limit = '99.00'")
    with pytest.raises(StateDrift):
        bus.execute(withdraw())
    assert len(store.read("debit_card-c")) == 1


def test_an_unknown_command_and_an_unusable_name_are_invalid(bus: CommandBus) -> None:
    with pytest.raises(InvalidCommand):
        bus.execute(Break(card="c"))
    for name in ("", "\ud800", "a\0b", "x" * 201):
        with pytest.raises(InvalidCommand):
            bus.execute(withdraw(card=name))


def test_a_stopped_bus_takes_nothing(bus: CommandBus) -> None:
    bus.stop()
    with pytest.raises(ShuttingDown):
        bus.execute(withdraw())
    assert not bus.status().running


class _FullStore:
    """A store whose disk is full."""

    def transaction(self) -> AbstractContextManager[StoreTransaction]:
        raise StoreFull("no space left")


def test_a_store_that_fails_answers_each_caller(clock: FakeClock) -> None:
    bus = CommandBus(cast(Any, _FullStore()), Handler([CARD], clock_ms=clock))
    bus.start()
    for _ in range(3):
        with pytest.raises(StoreFull):
            bus.execute(withdraw())
    assert bus.status().failed == 3
    bus.stop()


def test_two_deciders_of_one_command_are_a_mistake(clock: FakeClock) -> None:
    with pytest.raises(ConfigurationError):
        Handler([CARD, CARD], clock_ms=clock)


def test_on_a_slow_disk_callers_share_their_flushes(
    bus: CommandBus, store: SqliteEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers who come again after an answer go into the next batch, not into every second one."""
    bus.execute(OpenCard(card="c", limit=money("100000")))
    real = store.transaction

    @contextmanager
    def slow() -> Iterator[Any]:
        with real() as transaction:
            yield transaction
            threading.Event().wait(0.05)

    monkeypatch.setattr(store, "transaction", slow)
    before = bus.status().batches
    threads = [threading.Thread(target=lambda: [bus.execute(withdraw()) for _ in range(6)]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert bus.execute(withdraw()).version == 2 + 16 * 6
    assert bus.status().batches - before <= 9


def test_history_is_brought_in_at_its_times(bus: CommandBus, store: SqliteEventStore) -> None:
    """Now is 1,000 ms; an event is not earlier than the one before it."""
    bus.execute(OpenCard(card="c", limit=money("100")), occurred_at_ms=10)
    assert bus.submit(withdraw(), occurred_at_ms=30).result(5).occurred_at_ms == 30
    assert bus.execute(withdraw(), occurred_at_ms=20).occurred_at_ms == 30
    with pytest.raises(Refused):
        bus.execute(withdraw("1000"), occurred_at_ms=40)
    assert bus.execute(withdraw()).occurred_at_ms == 1_000
    times = [(event.occurred_at_ms, event.recorded_at_ms) for event in store.read("debit_card-c")]
    assert times == [(10, 1_000), (30, 1_000), (30, 1_000), (1_000, 1_000)]
    assert [each.refusal.refused_at_ms for each in store.refusals.page()] == [40]


@pytest.mark.parametrize("at_ms", [-1, 1_001])
def test_history_is_of_the_past(bus: CommandBus, store: SqliteEventStore, at_ms: int) -> None:
    with pytest.raises(InvalidCommand, match="no time of the past"):
        bus.execute(OpenCard(card="c", limit=money("100")), occurred_at_ms=at_ms)
    assert store.read("debit_card-c") == []
