"""What holds of snapshots whatever the engine: they are speed, and nothing else."""

import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bank.card import CARD, Card, CardCommand, ChangeLimit, OpenCard, Repay, Withdraw
from mainstem import Decider, Event, Refused, Snapshots
from mainstem.codec import EventCodec
from mainstem.command.bus import BusLimits, CommandBus
from mainstem.command.handler import Handler
from mainstem.command.snapshotting import Due, sealed
from mainstem.eventstore.port import EventStore, Snapshot
from mainstem.testing import FakeClock

_run = itertools.count()
_EVENTS = EventCodec(CARD.events).payloads


def decider(snapshots: Snapshots | None, **changed: Any) -> Decider[CardCommand, Event, Card]:
    """The bank's, with that policy."""
    names = ("category", "initial", "decide", "evolve", "target", "commands", "events", "state_row")
    return Decider(**{name: getattr(CARD, name) for name in names} | {"snapshots": snapshots} | changed)


@contextmanager
def writer(
    store: EventStore, snapshots: Snapshots | None, clock: FakeClock, limits: BusLimits | None = None, **changed: Any
) -> Iterator[CommandBus]:
    """One that remembers nothing at first; at the end all that it has taken is kept."""
    bus = CommandBus(store, Handler([decider(snapshots, **changed)], clock_ms=clock), limits=limits)
    bus.start()
    yield bus
    bus.stop()


def withdraw(card: str, cents: int = 1) -> Withdraw:
    return Withdraw(card=card, amount=Decimal(cents) / 100)


def folded(store: EventStore, card: str) -> Card:
    """By the events alone."""
    return CARD.fold(
        CARD.initial, _EVENTS.many([each.payload for each in store.read(CARD.stream(card), limit=1_000_000)])
    )


def state_of(store: EventStore, card: str) -> Card:
    """As a command finds it whose writer remembers nothing."""
    found: list[Card] = []

    def looking(state: Card, _command: CardCommand) -> list[Event]:
        found.append(state)
        return []

    with writer(store, Snapshots(every_events=10_000), FakeClock(), decide=looking) as bus:
        bus.execute(withdraw(card))
    return found[0]


def versions(store: EventStore, card: str) -> list[int]:
    return [each.version for each in store.kept_snapshots(CARD.stream(card))]


policies = st.builds(
    Snapshots,
    every_events=st.none() | st.integers(1, 8),
    every_s=st.none() | st.floats(0.001, 5),
    sourcing_ms=st.none() | st.floats(0.000_001, 1),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(("withdraw", "withdraw", "withdraw", "repay", "limit", "restart", "drop", "damage", "wait")),
        st.integers(0, 5_000),
    ),
    max_size=25,
)


