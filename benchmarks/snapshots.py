"""What one command costs on a stream of 10 to 1,000,000 events, nothing remembered, with snapshots and without."""

import tempfile
import time
from decimal import Decimal
from pathlib import Path
from statistics import median

from bank.card import CARD, DEBIT_CARD, Card, CardOpened, MoneyWithdrawn, Withdraw
from figures import Figure, quiet, say, show
from mainstem import Snapshots, Stamp
from mainstem.assembly.running import wall_clock_ms
from mainstem.codec import encode
from mainstem.command.bus import BusLimits, CommandBus
from mainstem.command.handler import Handler
from mainstem.command.snapshotting import Due, sealed
from mainstem.eventstore.port import EventStore, NewEvent
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.messages import SYSTEM
from plot import Line, plot

LENGTHS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
EVERY = 1_000
"""The default: at worst so many events, less one, come after the last snapshot."""

_CHUNK = 10_000
_CENT = Decimal("0.01")
_OPENED = CardOpened(limit=Decimal("999999999.00"))
_SPENT = MoneyWithdrawn(amount=_CENT)
_FIGURES = Path(__file__).parents[1] / "docs" / "figures"
_NEVER, _READ = Snapshots(), Snapshots(every_events=10**9)


def fill(store: EventStore, events: int) -> list[Card]:
    """A card with so many events, written as the store takes them; its state after the first and after each other."""
    stream, states, row = CARD.stream(str(events)), [CARD.evolve(CARD.initial, _OPENED)], None
    for start in range(0, events, _CHUNK):
        count = min(_CHUNK, events - start)
        new = [_OPENED if start + number == 0 else _SPENT for number in range(count)]
        for event in new[0 if start else 1 :]:
            states.append(CARD.evolve(states[-1], event))
        assert CARD.state_row is not None
        after = CARD.state_row.row(states[-1], Stamp(str(events), start + count, 1))
        with store.transaction() as transaction:
            encoded = [NewEvent(type(event).__name__, encode(event)) for event in new]
            transaction.append(stream, start, encoded, occurred_at_ms=1, origin=SYSTEM)
            transaction.put_state(DEBIT_CARD, row, after)
        row = after
    return states


def cost_us(store: EventStore, card: str, policy: Snapshots, rounds: int) -> float:
    """The median of one withdrawal by a writer that remembers nothing, in microseconds."""
    taken = []
    for _ in range(rounds):
        handler = Handler([CARD], clock_ms=wall_clock_ms, snapshots=policy)
        bus = CommandBus(store, handler, limits=BusLimits(answer_timeout_s=120))
        bus.start()
        began = time.perf_counter()
        bus.execute(Withdraw(card=card, amount=_CENT))
        taken.append(time.perf_counter() - began)
        bus.stop()
    return median(taken) * 1e6


def _measured(store: EventStore, card: str, states: list[Card], policy: Snapshots, rounds: int) -> float:
    """The cost; the states go on with the withdrawals that it was found by."""
    found = cost_us(store, card, policy, rounds)
    for _ in range(rounds):
        states.append(CARD.evolve(states[-1], _SPENT))
    return found


def measure(store: EventStore, engine: str) -> None:
    """All lengths; a table, and the plot."""
    without, worst, behind = [], [], []
    for events in LENGTHS:
        states, card = fill(store, events), str(events)
        rounds = 21 if events <= EVERY else 5 if events <= 100_000 else 3
        without.append((events, _measured(store, card, states, _NEVER, rounds)))
        for found, distance in ((worst, EVERY - 1), (behind, 0)):
            version = len(states) - distance
            if version > 0:
                at_ms = store.read(CARD.stream(card), after=version - 1, limit=1)[0].occurred_at_ms
                due = Due(CARD.stream(card), CARD.fingerprint(), version, at_ms, 1, states[version - 1])
                store.keep_snapshots([(due.stream, sealed(due))])
            found.append((events, _measured(store, card, states, _READ, 21)))
        say(f"{engine}, {events:,} events: {without[-1][1]:,.0f}, {worst[-1][1]:,.0f}, {behind[-1][1]:,.0f} us")
    lines = [
        Line("without snapshots", without),
        Line(f"snapshots every {EVERY:,} events, just before the next", worst),
        Line("the same, just after one", behind),
    ]
    title = f"One command, nothing remembered ({engine})"
    plot(_FIGURES / f"snapshots-{engine.lower()}.svg", title, ("events of the aggregate", "microseconds"), lines)
    show(
        f"One command, nothing remembered, {engine}",
        [
            Figure(f"{LENGTHS[-1]:,} events, {name}", line[-1][1], other[0][1], "us", f"{LENGTHS[0]} events", aim)
            for name, line, other, aim in (
                ("just after a snapshot", behind, behind, "<= 1.5"),
                ("just before the next", worst, behind, ""),
                ("without snapshots", without, without, ""),
            )
        ],
    )


def main() -> None:
    """On SQLite with synchronous=FULL."""
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteEventStore(Path(folder) / "events.db", [DEBIT_CARD], clock_ms=wall_clock_ms)
        try:
            measure(store, "SQLite")
        finally:
            store.close()


if __name__ == "__main__":
    main()
