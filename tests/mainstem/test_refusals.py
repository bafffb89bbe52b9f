"""Retrying refused commands: once, by whom, in which conversation, and what becomes of it, on both stores."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from bank.card import CARD, DEBIT_CARD, ChangeLimit, OpenCard, Withdraw
from bank.main import application
from mainstem.command.answer import Answer
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler, Request
from mainstem.errors import InvalidCommand, InvalidQuery, Refused
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.port import EventStore, Refusal, RefusalFilter, Retried
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.messages import Command, Origin
from mainstem.operations import retry_refusal
from mainstem.refusals import KeptRefusal, refusal_id, refusal_number, retry_of
from mainstem.settings import Secret, Settings
from tests.stack import Databases

OPERATOR = "olaf"


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.stack)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    if request.param == "sqlite":
        with closing(SqliteEventStore(tmp_path / "events.db", [DEBIT_CARD], clock_ms=lambda: 1_000)) as opened:
            yield opened
    else:
        databases: Databases = request.getfixturevalue("databases")
        with closing(MysqlEventStore(databases(tmp_path), [DEBIT_CARD], clock_ms=lambda: 1_000)) as mysql:
            yield mysql


@pytest.fixture
def bus(store: EventStore) -> Iterator[CommandBus]:
    bus = CommandBus(store, Handler([CARD], clock_ms=lambda: 1_000))
    bus.start()
    bus.execute(OpenCard(card="c", limit=Decimal(100)))
    yield bus
    bus.stop()


def refused(store: EventStore, bus: CommandBus, command: Command) -> KeptRefusal:
    with pytest.raises(Refused):
        bus.execute(command, origin=Origin(actor="teller", correlation_id="talk"))
    return store.refusals.page()[0]


@pytest.fixture
def retry(store: EventStore, bus: CommandBus) -> Callable[[KeptRefusal], Answer]:
    def again(kept: KeptRefusal) -> Answer:
        made = retry_of(kept, [CARD], OPERATOR)
        return bus.execute(made.command, key=made.key, origin=made.origin, retry_of=made.retry_of)

    return again


Again = Callable[[KeptRefusal], Answer]


def test_a_retry_that_is_accepted_is_carried_out_once(store: EventStore, bus: CommandBus, retry: Again) -> None:
    """As its operator, in the conversation of the first; and the refusal knows of it."""
    kept = refused(store, bus, Withdraw(card="c", amount=Decimal(150)))
    bus.execute(ChangeLimit(card="c", limit=Decimal(1_000)))
    answers = [retry(kept) for _ in range(2)]
    assert [(each.version, each.replayed) for each in answers] == [(3, False), (3, True)]
    events = store.read("debit_card-c")
    assert [each.type for each in events] == ["CardOpened", "LimitChanged", "MoneyWithdrawn"]
    assert (events[-1].actor, events[-1].correlation_id) == (OPERATOR, "talk")
    assert store.refusals.page() == [replace(kept, retried=Retried(3, 1_000, OPERATOR))]


def test_it_stays_carried_out_once_when_its_answer_is_forgotten(
    store: EventStore, bus: CommandBus, retry: Again
) -> None:
    """Answers are kept for days, refusals for good."""
    kept = refused(store, bus, Withdraw(card="c", amount=Decimal(150)))
    bus.execute(ChangeLimit(card="c", limit=Decimal(1_000)))
    retry(kept)
    assert store.forget_answers(2_000) == 1
    with pytest.raises(InvalidCommand, match="was accepted long ago"):
        retry(kept)
    assert len(store.read("debit_card-c")) == 3


def test_a_retry_that_is_refused_again_is_a_refusal_that_knows_of_the_first(
    store: EventStore, bus: CommandBus, retry: Again
) -> None:
    """The first has had its retry: the same answer comes again. The second can be retried."""
    first = refused(store, bus, Withdraw(card="c", amount=Decimal(150)))
    told = []
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            retry(first)
        told.append(caught.value.replayed)
    assert told == [False, True]
    (second,) = store.refusals.page(RefusalFilter(retry_of=first.number))
    assert (second.refusal.actor, second.refusal.correlation_id) == (OPERATOR, "talk")
    assert second.refusal.content == first.refusal.content
    bus.execute(ChangeLimit(card="c", limit=Decimal(1_000)))
    assert retry(second).version == 3
    assert [each.retried is not None for each in store.refusals.page()] == [True, False]
    assert bus.status().refusals == {"insufficient-balance": 2}


def test_retries_in_one_batch_apply_it_once(store: EventStore, bus: CommandBus) -> None:
    kept = refused(store, bus, Withdraw(card="c", amount=Decimal(150)))
    bus.execute(ChangeLimit(card="c", limit=Decimal(1_000)))
    made = retry_of(kept, [CARD], OPERATOR)
    handler = Handler([CARD], clock_ms=lambda: 1_000)
    requests = [Request(made.command, made.key, made.origin, made.retry_of)] * 2
    handler.begin()
    with store.transaction() as transaction:
        outcomes = [handler.handle(transaction, each) for each in handler.expect(transaction, requests)]
    assert [isinstance(each, Answer) and each.replayed for each in outcomes] == [False, True]
    assert len(store.read("debit_card-c")) == 3


def _kept(**changes: object) -> KeptRefusal:
    content = b'{"type":"Withdraw","card":"c","amount":"1"}'
    refusal = Refusal(
        stream="debit_card-c", command="Withdraw", content=content, reason="no", text="no", refused_at_ms=1, actor="t"
    )
    return KeptRefusal(7, replace(refusal, **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stream": "account-c"}, "no decider has the category account"),
        ({"command": "Steal"}, "debit_card has no command Steal today"),
        ({"content": b'{"type":"Withdraw","card":"c","sum":"1"}'}, "cannot be read as today's Withdraw"),
        ({"content": b"{"}, "cannot be read as today's Withdraw"),
        ({"stream": "debit_card-other"}, "is for other, today it would be for c"),
    ],
)
def test_a_command_that_cannot_be_read_today_is_told(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidCommand, match=f"the command of refusal 0000000000000007 .*{said}"):
        retry_of(_kept(**changes), [CARD], OPERATOR)
    assert retry_of(_kept(), [CARD], OPERATOR).command == Withdraw(card="c", amount=Decimal(1))


def test_a_clients_key_never_meets_that_of_a_retry(bus: CommandBus) -> None:
    """What a header can hold has no blanks."""
    assert " " in retry_of(_kept(), [CARD], OPERATOR).key


@pytest.mark.parametrize("text", ["", "7", "00000000000000007", "000000000000000x", "\u0660" * 16])
def test_a_text_that_is_no_refusals_id(text: str) -> None:
    assert refusal_number(refusal_id(7)) == 7
    with pytest.raises(InvalidQuery, match="is no refusal's id"):
        refusal_number(text)


@pytest.mark.stack
def test_retries_of_two_processes_apply_it_once(databases: Databases, tmp_path: Path) -> None:
    """Each may be behind the other, none is first twice."""
    server = databases(tmp_path)
    stores = [MysqlEventStore(server, [DEBIT_CARD], clock_ms=lambda: 1_000) for _ in range(2)]
    buses = [CommandBus(each, Handler([CARD], clock_ms=lambda: 1_000)) for each in stores]
    for bus in buses:
        bus.start()
    buses[0].execute(OpenCard(card="c", limit=Decimal(100)))
    all_kept = [refused(stores[0], buses[0], Withdraw(card="c", amount=Decimal(150 + turn))) for turn in range(10)]
    buses[0].execute(ChangeLimit(card="c", limit=Decimal(100_000)))
    made = [retry_of(kept, [CARD], OPERATOR) for kept in all_kept]

    def work(number: int) -> list[int]:
        bus = buses[number % 2]
        return [bus.execute(r.command, key=r.key, origin=r.origin, retry_of=r.retry_of).version for r in made]

    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(work, range(4)))
    assert all(each == versions[0] for each in versions)
    assert len(stores[0].read("debit_card-c")) == 12
    for bus, each in zip(buses, stores, strict=True):
        bus.stop()
        each.close()


@pytest.mark.stack
def test_the_command_line_retries_in_mysql_by_itself(databases: Databases, tmp_path: Path) -> None:
    """It needs no process of the application, nor any server but MySQL."""
    server = databases(tmp_path)
    settings = Settings(
        form="distributed",
        mysql_host=server.host,
        mysql_port=server.port,
        mysql_user=server.user,
        mysql_password=Secret(server.password),
        mysql_database=server.database,
    )
    with closing(MysqlEventStore(server, [DEBIT_CARD], clock_ms=lambda: 1_000)) as store:
        bus = CommandBus(store, Handler([CARD], clock_ms=lambda: 1_000))
        bus.start()
        bus.execute(OpenCard(card="c", limit=Decimal(100)))
        kept = refused(store, bus, Withdraw(card="c", amount=Decimal(150)))
        bus.execute(ChangeLimit(card="c", limit=Decimal(1_000)))
        bus.stop()
        found = [retry_refusal(application, settings, kept.number) for _ in range(2)]
        assert [(each.accepted, each.version) for each in found] == [(True, 3), (True, 3)]
        assert len(store.read("debit_card-c")) == 3
