"""What a release has changed is put right from the events: columns, a fold. Letters that were dropped stay out."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from mainstem import (
    EVENT_TOPIC,
    Application,
    Binding,
    Change,
    Command,
    Decider,
    Event,
    Fold,
    Recorded,
    StateRow,
    Table,
    changes_of,
    recorded_events,
)
from mainstem.assembly import embedded
from mainstem.assembly.repairing import repaired
from mainstem.assembly.stores import state_tables
from mainstem.decider import Stamp
from mainstem.errors import ConfigurationError, StateDrift
from mainstem.listener.letters import read_letter_id
from mainstem.repair import Damage, Repaired
from mainstem.settings import Settings


class Pay(Command, frozen=True):
    account: str
    amount: int


class Paid(Event, frozen=True):
    amount: int


class Account(Struct, frozen=True):
    paid: int = 0


class First(Struct, frozen=True):
    id: str
    paid: int
    note: str = "none"


class Later(Struct, frozen=True):
    id: str
    paid: Decimal
    currency: str


class Filled(Struct, frozen=True):
    id: str
    paid: int
    note: str | None = None


class Seen(Struct, frozen=True, omit_defaults=True):
    """A row of any of them, as a listener of its changes reads it."""

    id: str
    paid: int | str
    note: str | None = None
    currency: str | None = None


class Copy(Struct, frozen=True):
    id: str
    row: str
    ops: str


COPY = Table("copy", Copy, key=("id",))
COLUMNS = ["id TEXT NOT NULL KEY 1", "paid INTEGER NOT NULL", "note TEXT NOT NULL"]


def copied(row: Copy | None, change: Change[Seen]) -> Copy | None:
    """What stands, and what became of it so far."""
    after = change.after
    if after is None:
        return None
    return Copy(after.id, msgspec.json.encode(after).decode(), (row.ops if row else "") + change.op)


def key(change: Change[Seen]) -> tuple[str]:
    row: Any = change.after or change.before
    return (row.id,)


def application(row: type[Struct] = First, factor: int = 1, **more: Any) -> Application:
    """Accounts of which rows of that type are kept, with `more`."""
    table: Table[Any] = Table("account", row, key=("id",))

    def made(state: Account, stamp: Stamp) -> Struct:
        return row(id=stamp.aggregate_id, paid=row.__annotations__["paid"](state.paid), **more)

    decider = Decider(
        category="account",
        initial=Account(),
        decide=lambda _, command: [Paid(amount=command.amount)],
        evolve=lambda state, event: Account(state.paid + factor * event.amount),
        target=lambda command: command.account,
        commands=(Pay,),
        events=(Paid,),
        state_row=StateRow(table, made),
    )
    copy = Binding(group="copy", topic="account", decoder=changes_of(Seen), projection=Fold(COPY, key, copied))
    return Application(name="payments", deciders=(decider,), listeners=(copy,))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two accounts, one of them with two payments."""
    settings = Settings(data_dir=tmp_path / "data")
    with embedded(application(), settings) as running:
        for account, amount in (("a", 1), ("b", 2), ("a", 4)):
            running.commands.execute(Pay(account=account, amount=amount))
        assert running.settle()
    return settings


def shown(running: Any) -> list[tuple[str, str]]:
    return [(row.row, row.ops) for row in running.views.find(COPY, {})]


def test_other_columns_end_the_start_until_they_are_repaired(settings: Settings) -> None:
    """Whoever hears of row changes gets every row once more, in its new form."""
    later = application(Later, currency="EUR")
    columns = [*COLUMNS[:1], "paid DECIMAL_TEXT(18,2) NOT NULL", "currency TEXT NOT NULL"]
    with pytest.raises(ConfigurationError, match=r"account stands as .*note.* declared is .*currency.*mainstem repair"):
        embedded(later, settings)
    damage = Damage("account", "(its columns)", ", ".join(COLUMNS), ", ".join(columns))
    for _ in range(2):
        assert repaired(later, settings, dry_run=True).damages == (damage,)
    done = repaired(later, settings, dry_run=False)
    assert (done.damages[0], [each.key for each in done.damages[1:]], done.left) == (damage, ["a", "b"], ())
    assert repaired(later, settings, dry_run=False).damages == ()
    with embedded(later, settings) as running:
        assert running.commands.execute(Pay(account="b", amount=10)).version == 2
        assert running.commands.execute(Pay(account="c", amount=3)).version == 1
        assert running.settle()
        table = later.state_tables()[0]
        rows = [("a", 5), ("b", 12), ("c", 3)]
        assert list(running.events.states(table)) == [Later(name, Decimal(paid), "EUR") for name, paid in rows]
        assert shown(running) == [
            ('{"id":"a","paid":"5.00","currency":"EUR"}', "cuc"),
            ('{"id":"b","paid":"12.00","currency":"EUR"}', "ccu"),
            ('{"id":"c","paid":"3.00","currency":"EUR"}', "c"),
        ]


