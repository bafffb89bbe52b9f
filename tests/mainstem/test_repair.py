"""What reconciliation finds damaged is put right from events and log, and reconciles then."""

import os
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import apsw
import pytest

from bank.balance import CARD_BALANCE
from bank.card import DEBIT_CARD, OpenCard, Repay, Withdraw
from bank.main import application
from bank.refusal import REFUSALS
from bank.statement import MONEY_WITHDRAWAL
from mainstem.assembly import embedded
from mainstem.assembly.repairing import repaired
from mainstem.errors import StateDrift, StoreBusy, StoreCorrupt
from mainstem.log.sqlite_consumer import OFFSET_BITS
from mainstem.operations import reconciliation
from mainstem.repair import Damage
from mainstem.settings import Settings

_A = "initial_limit 100.00, used_limit {}, status active, version {}, occurred_at_ms {}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two cards, withdrawn from and paid back."""
    settings = Settings(data_dir=tmp_path / "data")
    with embedded(application, settings, clock_ms=lambda: 1_000) as running:
        for card in ("a", "b"):
            running.commands.execute(OpenCard(card=card, limit=Decimal(100)))
            running.commands.execute(Withdraw(card=card, amount=Decimal(10)))
            running.commands.execute(Withdraw(card=card, amount=Decimal(20)))
            running.commands.execute(Repay(card=card, amount=Decimal(5)))
        assert running.settle()
        assert running.reconcile().clean
    return settings


def spoil(settings: Settings, file: str, *statements: str) -> None:
    with closing(apsw.Connection(str(settings.data_dir / file))) as connection:
        for statement in statements:
            connection.execute(statement)


def mend(settings: Settings) -> list[tuple[str, str]]:
    """A dry run changes nothing; then what it has told is put right, and nothing is damaged any more."""
    seen = repaired(application, settings, dry_run=True)
    assert repaired(application, settings, dry_run=True) == seen
    done = repaired(application, settings, dry_run=False)
    assert (done.damages, done.left) == (seen.damages, ())
    assert repaired(application, settings, dry_run=False).damages == ()
    return [(each.table, each.key) for each in seen.damages]


def test_nothing_damaged_is_nothing_done(settings: Settings) -> None:
    assert mend(settings) == []


def test_a_repaired_state_row_is_no_withdrawal(settings: Settings) -> None:
    """Somebody has set what is used lower, so putting it right raises it: which is no withdrawal."""
    spoil(settings, "events.db", "UPDATE debit_card SET used_limit = '3.00' WHERE id = 'a'")
    assert not reconciliation(application, settings).clean
    seen = repaired(application, settings, dry_run=True).damages
    assert seen == (Damage("debit_card", "a", _A.format("3.00", 4, 1000), _A.format("25.00", 4, 1000)),)
    with embedded(application, settings) as running, pytest.raises(StateDrift):
        running.commands.execute(Withdraw(card="a", amount=Decimal(1)))
    assert mend(settings) == [("debit_card", "a")]
    with embedded(application, settings) as running:
        assert running.settle()
        assert running.reconcile().clean
        assert len(list(running.views.scan(MONEY_WITHDRAWAL))) == 4
        assert running.commands.execute(Withdraw(card="a", amount=Decimal(75))).version == 5


def test_state_rows_that_are_gone_or_were_never_made(settings: Settings) -> None:
    spoil(
        settings,
        "events.db",
        "DELETE FROM debit_card WHERE id = 'a'",
        "INSERT INTO debit_card VALUES ('x', '1.00', '0.00', 'active', 1, 1)",
    )
    assert mend(settings) == [("debit_card", "a"), ("debit_card", "x")]
    assert reconciliation(application, settings).clean
    with embedded(application, settings) as running:
        assert [row.id for row in running.events.states(DEBIT_CARD)] == ["a", "b"]


def test_view_rows_changed_gone_and_never_made(settings: Settings) -> None:
    """In a view of events, and in one of row changes."""
    spoil(
        settings,
        "views.db",
        "UPDATE card_balance SET used = '1.00' WHERE id = 'a'",
        "DELETE FROM card_balance WHERE id = 'b'",
        "INSERT INTO money_withdrawal VALUES ('forged', 'a', '7.00', 5)",
        "DELETE FROM money_withdrawal WHERE debit_card_id = 'b'",
    )
    assert not reconciliation(application, settings).clean
    found = mend(settings)
    assert [table for table, _ in found] == ["money_withdrawal"] * 3 + ["card_balance"] * 2
    assert ("money_withdrawal", "forged") in found
    assert reconciliation(application, settings).clean
    with embedded(application, settings) as running:
        assert [row.used for row in running.views.scan(CARD_BALANCE)] == [Decimal(25), Decimal(25)]
        assert sum(row.amount for row in running.views.scan(MONEY_WITHDRAWAL)) == 60


def test_a_line_of_a_change_by_hand_stays(settings: Settings) -> None:
    """The change was real and is in the log: the row is put right, and reconciliation goes on telling of the line."""
    spoil(settings, "events.db", "UPDATE debit_card SET used_limit = '60.00' WHERE id = 'a'")
    with embedded(application, settings) as running:
        assert running.settle()
    assert mend(settings) == [("debit_card", "a")]
    differences = reconciliation(application, settings).differences
    assert {(each.key, each.figure) for each in differences} == {("a", "withdrawals"), ("a", "withdrawn")}


def test_a_view_whose_records_are_gone_is_left(settings: Settings) -> None:
    """Retention took them: nothing says what they made."""
    spoil(settings, "views.db", "UPDATE card_balance SET used = '1.00' WHERE id = 'a'")
    spoil(
        settings,
        "log.db",
        f"DELETE FROM record WHERE id % {2**OFFSET_BITS} = 0",
        "UPDATE place SET begin_offset = 1 WHERE end_offset > 1",
    )
    found = repaired(application, settings, dry_run=False)
    assert found.damages == ()
    views = [each.projection.table.name for each in application.listeners if each.projection and each is not REFUSALS]
    assert [text.partition(":")[0] for text in found.left] == views


def test_events_that_do_not_verify_repair_nothing(settings: Settings) -> None:
    spoil(
        settings,
        "events.db",
        "DROP TRIGGER mainstem_event_update",
        """UPDATE event SET payload = replace(payload, '"10.00"', '"1.00"') WHERE stream = 'debit_card-a'""",
    )
    with pytest.raises(StoreCorrupt, match="changed debit_card-a 2"):
        repaired(application, settings, dry_run=False)


def test_a_folder_that_is_used_is_left_alone(settings: Settings) -> None:
    with embedded(application, settings), pytest.raises(StoreBusy):
        repaired(application, settings, dry_run=True)


def call(settings: Settings, answer: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mainstem", "repair", *words],
        env={**os.environ, "MAINSTEM_DATA_DIR": str(settings.data_dir), "COLUMNS": "200"},
        input=answer,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_shows_asks_and_repairs(settings: Settings) -> None:
    spoil(settings, "events.db", "UPDATE debit_card SET status = 'blocked' WHERE id = 'a'")
    for answer, words in (("", ["--dry-run"]), ("n\n", []), ("", [])):
        ended = call(settings, answer, *words)
        assert (ended.returncode, "1 damaged rows" in ended.stdout) == (1, True), ended.stderr
    assert len(repaired(application, settings, dry_run=True).damages) == 1
    ended = call(settings, "y\n")
    assert (ended.returncode, "1 rows were put right" in ended.stdout, "All agree" in ended.stdout) == (0, True, True)
    ended = call(settings, "", "--yes")
    assert (ended.returncode, ended.stdout) == (0, "No row is damaged\n")