class SnapshotSuite(ABC):
    """Bind an engine by implementing `open`."""

    @abstractmethod
    def open(self, folder: Path) -> EventStore:
        """The store of that folder, with the bank's state table."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[EventStore]:
        store = self.open(tmp_path)
        yield store
        store.close()

    def test_any_history_and_policy_give_the_state_of_the_events(self, store: EventStore) -> None:
        """Whatever happens to snapshots on the way, and whenever the writer begins anew."""

        @settings(max_examples=25, deadline=None)
        @given(policy=policies, acts=steps)
        def holds(policy: Snapshots, acts: list[tuple[str, int]]) -> None:
            self._live_through(store, policy, acts)

        holds()

    def _live_through(self, store: EventStore, policy: Snapshots, acts: list[tuple[str, int]]) -> None:
        card, clock = f"card-{next(_run)}", FakeClock()
        amounts = iter(acts)
        commands: list[CardCommand] = [OpenCard(card=card, limit=Decimal(100))]
        while commands:
            with writer(store, policy, clock) as bus:
                for command in commands:
                    self._carry_out(bus, command)
                commands = self._until_restart(store, bus, card, clock, amounts)
            assert state_of(store, card) == folded(store, card)
        store.drop_snapshots()
        assert state_of(store, card) == folded(store, card)

    def _until_restart(
        self, store: EventStore, bus: CommandBus, card: str, clock: FakeClock, acts: Iterator[tuple[str, int]]
    ) -> list[CardCommand]:
        for action, cents in acts:
            match action:
                case "restart":
                    return [withdraw(card, cents)]
                case "drop":
                    store.drop_snapshots()
                case "damage":
                    self.damage(store, card, cents)
                case "wait":
                    clock.advance(ms=cents)
                case _:
                    self._carry_out(bus, _command(action, card, Decimal(cents) / 100))
        return []

    def _carry_out(self, bus: CommandBus, command: CardCommand) -> None:
        try:
            bus.execute(command)
        except Refused:
            return

    def damage(self, store: EventStore, card: str, where: int) -> None:
        """Change a byte of the stream's snapshot, its version, or its digest."""
        stream, fingerprint = CARD.stream(card), CARD.fingerprint()
        with store.transaction() as transaction:
            found = transaction.snapshot(stream, fingerprint)
        if found is not None:
            store.keep_snapshots([(stream, damaged(found, where))])

    def test_a_changed_fold_never_reads_an_old_one(self, store: EventStore) -> None:
        """And both are kept beside each other, for as long as two releases run."""
        with writer(store, Snapshots(every_events=1), FakeClock()) as bus:
            bus.execute(OpenCard(card="c", limit=Decimal(100)))
            bus.execute(withdraw("c", 500))

        def doubling(card: Card, event: Event) -> Card:
            after = CARD.evolve(card, event)
            return replace(after, used=after.used * 2)

        changed = writer(store, Snapshots(every_events=1), FakeClock(), evolve=doubling, state_row=None)
        with changed as bus, pytest.raises(Refused, match="Balance is 90"):
            bus.execute(withdraw("c", 9_100))
        assert versions(store, "c") == [2, 2]
        with (
            writer(store, Snapshots(every_events=1), FakeClock()) as bus,
            pytest.raises(Refused, match="Balance is 95"),
        ):
            bus.execute(withdraw("c", 9_600))

    @pytest.mark.parametrize("where", range(0, 60, 7))
    def test_a_damaged_one_is_told_and_replaced(
        self, store: EventStore, where: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """By the next command, whatever its policy would say."""
        with writer(store, Snapshots(every_events=2), FakeClock()) as bus:
            bus.execute(OpenCard(card="c", limit=Decimal(100)))
            bus.execute(withdraw("c"))
        self.damage(store, "c", where)
        with writer(store, Snapshots(every_events=100), FakeClock()) as bus:
            assert bus.execute(withdraw("c")).version == 3
        assert "a snapshot is damaged and is not used" in "".join(capsys.readouterr())
        assert versions(store, "c") == [3]
        assert state_of(store, "c") == folded(store, "c")
        assert "damaged" not in "".join(capsys.readouterr())

    def test_one_that_is_ahead_of_its_stream_is_not_believed(self, store: EventStore) -> None:
        """It is whole, but the events that it tells of are not there."""
        with writer(store, None, FakeClock()) as bus:
            bus.execute(OpenCard(card="c", limit=Decimal(100)))
        state = Card("active", Decimal(100), Decimal(99))
        due = Due("debit_card-c", CARD.fingerprint(), 9, 1, 1, state)
        store.keep_snapshots([("debit_card-c", sealed(due))])
        assert state_of(store, "c") == folded(store, "c")

    def test_by_events(self, store: EventStore) -> None:
        """Since the last, also over a restart."""
        clock = FakeClock()
        for opening in (True, False):
            with writer(store, Snapshots(every_events=4), clock) as bus:
                if opening:
                    bus.execute(OpenCard(card="c", limit=Decimal(100)))
                for _ in range(5 if opening else 1):
                    bus.execute(withdraw("c"))
            assert versions(store, "c") == [4]
        with writer(store, Snapshots(every_events=4), clock) as bus:
            bus.execute(withdraw("c"))
        assert versions(store, "c") == [8]

    def test_by_time(self, store: EventStore) -> None:
        """Since the last or the first event, where something has happened since."""
        clock = FakeClock()
        with writer(store, Snapshots(every_s=10), clock) as bus:
            bus.execute(OpenCard(card="c", limit=Decimal(100)))
            clock.advance(ms=9_999)
            bus.execute(withdraw("c"))
            clock.advance(ms=1)
            bus.execute(withdraw("c"))
            clock.advance(ms=10_000)
            with pytest.raises(Refused):
                bus.execute(withdraw("c", 100_000))
        assert versions(store, "c") == [3]
        with writer(store, Snapshots(every_s=10), clock) as bus:
            bus.execute(withdraw("c"))
        assert versions(store, "c") == [4]

    def test_by_the_time_that_loading_takes(self, store: EventStore) -> None:
        """Also where the command that has loaded it is refused; what is remembered is not loaded."""
        with writer(store, Snapshots(), FakeClock()) as bus:
            bus.execute(OpenCard(card="c", limit=Decimal(100)))
            bus.execute(withdraw("c"))
        with writer(store, Snapshots(sourcing_ms=3_600_000), FakeClock()) as bus:
            bus.execute(withdraw("c"))
        assert versions(store, "c") == []
        with writer(store, Snapshots(sourcing_ms=0.000_001), FakeClock()) as bus:
            with pytest.raises(Refused):
                bus.execute(withdraw("c", 100_000))
            bus.execute(withdraw("c"))
        assert versions(store, "c") == [3]

    def test_none_are_kept_or_read_without_a_policy(self, store: EventStore) -> None:
        """So that it is also a way to do without those that are there."""
        with writer(store, Snapshots(), FakeClock()) as bus:
            bus.execute(OpenCard(card="c", limit=Decimal(100)))
        due = Due("debit_card-c", CARD.fingerprint(), 1, 1, 1, Card("active", Decimal(1), Decimal(0)))
        store.keep_snapshots([("debit_card-c", sealed(due))])
        with writer(store, Snapshots(), FakeClock()) as bus:
            assert bus.execute(withdraw("c", 500)).version == 2

    def test_where_too_many_wait_it_is_left(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command is answered meanwhile; the next one offers it again."""
        begun, go_on = threading.Event(), threading.Event()
        real = store.keep_snapshots

        def slow(snapshots: Any) -> None:
            begun.set()
            assert go_on.wait(20)
            real(snapshots)

        monkeypatch.setattr(store, "keep_snapshots", slow)
        with writer(store, Snapshots(every_events=1), FakeClock(), BusLimits(snapshots_max=2)) as bus:
            for card in ("a", "b", "c"):
                bus.execute(OpenCard(card=card, limit=Decimal(100)))
            assert begun.wait(20)
            assert bus.status().snapshots.dropped == 1
            go_on.set()
            while bus.status().snapshots.kept < 2:
                begun.wait(0.001)
            bus.execute(withdraw("c"))
        assert [versions(store, card) for card in ("a", "b", "c")] == [[1], [1], [2]]

    def test_what_cannot_be_written_harms_no_command(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not even a fault of the program's own."""

        def fails(snapshots: Any) -> None:
            raise ZeroDivisionError("a fault")

        monkeypatch.setattr(store, "keep_snapshots", fails)
        with writer(store, Snapshots(every_events=1), FakeClock()) as bus:
            bus.execute(OpenCard(card="c", limit=Decimal(100)))
            bus.execute(withdraw("c"))
        assert bus.status().snapshots.failed >= 1
        assert state_of(store, "c") == folded(store, "c")


def damaged(found: Snapshot, where: int) -> Snapshot:
    """Another at one place."""
    choice, place = where % 4, where // 4
    if choice == 0:
        return replace(found, version=found.version + place + 1)
    if choice == 1:
        return replace(found, digest=_flipped(found.digest, place))
    return replace(found, state=_flipped(found.state, place))


def _flipped(data: bytes, place: int) -> bytes:
    at = place % len(data)
    return data[:at] + bytes([data[at] ^ (1 << place % 8)]) + data[at + 1 :]


def _command(action: str, card: str, amount: Decimal) -> CardCommand:
    if action == "limit":
        return ChangeLimit(card=card, limit=amount)
    return Withdraw(card=card, amount=amount) if action == "withdraw" else Repay(card=card, amount=amount)
