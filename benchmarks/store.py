"""The event store beside the peers': append, load, the past of a card, a decision over tags.

The same work: events alone, appended on condition, each answer after the flush. Neither a state row nor capture,
which the peers do not have: `commands.py` measures the command side with both.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from statistics import median

from bank.card import CARD, CardCommand, CardOpened, MoneyWithdrawn, OpenCard, Withdraw
from bank.customer import CUSTOMER, SetOverallLimit
from figures import Figure, Found, peer, quiet, say, show, taking_turns
from mainstem import AsOf, Snapshots
from mainstem.assembly.running import wall_clock_ms
from mainstem.codec import encode
from mainstem.command.aggregate import Aggregates
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.command.naming import Naming
from mainstem.command.snapshotting import Due, sealed
from mainstem.eventstore.port import NewEvent
from mainstem.eventstore.reader import EventReader
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.history import History
from mainstem.messages import SYSTEM
from mainstem.tenancy import NONE
from postgres import postgres, with_message_db

CALLERS, CARDS = 16, 20
"""So many callers, each with cards of its own: with many cards the streams stay short for all who take part."""

SECONDS = 1.5
EVENTS, EVERY, PAST = 2_100, 200, 1_100
"""A card's events, how often it is kept, and the version that is asked for: half way from one snapshot to the next."""

_LIMIT, _ONE = Decimal(10) ** 12, Decimal("1.00")
_CARD = replace(CARD, state_row=None)
_CALLERS = ("--callers", str(CALLERS), "--cards", str(CARDS), "--seconds", str(SECONDS))
_HERE = Path(__file__).parent


@contextmanager
def writing(folder: Path) -> Iterator[CommandBus]:
    """A command bus on a new store, as the application has it by default; it remembers 10,000 aggregates."""
    store = SqliteEventStore(folder / f"events-{time.monotonic_ns()}.db", clock_ms=wall_clock_ms)
    bus = CommandBus(store, Handler([_CARD, CUSTOMER], clock_ms=wall_clock_ms))
    bus.start()
    try:
        yield bus
    finally:
        bus.stop()
        store.close()


def appended(folder: Path, *, tagged: bool) -> Found:
    """Withdrawals in a second, by one caller, by threads and by tasks; `tagged`, over a customer's overall limit."""
    with writing(folder) as bus:
        names = [[f"{caller}-{card}" for card in range(CARDS)] for caller in range(CALLERS)]
        for name in itertools.chain(*names):
            bus.execute(OpenCard(card=name, limit=_LIMIT, customer=name if tagged else None))
            if tagged:
                bus.execute(SetOverallLimit(customer=name, limit=_LIMIT))
        with ThreadPoolExecutor(CALLERS) as threads:
            one = _rate([list(itertools.chain(*names))], bus, threads)
            many = _rate(names, bus, threads)
        return {"append": one, "threads": many, "tasks": asyncio.run(_tasks(names, bus))}


def _commands(names: list[str], began: float) -> Iterator[CardCommand]:
    for name in itertools.cycle(names):
        if time.monotonic() >= began + SECONDS:
            return
        yield Withdraw(card=name, amount=_ONE)


def _rate(names: list[list[str]], bus: CommandBus, threads: ThreadPoolExecutor) -> float:
    began = time.monotonic()

    def call(own: list[str]) -> int:
        return sum(1 for command in _commands(own, began) if bus.execute(command))

    done = sum(threads.map(call, names))
    return done / (time.monotonic() - began)


async def _tasks(names: list[list[str]], bus: CommandBus) -> float:
    began = time.monotonic()

    async def call(own: list[str]) -> int:
        done = 0
        for command in _commands(own, began):
            await bus.send(command)
            done += 1
        return done

    done = sum(await asyncio.gather(*map(call, names)))
    return done / (time.monotonic() - began)


class Loaded:
    """A card with 2,100 events, and another with a snapshot 100 events ago, of which nothing is remembered."""

    def __init__(self, folder: Path) -> None:
        self._store = SqliteEventStore(folder / "loads.db", clock_ms=wall_clock_ms)
        self._plain, self._kept = (CARD.stream(name) for name in ("plain", "kept"))
        events = [CardOpened(limit=_LIMIT), *[MoneyWithdrawn(amount=_ONE)] * (EVENTS - 1)]
        stamp = EventReader(CARD.events).stamp
        new = [NewEvent(name, encode(event), version) for event in events for name, version in [stamp(event)]]
        for stream in (self._plain, self._kept):
            with self._store.transaction() as transaction:
                transaction.append(stream, 0, new, occurred_at_ms=1, origin=SYSTEM)
        behind = EVENTS - EVENTS % EVERY
        state = CARD.fold(CARD.initial, events[:behind])
        due = Due(self._kept, CARD.fingerprint(), behind, 1, 1, state)
        self._store.keep_snapshots([(due.stream, sealed(due))])

    def measure(self) -> Found:
        """Microseconds, medians."""
        history = History(self._store, CARD)
        never = Aggregates(_CARD, remembered=1, snapshots=Snapshots(), naming=Naming(NONE))
        kept = Aggregates(_CARD, remembered=1, snapshots=Snapshots(every_events=EVERY), naming=Naming(NONE))
        return {
            "load": _us(lambda: self._load(never, self._plain), 5),
            "load_snapshot": _us(lambda: self._load(kept, self._kept), 51),
            "as_of": _us(lambda: history.at("plain", AsOf(version=PAST)), 5),
        }

    def close(self) -> None:
        """Give it back."""
        self._store.close()

    def _load(self, aggregates: Aggregates, stream: str) -> None:
        with self._store.transaction() as transaction:
            transaction.expect([aggregates.wanted(stream)], [])
            assert aggregates.load(transaction, stream).version == EVENTS


