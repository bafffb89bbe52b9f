"""Several processes on one event store in MySQL, each with connections of its own."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from bank.card import CARD, DEBIT_CARD, OpenCard, Withdraw
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.errors import StateDrift, VersionConflict, WriteConflict
from mainstem.eventstore import mysql
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.mysql_integrity import MysqlIntegrity
from mainstem.eventstore.port import KeptAnswer, NewEvent, Wanted
from mainstem.eventstore.seal import LATE_MS
from mainstem.eventstore.verifying import verify
from mainstem.messages import Origin
from mainstem.mysql import MysqlServer, Session, execute
from mainstem.mysql_rows import insert_many
from mainstem.mysql_schema import migrate
from mainstem.snapshots import Snapshots
from mainstem.testing.contracts.event_store import ACCOUNT, Account
from tests.stack import Databases

pytestmark = pytest.mark.stack

EVENT = NewEvent("Counted", b'{"type":"Counted"}')


@pytest.fixture
def server(databases: Databases, tmp_path: Path) -> MysqlServer:
    return databases(tmp_path)


@pytest.fixture
def stores(server: MysqlServer) -> Iterator[tuple[MysqlEventStore, MysqlEventStore]]:
    with (
        closing(MysqlEventStore(server, [ACCOUNT], clock_ms=lambda: 1)) as one,
        closing(MysqlEventStore(server, [ACCOUNT], clock_ms=lambda: 1)) as two,
    ):
        yield one, two


def append(store: MysqlEventStore, stream: str, expected: int) -> None:
    with store.transaction() as transaction:
        transaction.append(stream, expected, [EVENT], occurred_at_ms=1, origin=Origin())


def test_a_new_stream_belongs_to_the_first(stores: tuple[MysqlEventStore, MysqlEventStore]) -> None:
    """Nothing can be locked that is not there: the second learns at its end that it came second."""
    one, two = stores

    def second() -> None:
        with one.transaction() as transaction:
            assert transaction.load("a-1", 0) == []
            append(two, "a-1", 0)
            transaction.append("a-1", 0, [EVENT], occurred_at_ms=1, origin=Origin())

    with pytest.raises(VersionConflict) as caught:
        second()
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("a-1", 0, 1)
    assert len(one.read("a-1")) == 1


def test_a_loaded_stream_is_waited_for(stores: tuple[MysqlEventStore, MysqlEventStore]) -> None:
    """And the one that has waited sees what the other has appended."""
    one, two = stores
    append(one, "a-1", 0)
    loaded = threading.Event()
    seen: list[int] = []

    def second() -> None:
        loaded.wait(10)
        with two.transaction() as transaction:
            transaction.expect([Wanted("a-1", 1, "")], [])
            seen.extend(event.version for event in transaction.load("a-1", 1) or ())

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second)
        with one.transaction() as transaction:
            transaction.load("a-1", 1)
            loaded.set()
            threading.Event().wait(0.2)
            assert not waiting.done()
            transaction.append("a-1", 1, [EVENT], occurred_at_ms=1, origin=Origin())
        waiting.result(10)
    assert seen == [2]


def test_one_key_is_answered_once(stores: tuple[MysqlEventStore, MysqlEventStore]) -> None:
    """Of two processes that keep an answer of it at once, one has to look again."""
    one, two = stores

    def second() -> None:
        with one.transaction() as transaction:
            transaction.expect([], ["k"])
            assert transaction.kept_answer("k") is None
            with two.transaction() as other:
                other.keep_answer("k", KeptAnswer(b"d", b"first"), 1)
            transaction.keep_answer("k", KeptAnswer(b"d", b"second"), 1)

    with pytest.raises(WriteConflict):
        second()
    with one.transaction() as transaction:
        assert transaction.kept_answer("k") == KeptAnswer(b"d", b"first")


def test_a_row_that_somebody_else_has_made_is_not_overwritten(
    stores: tuple[MysqlEventStore, MysqlEventStore], server: MysqlServer
) -> None:
    """A plain client of the database."""
    session = Session(server)
    with session.use() as connection:
        execute(connection, "INSERT INTO account (id, holder, version, `order`) VALUES ('1', 'Eve', 1, 0)")
    session.close()
    with pytest.raises(StateDrift), stores[0].transaction() as transaction:
        transaction.put_state(ACCOUNT, None, Account("1", "Ada", 1))
    assert [row.holder for row in stores[0].states(ACCOUNT)] == ["Eve"]


def test_each_change_of_a_state_row_is_a_change_of_its_own(
    stores: tuple[MysqlEventStore, MysqlEventStore], server: MysqlServer
) -> None:
    """So that a capture sees every one of them, though they are written together."""
    session = Session(server)
    with session.use() as connection:
        execute(connection, "CREATE TABLE seen (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20) NOT NULL)")
        for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            body = f"INSERT INTO seen (what) VALUES (concat('{event} ', {row}.version))"
            execute(connection, f"CREATE TRIGGER seen_{event} AFTER {event} ON account FOR EACH ROW {body}")
    steps = [Account("1", "Ada", version) for version in range(1, 5)]
    with stores[0].transaction() as transaction:
        for before, after in zip([None, *steps], [*steps, None], strict=True):
            transaction.put_state(ACCOUNT, before, after)
    with session.use() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT what FROM seen ORDER BY id")
        seen = [what for (what,) in cursor.fetchall()]
    session.close()
    assert seen == ["INSERT 1", "UPDATE 2", "UPDATE 3", "UPDATE 4", "DELETE 4"]


def test_the_buses_of_several_processes_lose_nothing(server: MysqlServer) -> None:
    """Hot and new streams at once, many commands under one key: each is carried out once, and none is refused."""
    stores = [MysqlEventStore(server, [DEBIT_CARD], clock_ms=lambda: 1) for _ in range(3)]
    buses = [
        CommandBus(store, Handler([CARD], clock_ms=lambda: 1, snapshots=Snapshots(every_events=10))) for store in stores
    ]
    for bus in buses:
        bus.start()
    buses[0].execute(OpenCard(card="hot", limit=Decimal(1_000)))

    def work(number: int) -> None:
        bus = buses[number % 3]
        for turn in range(20):
            bus.execute(Withdraw(card="hot", amount=Decimal(1)))
            bus.execute(OpenCard(card=f"new-{turn}", limit=Decimal(turn + 1)), key=f"turn-{turn}")

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(work, range(9)))
    for bus in buses:
        bus.stop()
    assert sum(bus.status().failed + bus.status().refused for bus in buses) == 0
    hot = stores[0].read("debit_card-hot", limit=1_000)
    assert [event.version for event in hot] == list(range(1, 182))
    assert all(len(stores[0].read(f"debit_card-new-{turn}")) == 1 for turn in range(20))
    assert sum(len(batch) for batch in stores[0].read_all()) == 201
    for store in stores:
        store.close()


def test_events_of_an_older_release_stay_as_they_are(server: MysqlServer) -> None:
    """Its tables are brought forward, also where that was broken off between a change and the note of it."""
    migrate(server, "events", mysql._MIGRATIONS[:4])
    with Session(server).use() as connection:
        columns = "stream, version, type, payload, occurred_at_ms, recorded_at_ms, actor"
        row = ("count-1", 1, "Counted", EVENT.payload.decode(), 1, 1, "teller")
        insert_many(connection, f"event ({columns})", [row])
    for _ in range(2):
        with closing(MysqlEventStore(server, clock_ms=lambda: 1)) as store:
            (found,) = store.read("count-1")
            assert (found.payload, found.schema_version) == (EVENT.payload, 1)
        with Session(server).use() as connection:
            execute(connection, "UPDATE mainstem_schema SET version = 4 WHERE kind = 'events'")


def test_an_event_that_commits_late_comes_into_a_later_seal(
    stores: tuple[MysqlEventStore, MysqlEventStore], server: MysqlServer
) -> None:
    """Its position was given before those that are sealed already; one in a gap that was given up has been inserted."""
    one, two = stores
    with closing(MysqlIntegrity(server, clock_ms=lambda: 1)) as integrity:
        with one.transaction() as transaction:
            transaction.append("late-1", 0, [EVENT], occurred_at_ms=1, origin=Origin())
            transaction.flush()
            append(two, "b-1", 0)
            assert integrity.seal() == 1
            assert _verified(server) == []
        assert _verified(server) == []
        assert [integrity.seal(), integrity.seal()] == [1, 0]
        assert [(seal.first_position, seal.sealed_to) for seal in integrity.seals()] == [(2, 2), (1, 2)]
        append(one, "b-1", 1)
        assert _verified(server) == []
        with Session(server).use() as connection:
            execute(connection, "DELETE FROM event WHERE stream = 'late-1'")
        assert _verified(server) == [("removed", "late-1", 1)]


def test_a_gap_is_given_up_when_nobody_can_fill_it(
    stores: tuple[MysqlEventStore, MysqlEventStore], server: MysqlServer
) -> None:
    """Ten minutes after what stands behind it was recorded: an event that comes there then was inserted."""
    one, two = stores
    with closing(MysqlIntegrity(server, clock_ms=lambda: 1 + LATE_MS)) as integrity, one.transaction() as transaction:
        transaction.append("late-1", 0, [EVENT], occurred_at_ms=1, origin=Origin())
        transaction.flush()
        append(two, "b-1", 0)
        assert integrity.seal() == 1
    assert _verified(server) == [("inserted", "late-1", 1)]


def test_processes_that_seal_at_once_make_each_seal_once(
    stores: tuple[MysqlEventStore, MysqlEventStore], server: MysqlServer
) -> None:
    """One does, and the others leave it."""
    for version in range(60):
        append(stores[0], "a-1", version)

    def work(_: int) -> int:
        sealed = 0
        with closing(MysqlIntegrity(server, clock_ms=lambda: 1)) as integrity:
            while (last := integrity.last_seal()) is None or last.sealed_to < 60:
                sealed += integrity.seal(5)
        return sealed

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 60
    assert _verified(server) == []


def _verified(server: MysqlServer) -> list[tuple[str, str, int]]:
    found = verify(partial(MysqlIntegrity, server, clock_ms=lambda: 1))
    return [(each.kind, each.stream, each.version) for each in found.findings]
