"""An aggregate's past: whatever happened, each moment is the fold of the events up to it, on both stores."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bank.card import CARD, Card, CardBlocked, CardOpened, LimitChanged, MoneyWithdrawn
from mainstem import NOW, AsOf, Event, Origin, cli, read_moment
from mainstem.codec import encode
from mainstem.errors import InvalidQuery, StoreCorrupt
from mainstem.eventstore import sqlite_schema
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.port import EventStore, NewEvent, StoredEvent
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.history import Change, History
from mainstem.sqlite import connect, prepare
from tests.stack import Databases

_STREAM = CARD.stream("1")
_LIFE: list[Event] = [
    CardOpened(limit=Decimal("100.00")),
    MoneyWithdrawn(amount=Decimal("30.00")),
    LimitChanged(limit=Decimal("50.00")),
    CardBlocked(note="lost"),
]


class _Clock:
    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.stack)])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: _Clock) -> Iterator[EventStore]:
    if request.param == "sqlite":
        with closing(SqliteEventStore(tmp_path / "events.db", clock_ms=clock)) as opened:
            yield opened
    else:
        databases: Databases = request.getfixturevalue("databases")
        with closing(MysqlEventStore(databases(tmp_path), clock_ms=clock)) as opened:
            yield opened


def live(store: EventStore, events: list[Event], at_ms: list[int], before: int = 0) -> None:
    """Let them happen at those times."""
    for version, (event, occurred_at_ms) in enumerate(zip(events, at_ms, strict=True), before):
        new = NewEvent(type(event).__name__, encode(event))
        with store.transaction() as transaction:
            transaction.append(_STREAM, version, [new], occurred_at_ms=occurred_at_ms, origin=Origin(actor="teller"))


def test_it_is_read_at_any_moment(store: EventStore, clock: _Clock) -> None:
    """By version, by when events occurred, and by when they were recorded."""
    clock.now_ms = 10_000
    live(store, _LIFE, [1_000, 2_000, 2_000, 4_000])
    history = History(store, CARD)
    whole = history.at("1")
    assert (whole.version, whole.state) == (4, Card("blocked", Decimal("50.00"), Decimal("30.00")))
    assert (whole.occurred_at_ms, whole.recorded_at_ms) == (4_000, 10_000)
    assert whole.row is not None
    for version in range(5):
        assert history.at("1", AsOf(version=version)).state == CARD.fold(CARD.initial, _LIFE[:version])
    occurred = {999: 0, 1_000: 1, 1_999: 1, 2_000: 3, 3_999: 3, 4_000: 4}
    assert {at_ms: history.at("1", AsOf(at_ms=at_ms)).version for at_ms in occurred} == occurred
    recorded = {9_999: 0, 10_000: 4}
    assert {at: history.at("1", AsOf(at_ms=at, recorded=True)).version for at in recorded} == recorded
    with pytest.raises(InvalidQuery, match="no version 5: it stands at 4"):
        history.at("1", AsOf(version=5))
    assert history.at("nobody").version == 0


def test_what_happened_is_told_in_pages(store: EventStore) -> None:
    live(store, _LIFE, [1_000, 2_000, 2_000, 4_000])
    history = History(store, CARD)
    first = history.events("1", limit=3)
    assert [(each.version, each.event, each.actor) for each in first] == [
        (number, event, "teller") for number, event in enumerate(_LIFE[:3], 1)
    ]
    assert [each.event for each in history.events("1", after=3)] == _LIFE[3:]
    assert history.events("nobody") == []


def test_what_lies_between_two_moments(store: EventStore) -> None:
    live(store, _LIFE, [1_000, 2_000, 2_000, 4_000])
    history = History(store, CARD)
    found = history.between("1", AsOf(version=2), NOW)
    assert found.changes == (
        Change("status", "active", "blocked"),
        Change("limit", Decimal("100.00"), Decimal("50.00")),
    )
    assert history.between("1", AsOf(at_ms=2_500), AsOf(version=3)).changes == ()
    with pytest.raises(InvalidQuery, match="is after the second"):
        history.between("1", NOW, AsOf(version=1))


def test_a_long_life_is_read_in_pages(store: EventStore) -> None:
    events = [_LIFE[0], *[MoneyWithdrawn(amount=Decimal("0.01"))] * 2_500]
    with store.transaction() as transaction:
        new = [NewEvent(type(event).__name__, encode(event)) for event in events]
        transaction.append(_STREAM, 0, new, occurred_at_ms=1_000, origin=Origin())
    history = History(store, CARD)
    assert history.at("1").state.used == Decimal("25.00")
    assert history.at("1", AsOf(version=1_001)).state.used == Decimal("10.00")


def test_no_more_is_read_than_the_version_that_is_asked_for(store: EventStore) -> None:
    live(store, _LIFE[:3], [1_000, 2_000, 3_000])
    read: list[StoredEvent] = []

    class Told:
        def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
            found = store.read(stream, after, limit)
            read.extend(found)
            return found

    assert History(Told(), CARD).at("1", AsOf(version=2)).version == 2
    assert [event.version for event in read] == [1, 2]


def test_an_event_that_cannot_be_read_is_named(store: EventStore) -> None:
    live(store, _LIFE[:1], [1_000])
    with store.transaction() as transaction:
        unknown = [NewEvent("CardEaten", b'{"type":"CardEaten"}')]
        transaction.append(_STREAM, 1, unknown, occurred_at_ms=1_000, origin=Origin())
    history = History(store, CARD)
    assert history.at("1", AsOf(version=0)).version == 0
    with pytest.raises(StoreCorrupt, match="CardEaten"):
        history.at("1")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(-1, 60))
def test_a_moment_takes_the_events_up_to_the_first_that_is_later(gaps: list[int], at_ms: int) -> None:
    """Events of a stream never occur before those that stand there."""
    times = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    events: list[Event] = [_LIFE[0], *[MoneyWithdrawn(amount=Decimal("1.00"))] * (len(times) - 1)]
    with TemporaryDirectory() as folder, closing(SqliteEventStore(Path(folder) / "e.db", clock_ms=int)) as store:
        live(store, events, times)
        assert History(store, CARD).at("1", AsOf(at_ms=at_ms)).version == sum(each <= at_ms for each in times)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7", AsOf(version=7)),
        ("1970-01-01T00:00:01Z", AsOf(at_ms=1_000, recorded=True)),
        ("1970-01-01T01:00:00.5+01:00", AsOf(at_ms=500, recorded=True)),
    ],
)
def test_a_moment_is_read_from_text(text: str, moment: AsOf) -> None:
    assert read_moment(text, recorded=True) == moment


@pytest.mark.parametrize("text", ["", "-1", "1e3", "now", "2026-01-31", "2026-01-31T09:30:00", "9" * 10, "\u0665"])
def test_a_text_that_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidQuery, match="is no moment"):
        read_moment(text)


def test_the_command_line_changes_nothing(tmp_path: Path) -> None:
    """A file of the first release, which another process may have open, stays of that release."""
    path = tmp_path / "events.db"
    prepare(path, "events", sqlite_schema.MIGRATIONS[:1])
    with closing(connect(path)) as connection:
        connection.execute(
            "INSERT INTO event (stream, version, type, payload, occurred_at_ms, recorded_at_ms, actor)"
            """ VALUES ('debit_card-1', 1, 'CardClosed', '{"type":"CardClosed"}', 1, 1, 'teller')"""
        )
    found = CliRunner().invoke(cli.app, ["history", "1", "--json"], env={"MAINSTEM_DATA_DIR": str(tmp_path)})
    assert '"CardClosed"' in found.stdout, found.output
    with closing(connect(path)) as connection:
        assert connection.pragma("user_version") == 1