def _us(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken) * 1e6


@dataclass(frozen=True)
class Peers:
    """Those that could be had, each with what it measures."""

    store: Callable[[], Found]
    tags: Mapping[str, Callable[[], Found]]
    protean: Callable[[], Found] | None


@contextmanager
def peers() -> Iterator[Peers]:
    """Those without PostgreSQL always, the others where that, and Message DB, are there."""
    loads = ("--events", str(EVENTS), "--every", str(EVERY), "--at", str(PAST))
    customers = tuple("--customers" if word == "--cards" else word for word in _CALLERS)
    with postgres() as clients:
        own = clients or {}
        where = ("memory", "postgres") if clients is not None else ("memory",)
        tags = {
            name: lambda name=name: peer(name, *customers, program=_HERE / "peer_dcb.py", environment=own)
            for name in where
        }
        protean = None
        if clients is not None and with_message_db(clients):
            protean = _protean(clients)
        else:
            say("Without PostgreSQL and Message DB, which npm brings, what needs them is left out.")
        yield Peers(lambda: peer(*_CALLERS, *loads, program=_HERE / "peer_store.py"), tags, protean)


def _protean(clients: Mapping[str, str]) -> Callable[[], Found]:
    program = _HERE / "peer_protean.py"
    cards = peer("fill", "--events", str(EVENTS), "--every", str(EVERY), program=program, environment=clients)
    words = ("measure", "--plain", str(cards["plain"]), "--kept", str(cards["kept"]), "--at", str(PAST), *_CALLERS)
    return lambda: peer(*words, program=program, environment=clients)


def main() -> None:
    """All of it, in turns."""
    quiet()
    with tempfile.TemporaryDirectory() as name, peers() as others:
        folder = Path(name)
        loaded = Loaded(folder)
        measured = {
            "mainstem": lambda: {**appended(folder, tagged=False), **loaded.measure()},
            "eventsourcing": others.store,
            **({} if others.protean is None else {"Protean": others.protean}),
        }
        found = taking_turns("store", measured)
        loaded.close()
        show("The event store", [*_appends(found), *_loads(found)])
        tags = {"mainstem": lambda: appended(folder, tagged=True), **others.tags}
        show("A decision over tags", _over_tags(taking_turns("tags", tags)))


def _appends(found: Mapping[str, Found]) -> Iterator[Figure]:
    for ours, key, name, aim in (
        ("append", "append", "one caller", "ahead"),
        ("threads", "concurrent", f"{CALLERS} callers (threads)", ">= 10"),
        ("tasks", "concurrent", f"{CALLERS} callers (tasks)", ">= 10"),
    ):
        for against, other, kind in (
            ("eventsourcing", key, ""),
            ("eventsourcing", f"{key}_cached", ", with its cache"),
            ("Protean", key, ""),
        ):
            if against in found:
                value = found["mainstem"][ours], found[against][other]
                yield Figure(f"append, {name}", *value, "commands/s", f"{against}{kind}", aim)


def _loads(found: Mapping[str, Found]) -> Iterator[Figure]:
    """Times: the ratio is turned round, so that above 1 is ahead everywhere."""
    for key, name in (
        ("load", f"load, {EVENTS:,} events"),
        ("load_snapshot", f"load, {EVENTS % EVERY} events after a snapshot"),
        ("as_of", f"as of version {PAST:,}"),
        ("as_of_snapshot", f"as of version {PAST:,}, the peer from its snapshot {PAST % EVERY} before"),
    ):
        for against in ("eventsourcing", "Protean"):
            other = found.get(against, {}).get(key)
            if other is not None:
                ours = found["mainstem"][key.removesuffix("_snapshot") if key == "as_of_snapshot" else key]
                yield Figure(name, 1e6 / ours, 1e6 / other, "a second", against, "ahead")


def _over_tags(found: Mapping[str, Found]) -> Iterator[Figure]:
    for ours, key, name, aim in (
        ("append", "append", "one caller", "ahead"),
        ("threads", "concurrent", f"{CALLERS} callers (threads)", ">= 10"),
        ("tasks", "concurrent", f"{CALLERS} callers (tasks)", ">= 10"),
    ):
        for where in ("memory", "postgres"):
            if where not in found:
                continue
            against = f"eventsourcing.dcb, {'in memory, not durable' if where == 'memory' else 'PostgreSQL'}"
            yield Figure(name, found["mainstem"][ours], found[where][key], "commands/s", against, aim)


if __name__ == "__main__":
    main()
