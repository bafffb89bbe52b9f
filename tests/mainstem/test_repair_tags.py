"""The index of tags is put right from what events keep of their tags, and decisions stand on all of them again."""

import os
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import apsw
import pytest

from bank.card import OpenCard, Withdraw
from bank.customer import SetOverallLimit
from bank.main import application
from mainstem import Refused
from mainstem.assembly import embedded
from mainstem.assembly.repairing import repaired
from mainstem.assembly.sealing import seal_all
from mainstem.assembly.stores import open_integrity
from mainstem.errors import StoreCorrupt
from mainstem.repair import Damage
from mainstem.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two cards of one customer, who may use 50 together and uses 45."""
    settings = Settings(data_dir=tmp_path / "data", snapshot_every=1)
    with embedded(application, settings, clock_ms=lambda: 1_000) as running:
        running.commands.execute(SetOverallLimit(customer="c-1", limit=Decimal(50)))
        for card in ("a", "b"):
            running.commands.execute(OpenCard(card=card, limit=Decimal(100), customer="c-1", holder="Ada Lovelace"))
            running.commands.execute(Withdraw(card=card, amount=Decimal("22.50")))
        assert running.settle()
    return settings


def spoil(settings: Settings, *statements: str) -> None:
    with closing(apsw.Connection(str(settings.data_dir / "events.db"))) as connection:
        for statement in statements:
            connection.execute(statement)


def call(settings: Settings, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
    return subprocess.run(
        [sys.executable, "-m", "mainstem", *words],
        env={**environment, "MAINSTEM_DATA_DIR": str(settings.data_dir), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def refused(settings: Settings) -> str | None:
    """Why the customer cannot use 10 more, if not."""
    with embedded(application, settings) as running:
        try:
            running.commands.execute(Withdraw(card="a", amount=Decimal(10)))
        except Refused as reason:
            return reason.reason
    return None


def test_a_rule_holds_again(settings: Settings) -> None:
    """A withdrawal that was hidden from the rule counts again; a dry run changes nothing."""
    gone = "DELETE FROM event_tag WHERE tag = 'customer:c-1' AND stream = 'debit_card-b' AND version = 2"
    spoil(settings, gone)
    expected = (Damage("event_tag", "customer:c-1 5", None, "debit_card-b 2"),)
    assert repaired(application, settings, dry_run=True).damages == expected
    assert repaired(application, settings, dry_run=True).damages == expected
    done = repaired(application, settings, dry_run=False)
    assert (done.damages, done.left) == (expected, ())
    assert repaired(application, settings, dry_run=True).damages == ()
    assert refused(settings) == "overall-limit-exceeded"


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM event_tag WHERE tag = 'customer:c-1' AND number = 3",
        "UPDATE event_tag SET stream = 'nobody' WHERE tag = 'customer:c-1' AND number = 3",
    ],
)
def test_nothing_is_decided_on_a_part_of_the_events(settings: Settings, change: str) -> None:
    """As little as on an event that cannot be read: a rule would be broken, and nobody would know."""
    spoil(settings, change)
    with embedded(application, settings) as running:
        with pytest.raises(StoreCorrupt, match=r"events with the tag customer:c-1 are missing .* mainstem verify"):
            running.commands.execute(Withdraw(card="b", amount=Decimal(1)))
        assert running.commands.execute(OpenCard(card="alone", limit=Decimal(1))).version == 1


def test_a_number_that_was_given_twice_is_left(settings: Settings) -> None:
    """While a row was gone another event got its number: one row cannot lead to both, and it is said which is lost."""
    spoil(settings, "DELETE FROM event_tag WHERE tag = 'customer:c-1' AND number = 5")
    assert refused(settings) is None
    ended = call(settings, "repair", "--yes")
    assert (ended.returncode, "No row is damaged" in ended.stdout) == (1, True), ended.stderr
    left = "left as it is: tag 'customer:c-1', number 5: debit_card-b 2 has it, and so has debit_card-a 3"
    assert left in ended.stdout


def test_tags_of_archived_events_and_of_somebody_who_is_forgotten(settings: Settings) -> None:
    """They are kept in the file, and hashed as they were given: nothing of them is worked out anew."""
    with closing(open_integrity(settings, read_only=False)) as integrity:
        seal_all(integrity)
    ended = call(settings, "archive")
    assert "2 events of 2 streams went to" in ended.stdout, ended.stderr
    ended = call(settings, "forget", "customer:c-1", "--why", "asked for", "--yes")
    assert ended.returncode == 0, ended.stderr
    spoil(
        settings,
        "UPDATE event_tag SET stream = 'debit_card-a', version = 1 WHERE number = 4",
        "DELETE FROM event_tag WHERE number < 3",
    )
    ended = call(settings, "repair", "--yes")
    assert (ended.returncode, "3 rows were put right" in ended.stdout) == (0, True), ended.stdout + ended.stderr
    ended = call(settings, "verify")
    assert (ended.returncode, "All 5 events" in ended.stdout) == (0, True), ended.stdout
    assert refused(settings) == "overall-limit-exceeded"


def test_events_that_do_not_verify_leave_tags_alone(settings: Settings) -> None:
    """What an event says of its tags is believed as far as its hash holds."""
    spoil(
        settings,
        "DROP TRIGGER mainstem_event_update",
        "UPDATE event SET tags = '[]' WHERE stream = 'debit_card-b' AND version = 2",
    )
    with pytest.raises(StoreCorrupt, match="changed debit_card-b 2"):
        repaired(application, settings, dry_run=False)
