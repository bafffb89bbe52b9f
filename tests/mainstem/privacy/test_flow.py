"""Personal data through the whole flow, embedded: nowhere at rest, opened at the edge, forgotten everywhere."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from bank.card import OpenCard, Withdraw
from bank.main import FIRST_CARD
from bank.main import application as bank
from mainstem import Origin, Refused
from mainstem.assembly import Embedded, embedded
from mainstem.assembly.places import key_files
from mainstem.assembly.stores import open_integrity
from mainstem.assembly.views import scratch_views
from mainstem.errors import (
    IdempotencyConflict,
    InvalidCommand,
    InvalidQuery,
    KeyStoreUnavailable,
    StoreUnavailable,
    SubjectForgotten,
)
from mainstem.eventstore.verifying import verify
from mainstem.history import History, view_then
from mainstem.privacy.port import FORGOTTEN, UNREADABLE, Found, Tombstone
from mainstem.privacy.sqlite import SqliteKeys
from mainstem.privacy.vault import Vault
from mainstem.refusals import retry_of
from mainstem.settings import Settings
from mainstem.sqlite import connect
from tests.mainstem.privacy.shop import ADDRESS, CUSTOMER, CUSTOMER_ROW, Address, CustomerRow, Join, Move, application

NAME, MAIL, TOWN, OTHER = "Ada Lovelace", "ada@example.org", "Marylebone", "Augusta Byron"
PLAIN = (NAME, MAIL, TOWN, OTHER)
JOIN = Join(id="ada-1815", name=NAME, email=MAIL)
SUBJECT = "customer:ada-1815"
CLERK = Origin(actor="clerk")
_PATIENCE_S = 30.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", topic_partitions=1, olap_linger_ms=1)


@pytest.fixture
def shop(settings: Settings) -> Iterator[Embedded]:
    """With a customer who has moved, and a command that was refused."""
    with embedded(application, settings) as running:
        _fill(running)
        yield running


def _fill(running: Embedded) -> None:
    running.commands.execute(JOIN, key="first", origin=CLERK)
    running.commands.execute(Move(id=JOIN.id, to=TOWN))
    with pytest.raises(Refused):
        running.commands.execute(Join(id=JOIN.id, name=OTHER))
    deadline = time.monotonic() + _PATIENCE_S
    while running.commands.status().snapshots.kept < 1 or not running.settle():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _holding(folder: Path, text: str) -> set[str]:
    return {path.name.partition("-")[0] for path in folder.rglob("*") if text.encode() in path.read_bytes()}


def test_no_file_has_a_plain_text(shop: Embedded, settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    """Events, state, snapshot, refusal, answer, log, view, analytics, and what lies beside them; nor has the output."""
    key = shop.vault.key_of(SUBJECT)
    assert key is not None
    stores = {"events.db", "log.db", "views.db"}
    assert stores <= _holding(settings.data_dir, key.key_id)
    assert {name for name in _holding(settings.data_dir, key.key_id) if name.startswith("analytics")}
    for text in PLAIN:
        assert _holding(settings.data_dir, text) == set()
    shop.stop()
    for text in PLAIN:
        assert _holding(settings.data_dir, text) == set()
    told = capfd.readouterr()
    assert not [text for text in PLAIN if text in told.out + told.err]


def test_texts_are_opened_at_the_edge(shop: Embedded) -> None:
    """Events, states and rows; a whole page at a time."""
    vault, history = shop.vault, History(shop.events, CUSTOMER)
    happened = history.events(JOIN.id)
    opened = vault.open_all([each.event for each in happened], "customer-ada-1815")
    assert [_fields(each) for each in opened] == [(NAME, MAIL), (TOWN,)]
    (row,) = shop.events.states(CUSTOMER_ROW)
    assert vault.open(row) == CustomerRow(JOIN.id, NAME, 2)
    (view,) = shop.views.find(ADDRESS, {"id": JOIN.id})
    assert view.town is not None
    assert TOWN not in view.town
    assert vault.open(view) == Address(JOIN.id, NAME, TOWN, 2)


def test_a_command_that_cannot_be_closed_fails_alone(shop: Embedded) -> None:
    """Its field holds what is no text, which is a fault of whoever made it; the writer goes on."""
    broken = Join(id="grace", name=cast(str, 1906))
    futures = [shop.commands.submit(each) for each in (Move(id=JOIN.id, to=TOWN), broken, Join(id="joan", name=OTHER))]
    assert isinstance(futures[1].exception(_PATIENCE_S), AttributeError)
    assert [future.result(_PATIENCE_S).version for future in futures[::2]] == [3, 1]
    with pytest.raises(AttributeError):
        shop.commands.execute(broken)
    assert shop.commands.execute(Move(id=JOIN.id, to=TOWN)).version == 4


def _fields(struct: Any) -> tuple[Any, ...]:
    return tuple(getattr(struct, name) for name in struct.__struct_fields__)


def test_a_repeated_command_is_the_same_command(shop: Embedded, settings: Settings) -> None:
    """By its key; by what it says of an unchanged text; and when the state was read again."""
    assert shop.commands.execute(JOIN, key="first").replayed
    with pytest.raises(IdempotencyConflict):
        shop.commands.execute(Join(id=JOIN.id, name=OTHER), key="first")
    assert shop.commands.execute(JOIN).version == 2
    shop.stop()
    with embedded(application, settings) as again:
        assert again.commands.execute(JOIN, key="first").replayed
        assert again.commands.execute(JOIN).version == 2
        assert again.commands.execute(Move(id=JOIN.id, to=TOWN)).version == 3


def test_a_refused_command_is_kept_without_its_texts_and_can_be_tried_again(shop: Embedded) -> None:
    """The text of the refusal has the token of what its code has put there."""
    (kept,) = shop.events.refusals.page()
    assert not [text for text in PLAIN if text.encode() in kept.refusal.content or text in kept.refusal.text]
    assert "has joined as pd1." in kept.refusal.text
    made = retry_of(kept, application.all_deciders(), "clerk")
    with pytest.raises(Refused, match="has joined as"):
        shop.commands.execute(made.command, key=made.key, origin=made.origin, retry_of=made.retry_of)
    again, first = shop.events.refusals.page()
    assert again.refusal.content == first.refusal.content
    shop.forgetter.forget(SUBJECT, actor="dpo", why="asked for")
    with pytest.raises(SubjectForgotten):
        shop.commands.execute(made.command, origin=made.origin, retry_of=again.number)


EVERYWHERE = (
    Found("events", "customer-ada-1815 Joined", 1),
    Found("events", "customer-ada-1815 Moved", 1),
    Found("state", "customer_row", 1),
    Found("snapshots", "", 1),
    Found("refused commands", "", 1),
    Found("kept answers", "", 1),
    Found("view", "address", 1),
    Found("topic", "moves", 2),
    Found("topic", "event", 2),
    Found("topic", "refused_command", 1),
    Found("topic", "customer_row", 2),
    Found("analytics", "texts", 2),
)


def test_a_forgotten_subject_is_unreadable_and_it_is_told_where(shop: Embedded, settings: Settings) -> None:
    """Nothing stored changes: the chain holds, folds and views go on, also from the beginning and after a restart."""
    shop.commands.execute(Join(id="bob", name="Bob"))
    assert shop.settle()
    dry = shop.forgetter.forget(SUBJECT, actor="dpo", why="", dry_run=True)
    assert (dry.tombstone, dry.missed) == (None, ())
    assert sorted(dry.places, key=repr) == sorted(EVERYWHERE, key=repr)
    before = [stored.payload for stored in shop.events.read("customer-ada-1815")]
    told = list[str]()
    done = shop.forgetter.forget(SUBJECT, actor="dpo", why="asked for", told=lambda what, _: told.append(what))
    assert done.tombstone is not None
    assert (done.tombstone.actor, done.tombstone.why) == ("dpo", "asked for")
    assert done.places == dry.places
    assert {"events", "topic moves", "view address", "analytics texts"} <= set(told)
    shop.stop()
    with embedded(application, settings) as again:
        assert [stored.payload for stored in again.events.read("customer-ada-1815")] == before
        _is_forgotten(again, settings)


def _is_forgotten(shop: Embedded, settings: Settings) -> None:
    vault = shop.vault
    opened = {row.id: vault.open(row) for row in shop.views.scan(ADDRESS)}
    assert opened == {JOIN.id: Address(JOIN.id, FORGOTTEN, FORGOTTEN, 2), "bob": Address("bob", "Bob", None, 1)}
    past = History(shop.events, CUSTOMER).at(JOIN.id)
    assert past.row is not None
    assert vault.open(past.row) == CustomerRow(JOIN.id, FORGOTTEN, 2)
    for command in (JOIN, Move(id=JOIN.id, to="Paris")):
        with pytest.raises(SubjectForgotten, match="customer:ada-1815 is forgotten"):
            shop.commands.execute(command)
    assert shop.commands.execute(Move(id="bob", to="Paris")).version == 2
    assert shop.settle()
    assert all(not hop.trouble for hop in shop.hops())
    with closing(scratch_views(settings.data_dir.parent)) as scratch:
        (binding,) = application.listeners
        assert not view_then(shop.log, binding, scratch).parked
        assert list(scratch.scan(ADDRESS)) == list(shop.views.scan(ADDRESS))
    assert verify(partial(open_integrity, settings), workers=1).clean
    for text in PLAIN:
        assert _holding(settings.data_dir, text) == set()


def test_the_key_is_in_no_file_any_more(shop: Embedded, settings: Settings) -> None:
    """Neither as it was, wrapped, nor in the write-ahead log; the master key and the file are for their owner alone."""
    keys, master = key_files(settings)
    assert [path.stat().st_mode & 0o777 for path in (keys, master)] == [0o600, 0o600]
    with closing(connect(keys, read_only=True)) as connection:
        rows: Any = connection.execute("SELECT wrapped FROM personal_key").fetchall()
    ((wrapped,),) = rows
    assert any(wrapped in path.read_bytes() for path in keys.parent.glob("keys.db*"))
    shop.forgetter.forget(SUBJECT, actor="dpo", why="asked for")
    assert not any(wrapped in path.read_bytes() for path in keys.parent.glob("keys.db*"))


@pytest.mark.parametrize(
    "subject", ["ada-1815", "customer:", "person:ada-1815", "", f"customer:{'x' * 300}", "customer:\n"]
)
def test_what_is_no_subject(shop: Embedded, subject: str) -> None:
    """A wrong letter forgets nobody."""
    with pytest.raises(InvalidQuery, match="no subject of shop"):
        shop.forgetter.forget(subject, actor="dpo", why="asked for")
    with pytest.raises(InvalidQuery, match="why must be"):
        shop.forgetter.forget(SUBJECT, actor="dpo", why=" ")


def test_a_place_that_cannot_be_looked_at_is_told(shop: Embedded) -> None:
    """And nobody is kept from being forgotten by it."""
    shop.olap.close()
    done = shop.forgetter.forget(SUBJECT, actor="dpo", why="asked for")
    assert done.tombstone is not None
    assert len(done.missed) == 1
    assert done.missed[0].startswith("analytics: ")
    assert {each.place for each in done.places} == {each.place for each in EVERYWHERE} - {"analytics"}


def test_a_text_that_cannot_be_kept_harms_no_other(shop: Embedded) -> None:
    """Of a subject that nobody can be, too long, or no Unicode."""
    for wrong in (Join(id="x" * 260, name="A"), Join(id="c", name="x" * 9_000), Join(id="c", name="\ud800")):
        with pytest.raises(InvalidCommand, match="name of Join"):
            shop.commands.execute(wrong)
    assert shop.commands.execute(Join(id="c", name="pd1.looks-like-a-token")).version == 1
    (row,) = (row for row in shop.events.states(CUSTOMER_ROW) if row.id == "c")
    assert shop.vault.open(row).name == "pd1.looks-like-a-token"


def test_a_token_that_comes_to_another_is_not_opened(shop: Embedded, capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever sends it as a text gets it back as that text; whoever puts it into a row sees nothing."""
    (row,) = shop.events.states(CUSTOMER_ROW)
    assert shop.vault.open(CustomerRow("bob", row.name, 1)).name == UNREADABLE
    assert shop.vault.open(Address(JOIN.id, town=row.name)).town == UNREADABLE
    assert shop.vault.open(CustomerRow(JOIN.id, row.name[:-3] + "AAA", 1)).name == UNREADABLE
    assert shop.vault.open(CustomerRow(JOIN.id, f"pd1.{'a' * 16}.{'A' * 64}", 1)).name == UNREADABLE
    shop.commands.execute(Join(id="bob", name=row.name))
    (bob,) = (each for each in shop.events.states(CUSTOMER_ROW) if each.id == "bob")
    assert bob.name != row.name
    assert shop.vault.open(bob).name == row.name
    assert "another subject" in capfd.readouterr().err