def test_changes_are_captured_where_a_column_may_only_be_empty_now(settings: Settings) -> None:
    """The capture sees the same names and types, and the table has lost its triggers all the same."""
    filled = application(Filled)
    assert len(repaired(filled, settings, dry_run=False).damages) == 3
    with embedded(filled, settings) as running:
        running.commands.execute(Pay(account="a", amount=1))
        assert running.settle()
        assert [ops for _, ops in shown(running)] == ["cucu", "cc"]


def test_a_repair_that_ended_behind_the_table_is_done_again(settings: Settings) -> None:
    """An empty table says that it is to be repaired, and is."""
    later = application(Later, currency="EUR")
    with state_tables(settings) as tables:
        assert tables.make_anew(later.state_tables()[0])
    with embedded(later, settings) as running, pytest.raises(StateDrift, match="mainstem repair"):
        running.commands.execute(Pay(account="a", amount=1))
    assert [each.key for each in repaired(later, settings, dry_run=False).damages] == ["a", "b"]
    with embedded(later, settings) as running:
        assert running.commands.execute(Pay(account="a", amount=1)).version == 3


def test_another_fold_is_said_to_be_a_cause_and_repaired(settings: Settings) -> None:
    """Nobody has touched the rows: it is the code that makes others by now."""
    mended = application(factor=100)
    with embedded(mended, settings) as running:
        with pytest.raises(StateDrift, match=r"account of a is not .* somebody else, or evolve .*mainstem repair"):
            running.commands.execute(Pay(account="a", amount=1))
        assert running.commands.execute(Pay(account="new", amount=1)).version == 1
    assert [each.should for each in repaired(mended, settings, dry_run=False).damages] == [
        "paid 500, note none",
        "paid 200, note none",
    ]
    with embedded(mended, settings) as running:
        assert running.commands.execute(Pay(account="a", amount=1)).version == 3


class Total(Struct, frozen=True):
    account: str
    paid: int


TOTAL = Table("total", Total, key=("account",))


def totals(unlucky: int = 0) -> Application:
    """Totals by a fold that cannot take an amount."""

    def fold(row: Total | None, message: Recorded[Paid]) -> Total:
        if message.payload.amount == unlucky:
            raise ValueError(unlucky)
        return Total(message.aggregate_id, (row.paid if row else 0) + message.payload.amount)

    projection = Fold(TOTAL, lambda message: (message.aggregate_id,), fold)
    return Application(
        name="payments",
        deciders=application().deciders,
        listeners=(Binding(group="total", topic=EVENT_TOPIC, decoder=recorded_events([Paid]), projection=projection),),
    )


@pytest.fixture
def parked(tmp_path: Path) -> Settings:
    """Of four payments the second was not taken, and the third waits behind it."""
    settings = Settings(data_dir=tmp_path / "data")
    with embedded(totals(unlucky=13), settings) as running:
        for amount in (1, 13, 5):
            running.commands.execute(Pay(account="a", amount=amount))
        assert running.settle()
    return settings


def test_dropped_letters_stay_out_of_a_repaired_view(parked: Settings) -> None:
    """The fold is mended by now, so that it could take them; as with a rebuild they stay out."""
    with embedded(totals(unlucky=13), parked) as running:
        assert running.listeners["total"].drop("account-a", "not ours") == 2
        running.commands.execute(Pay(account="a", amount=100))
        assert running.settle()
    assert repaired(totals(), parked, dry_run=False).damages == ()
    with embedded(totals(), parked) as running:
        assert list(running.views.scan(TOTAL)) == [Total("a", 101)]


def test_edited_letters_count_as_they_were_edited(parked: Settings) -> None:
    """What stands on the topic itself is what nobody could take."""
    with embedded(totals(unlucky=13), parked) as running:
        listener = running.listeners["total"]
        letter = listener.letters.of("account-a", 1)[0]
        whole = listener.letters.find(*read_letter_id(letter.id))
        assert whole is not None
        assert whole.record.value is not None
        edited = whole.record.value.replace(b'"amount":13', b'"amount":3')
        listener.letters.edit(*read_letter_id(letter.id), edited, "a slip", "ann")
        assert listener.retry("account-a") == 2
    assert repaired(totals(unlucky=13), parked, dry_run=False) == Repaired(False, (), ())
    with embedded(totals(), parked) as running:
        assert list(running.views.scan(TOTAL)) == [Total("a", 9)]
