"""Commands of tenants: each in streams, answers, tags and snapshots of its own, and none that could name another's."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bank.card import CARD, CardOpened, OpenCard, Withdraw
from bank.customer import CUSTOMER, SetOverallLimit
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.errors import ConfigurationError, IdempotencyConflict, InvalidCommand, Refused
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.messages import Origin, Position
from mainstem.refusals import retry_of
from mainstem.snapshots import Snapshots
from mainstem.tenancy import Tenants
from mainstem.testing import FakeClock

TENANTS = Tenants(("acme", "north-bank"), frozenset({"acme", "north-bank", "left"}))
ACME, NORTH, LEFT = (Origin(actor="tess", tenant=name) for name in ("acme", "north-bank", "left"))
NOBODY = Origin(actor="tess")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteEventStore]:
    store = SqliteEventStore(tmp_path / "events.db", [CARD.state_row.table], clock_ms=FakeClock())  # type: ignore[union-attr]
    yield store
    store.close()


def bus(store: SqliteEventStore, tenants: Tenants = TENANTS) -> CommandBus:
    handler = Handler([CARD, CUSTOMER], clock_ms=FakeClock(), tenants=tenants, snapshots=Snapshots(every_events=1))
    found = CommandBus(store, handler)
    found.start()
    return found


@pytest.fixture
def commands(store: SqliteEventStore) -> Iterator[CommandBus]:
    found = bus(store)
    yield found
    found.stop()


def opened(limit: int = 100, card: str = "1", customer: str | None = None) -> OpenCard:
    return OpenCard(card=card, limit=Decimal(limit), customer=customer)


def withdrawn(amount: int, card: str = "1") -> Withdraw:
    return Withdraw(card=card, amount=Decimal(amount))


def test_a_tenants_aggregate_is_its_own(store: SqliteEventStore, commands: CommandBus) -> None:
    """Its stream, its row, its version, its position."""
    for limit, origin in enumerate((NOBODY, ACME, NORTH), 1):
        answer = commands.execute(opened(limit * 100), origin=origin)
        key = "1" if origin.tenant is None else f"/{origin.tenant}/1"
        assert (answer.aggregate_id, answer.version, answer.position) == (key, 1, Position(key, 1))
    commands.execute(withdrawn(30), origin=ACME)
    table = CARD.state_row.table  # type: ignore[union-attr]
    rows = {row.id: (row.initial_limit, row.used_limit, row.version) for row in store.states(table)}
    assert rows == {"1": (100, 0, 1), "/acme/1": (200, 30, 2), "/north-bank/1": (300, 0, 1)}
    assert [each.version for each in store.read("/acme/debit_card-1")] == [1, 2]
    assert [each.version for each in store.read("debit_card-1")] == [1]


def test_a_key_is_a_tenants_own(commands: CommandBus) -> None:
    """The same key again, of another tenant, is another command; of the same it is the same answer."""
    first = {
        origin: commands.execute(opened(n), key="k", origin=origin) for n, origin in enumerate((NOBODY, ACME, NORTH))
    }
    for number, (origin, answer) in enumerate(first.items()):
        again = commands.execute(opened(number), key="k", origin=origin)
        assert (again.replayed, again.row) == (True, answer.row)
        with pytest.raises(IdempotencyConflict):
            commands.execute(opened(50), key="k", origin=origin)
    with pytest.raises(Refused, match="revoked"):
        commands.revoke(withdrawn(1), key="later", origin=ACME)
    assert commands.execute(withdrawn(1), key="later", origin=NORTH).version == 2


def test_what_is_learnt_of_one_is_nothing_of_another(store: SqliteEventStore) -> None:
    """A writer that begins anew, at the snapshots: each tenant's is its own."""
    first = bus(store)
    for limit, origin in enumerate((NOBODY, ACME, NORTH), 1):
        first.execute(opened(limit * 100), origin=origin)
        first.execute(withdrawn(limit), origin=origin)
    first.stop()
    assert {each.stream for each in store.kept_snapshots()} == {
        "debit_card-1",
        "/acme/debit_card-1",
        "/north-bank/debit_card-1",
    }
    second = bus(store)
    for limit, origin in enumerate((NOBODY, ACME, NORTH), 1):
        answer = second.execute(withdrawn(limit), origin=origin)
        assert (answer.row.initial_limit, answer.row.used_limit) == (limit * 100, limit * 2)  # type: ignore[union-attr]
    second.stop()


def test_a_decision_over_tags_sees_the_tenants_events(store: SqliteEventStore, commands: CommandBus) -> None:
    for limit, origin in ((10, ACME), (1_000, NORTH), (500, NOBODY)):
        commands.execute(SetOverallLimit(customer="c", limit=Decimal(limit)), origin=origin)
        commands.execute(opened(2_000, customer="c"), origin=origin)
    for limit, origin in ((1_000, NORTH), (10, ACME), (500, NOBODY)):
        commands.execute(withdrawn(limit), origin=origin)
        with pytest.raises(Refused, match="have 0 left"):
            commands.execute(withdrawn(1), origin=origin)
    assert len(store.read_tagged("customer:c")) == 3
    assert len(store.read_tagged("/acme/customer:c")) == 3