def test_without_keys_what_is_personal_waits_and_the_rest_goes_on(settings: Settings, tmp_path: Path) -> None:
    """A master key that is named is not made."""
    missing = replace(settings, privacy_master_key_file=tmp_path / "none")
    with embedded(bank, missing) as running:
        with pytest.raises(KeyStoreUnavailable, match="cannot be read"):
            running.commands.execute(OpenCard(card="a", limit=FIRST_CARD.limit, customer="c", holder=NAME))
        running.commands.execute(OpenCard(card="a", limit=FIRST_CARD.limit, customer="c"))
        running.commands.execute(Withdraw(card="a", amount=FIRST_CARD.limit))


def test_without_personal_data_there_are_no_keys(settings: Settings) -> None:
    """Neither file nor work."""
    with embedded(bank, settings) as running:
        running.commands.execute(FIRST_CARD)
        assert running.settle()
        assert not [path for path in key_files(settings) if path.exists()]


def test_another_process_forgets_within_the_time(tmp_path: Path) -> None:
    """At once where the key is destroyed; elsewhere when what is remembered is over."""
    stores = [SqliteKeys(tmp_path / "keys.db", tmp_path / "master.key") for _ in range(2)]
    here, there = Vault(stores[0], kept_s=60), Vault(stores[1], kept_s=0.2)
    (closed,) = here.close([(CustomerRow("a", NAME, 1), "customer-a")])
    assert isinstance(closed, CustomerRow)
    assert there.open(closed).name == here.open(closed).name == NAME
    here.forget("customer:a", Tombstone(forgotten_at_ms=1, actor="dpo", why="asked for"))
    assert here.open(closed).name == FORGOTTEN
    deadline = time.monotonic() + _PATIENCE_S
    while there.open(closed).name != FORGOTTEN:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for store in stores:
        store.close()
    with pytest.raises(StoreUnavailable):
        Vault(stores[0], kept_s=1).open(closed)


_FORGETS = """
import sys, time
from pathlib import Path
from mainstem.assembly import embedded
from mainstem.settings import Settings
from tests.mainstem.privacy.shop import application
folder = Path(sys.argv[1])
running = embedded(application, Settings(data_dir=folder, topic_partitions=1))
def told(what, done):
    print(what, flush=True)
    time.sleep(600)
running.forgetter.forget("customer:ada-1815", actor="dpo", why="asked for", told=told)
"""


def test_killed_in_the_middle_of_forgetting(shop: Embedded, settings: Settings) -> None:
    """The subject is forgotten, and asking again tells the rest, with the first tombstone."""
    shop.stop()
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", _FORGETS, str(settings.data_dir)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert any(line.strip() == "events" for line in output)
        process.send_signal(signal.SIGKILL)
        process.wait(_PATIENCE_S)
    with embedded(application, settings) as again:
        (row,) = again.events.states(CUSTOMER_ROW)
        assert again.vault.open(row).name == FORGOTTEN
        done = again.forgetter.forget(SUBJECT, actor="another", why="again")
        assert done.tombstone is not None
        assert done.tombstone.actor == "dpo"
        assert sorted(done.places, key=repr) == sorted(EVERYWHERE, key=repr)