def test_a_refusal_is_tried_again_in_its_tenant(store: SqliteEventStore, commands: CommandBus) -> None:
    """It is the same number to all of them, and its stream says whose it is."""
    for origin in (NOBODY, ACME):
        commands.execute(opened(10), origin=origin)
    with pytest.raises(Refused):
        commands.execute(withdrawn(50), origin=ACME)
    (kept,) = store.refusals.page()
    assert kept.refusal.stream == "/acme/debit_card-1"
    made = retry_of(kept, [CARD, CUSTOMER], "olaf")
    assert made.origin.tenant == "acme"
    commands.execute(opened(100, "2"), origin=ACME)
    with pytest.raises(Refused):
        commands.execute(made.command, key=made.key, origin=made.origin, retry_of=made.retry_of)
    assert [each.refusal.retry_of for each in store.refusals.page()] == [kept.number, None]


@pytest.mark.parametrize("tenant", ["globex", "", "acme/", "/acme", "Acme", "acme/debit_card-1", "a" * 200])
def test_a_tenant_that_is_not_there(store: SqliteEventStore, commands: CommandBus, tenant: str) -> None:
    for key in (None, "k"):
        with pytest.raises(InvalidCommand, match="there is no tenant"):
            commands.execute(opened(), key=key, origin=Origin(tenant=tenant))
    assert list(store.read_all()) == []


def test_one_that_is_not_served_any_more_goes_on_within(commands: CommandBus) -> None:
    """What its processes still have to do: nobody else can address it."""
    assert commands.execute(opened(), origin=LEFT).aggregate_id == "/left/1"


@pytest.mark.parametrize("card", ["/acme/1", "/1", "//acme/1", "/"])
def test_no_id_begins_with_a_slash(store: SqliteEventStore, commands: CommandBus, card: str) -> None:
    """Where tenants are kept apart; elsewhere such an id is one like any other."""
    for origin in (NOBODY, ACME):
        with pytest.raises(InvalidCommand, match="begins with a slash"):
            commands.execute(withdrawn(1, card), origin=origin)
    commands.stop()
    alone = bus(store, Tenants())
    with pytest.raises(Refused, match="does not exist"):
        alone.execute(withdrawn(1, card))
    alone.stop()


def test_a_name_that_is_too_long_with_its_tenant(store: SqliteEventStore) -> None:
    """Of a category with a long name: not every store could hold the stream's."""
    commands = CommandBus(store, Handler([replace(CUSTOMER, category="c" * 50)], clock_ms=FakeClock(), tenants=TENANTS))
    commands.start()
    asked = SetOverallLimit(customer="x" * 200, limit=Decimal(1))
    with pytest.raises(InvalidCommand, match="name must be"):
        commands.execute(asked, origin=ACME)
    with pytest.raises(Refused):
        commands.execute(asked, origin=NOBODY)
    commands.stop()


@pytest.mark.parametrize("tag", ["/acme/customer:c", "/"])
def test_no_tag_begins_with_a_slash(store: SqliteEventStore, tag: str) -> None:
    """Neither one that a command is decided over nor one that an event is given."""
    assert CARD.boundary is not None
    over = replace(CARD, boundary=replace(CARD.boundary, tags=lambda _card, _command: (tag,)))
    given = replace(CARD, boundary=replace(CARD.boundary, tagged=lambda _card, _event: (tag,)))
    for decider, error in ((over, InvalidCommand), (given, ConfigurationError)):
        commands = CommandBus(store, Handler([decider], clock_ms=FakeClock(), tenants=TENANTS))
        commands.start()
        for origin in (NOBODY, ACME):
            with pytest.raises(error, match="begins with a slash"):
                commands.execute(opened(), origin=origin)
        commands.stop()
    assert list(store.read_all()) == []


def test_many_tenants_in_one_batch(store: SqliteEventStore, commands: CommandBus) -> None:
    """One transaction decides each in its own."""

    async def all_at_once() -> None:
        origins = [NOBODY, ACME, NORTH] * 20
        await asyncio.gather(
            *(commands.send(opened(n + 1, f"c{n // 3}"), key=f"{n // 3}", origin=o) for n, o in enumerate(origins))
        )

    asyncio.run(all_at_once())
    assert commands.status().batches < 30
    limits = {each.stream: each for batch in store.read_all() for each in batch}
    assert len(limits) == 60
    assert all(each.type == CardOpened.__struct_config__.tag for each in limits.values())
