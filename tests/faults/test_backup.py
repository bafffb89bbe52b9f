"""A backup taken while the bank is written to: killed in the middle, made again, restored, verified, reconciled."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path

import apsw
import httpx
import pytest
from msgspec.structs import replace

from bank.card import OpenCard, Withdraw
from bank.holder import CARD_HOLDER
from bank.main import application
from mainstem.assembly import backup, embedded
from mainstem.assembly.archiving import archive
from mainstem.assembly.backup import back_up, restore
from mainstem.assembly.stores import open_integrity
from mainstem.errors import ConfigurationError, StoreBusy, StoreCorrupt, StoreUnavailable
from mainstem.eventstore.archiving import Asked
from mainstem.eventstore.verifying import Verified, verify
from mainstem.settings import Settings
from tests.faults import restoring
from tests.process import BankProcess, bank_process

_CARDS = ["card-1", "card-2"]


class Load:
    """Two clients that withdraw 1 from a card of their own until they are stopped."""

    def __init__(self, bank: BankProcess) -> None:
        self._bank = bank
        self._over = threading.Event()
        self._more = threading.Condition()
        self.answered = dict.fromkeys(_CARDS, 0)
        self._threads = [threading.Thread(target=self._work, args=(card,)) for card in _CARDS]

    def __enter__(self) -> "Load":
        with self._bank.client() as client:
            for card in _CARDS:
                client.post("/cards", json={"id": card, "limit": 1_000_000}).raise_for_status()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def await_more(self, count: int) -> dict[str, int]:
        """Until so many more are answered; how many of each card are."""
        with self._more:
            wanted = sum(self.answered.values()) + count
            assert self._more.wait_for(lambda: sum(self.answered.values()) >= wanted, 60)
            return dict(self.answered)

    def _work(self, card: str) -> None:
        with httpx.Client(base_url=self._bank.url, timeout=30) as client:
            while not self._over.is_set():
                client.post("/moneywithdrawals", json={"debitCard": card, "amount": 1}).raise_for_status()
                with self._more:
                    self.answered[card] += 1
                    self._more.notify_all()


def begin(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "mainstem", *words],
        env={**os.environ, "MAINSTEM_DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def call(folder: Path, *words: str) -> str:
    process = begin(folder, *words)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, out + error
    return out


def test_taken_under_load_killed_in_the_middle_and_restored(tmp_path: Path) -> None:
    target, restored = tmp_path / "backup", tmp_path / "restored"
    with bank_process(tmp_path / "data", seal_every_ms="50") as bank, Load(bank) as load:
        load.await_more(20)
        killed = begin(bank.folder, "backup", str(target))
        part = tmp_path / "backup.part"
        while killed.poll() is None and not (part / "views.db").exists():
            threading.Event().wait(0.001)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert not target.exists()
        before = load.await_more(20)
        assert "all as they were appended" in call(bank.folder, "backup", str(target))
        load.await_more(20)
    assert not part.exists()
    assert sorted(path.name for path in target.iterdir()) == ["backup.json", "events.db", "log.db", "views.db"]
    assert "all as they were appended" in call(restored, "restore", str(target))
    with bank_process(restored) as again:
        found = again.reconcile()
        assert found.clean, found.differences[:5]
        with again.client() as client:
            for card in _CARDS:
                assert Decimal(str(client.get(f"/cards/{card}").json()["used"])) >= before[card]
        assert "All " in call(restored, "verify")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A folder with three events."""
    settings = Settings(data_dir=tmp_path / "data")
    with embedded(application, settings) as running:
        running.commands.execute(OpenCard(card="a", limit=Decimal(100)))
        for _ in range(2):
            running.commands.execute(Withdraw(card="a", amount=Decimal(1)))
        assert running.settle()
    yield settings
    assert not (tmp_path / "data.restoring").exists()


def test_a_restored_folder_is_what_it_was(settings: Settings, tmp_path: Path) -> None:
    """What stands there is not touched without a word, and is moved aside with one."""
    made = back_up(application, settings, tmp_path / "backup")
    with embedded(application, settings) as running:
        running.commands.execute(Withdraw(card="a", amount=Decimal(5)))
    with pytest.raises(ConfigurationError, match="--replace"):
        restore(application, settings, tmp_path / "backup")
    found, aside = restore(application, settings, tmp_path / "backup", replacing=True)
    assert (found, found.events, found.root is not None) == (made, 3, True)
    assert aside is not None
    for folder, events in ((settings.data_dir, 3), (aside, 4)):
        assert verify(partial(open_integrity, Settings(data_dir=folder))).events == events
    with embedded(application, settings) as running:
        assert running.reconcile().clean
        assert running.commands.execute(Withdraw(card="a", amount=Decimal(98))).version == 4


@pytest.mark.parametrize("elsewhere", [False, True])
def test_archived_events_are_part_of_it(settings: Settings, tmp_path: Path, elsewhere: bool) -> None:
    """In a folder of their own too, where they are put back beside what is there."""
    settings = replace(settings, snapshot_every=2, archive_dir=tmp_path / "elsewhere" if elsewhere else None)
    with embedded(application, settings) as running:
        for _ in range(4):
            running.commands.execute(Withdraw(card="a", amount=Decimal(1)))
        assert running.settle()
    moved = archive(application, settings, Asked(fingerprints=()))
    assert (moved.events > 0, moved.files) == (True, 1)
    with embedded(application, settings) as running:
        was = list(running.events.read("debit_card-a"))
    made = back_up(application, settings, tmp_path / "backup")
    assert made.events == 7
    (archived,) = (tmp_path / "backup" / "archive").iterdir()
    other = replace(settings, data_dir=tmp_path / "other", archive_dir=tmp_path / "put" if elsewhere else None)
    restore(application, other, tmp_path / "backup")
    shutil.rmtree(settings.data_dir)
    with embedded(application, other) as running:
        assert running.events.read("debit_card-a") == was
        assert running.reconcile().clean
        assert running.commands.execute(Withdraw(card="a", amount=Decimal(1))).version == 8
    content = archived.read_bytes()
    archived.write_bytes(content[:50] + bytes([content[50] ^ 4]) + content[51:])
    with pytest.raises(StoreCorrupt, match="is not what was backed up"):
        restore(application, replace(other, data_dir=tmp_path / "third"), tmp_path / "backup")
    if elsewhere:
        (tmp_path / "put" / archived.name).write_bytes(b"another")
        archived.write_bytes(content)
        with pytest.raises(StoreCorrupt, match="another than in the backup"):
            restore(application, replace(other, data_dir=tmp_path / "third"), tmp_path / "backup")


def test_a_folder_that_is_used_is_not_replaced(settings: Settings, tmp_path: Path) -> None:
    back_up(application, settings, tmp_path / "backup")
    with embedded(application, settings), pytest.raises(StoreBusy):
        restore(application, settings, tmp_path / "backup", replacing=True)
    assert verify(partial(open_integrity, settings)).events == 3


@pytest.mark.parametrize("name", ["events.db", "log.db", "views.db"])
def test_a_damaged_backup_is_not_restored(settings: Settings, tmp_path: Path, name: str) -> None:
    """One byte is enough; nothing is put in place."""
    back_up(application, settings, tmp_path / "backup")
    with (tmp_path / "backup" / name).open("r+b") as file:
        file.seek(5_000)
        byte = file.read(1)
        file.seek(5_000)
        file.write(bytes([byte[0] ^ 1]))
    other = Settings(data_dir=tmp_path / "other")
    with pytest.raises(StoreCorrupt, match=f"{name} is not what was backed up"):
        restore(application, other, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("other")] == []


def test_what_is_no_backup_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        with pytest.raises(ConfigurationError, match="no whole backup"):
            restore(application, Settings(data_dir=tmp_path / "other"), tmp_path / folder)
    with pytest.raises(ConfigurationError, match="is there already"):
        back_up(application, settings, tmp_path / "empty")
    with pytest.raises(StoreUnavailable, match=r"there is no views\.db"):
        back_up(application, Settings(data_dir=tmp_path / "nowhere"), tmp_path / "backup")
    with pytest.raises(ConfigurationError, match="own tools"):
        back_up(application, Settings(form="distributed"), tmp_path / "backup")


def test_events_that_do_not_verify_are_not_backed_up(settings: Settings, tmp_path: Path) -> None:
    """A copy of them would only hide it."""
    with closing(apsw.Connection(str(settings.data_dir / "events.db"))) as connection:
        connection.execute("DROP TRIGGER mainstem_event_update")
        connection.execute("UPDATE event SET actor = 'nobody' WHERE version = 2")
    with pytest.raises(StoreCorrupt, match="do not verify: changed debit_card-a 2"):
        back_up(application, settings, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("backup")] == []


def test_two_restores_at_once(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused while the first is at work, and takes nothing of it away."""
    back_up(application, settings, tmp_path / "backup")
    place = replace(settings, data_dir=tmp_path / "place")
    verified = backup._verified

    def then_another(folder: Path, root: str | None) -> Verified:
        monkeypatch.setattr(backup, "_verified", verified)
        with pytest.raises(StoreBusy):
            restore(application, place, tmp_path / "backup")
        return verified(folder, root)

    monkeypatch.setattr(backup, "_verified", then_another)
    restore(application, place, tmp_path / "backup")
    assert verify(partial(open_integrity, place)).events == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data", "place"]


def test_two_backups_to_one_place_at_once(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused until the first has its name, and takes nothing of it away."""
    flush = backup._flush

    def then_another(folder: Path) -> None:
        monkeypatch.setattr(backup, "_flush", flush)
        flush(folder)
        with pytest.raises(StoreBusy):
            back_up(application, settings, tmp_path / "backup")

    monkeypatch.setattr(backup, "_flush", then_another)
    back_up(application, settings, tmp_path / "backup")
    restore(application, replace(settings, data_dir=tmp_path / "place"), tmp_path / "backup")
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == sorted([*backup._FILES, "backup.json"])


def test_a_restore_that_fails_leaves_no_folder(settings: Settings, tmp_path: Path) -> None:
    back_up(application, settings, tmp_path / "backup")
    (tmp_path / "backup" / "log.db").write_bytes(b"")
    with pytest.raises(StoreCorrupt):
        restore(application, replace(settings, data_dir=tmp_path / "place"), tmp_path / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data"]


@pytest.mark.parametrize("step", range(1, restoring.STEPS + 1))
def test_killed_while_a_restore_takes_its_place(settings: Settings, tmp_path: Path, step: int) -> None:
    """The folder is the old one or the restored one, whole, with the keys of personal data; and never away."""
    with embedded(application, settings) as running:
        running.commands.execute(OpenCard(card="ada", limit=Decimal(5), customer="c-1", holder="Ada Lovelace"))
        running.settle()
    back_up(application, settings, tmp_path / "backup")
    with embedded(application, settings) as running:
        running.commands.execute(Withdraw(card="ada", amount=Decimal(5)))
        running.settle()
    words = [str(settings.data_dir), str(tmp_path / "backup"), str(step)]
    done = subprocess.run([sys.executable, restoring.__file__, *words], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    with embedded(application, settings) as running:
        assert running.settle()
        assert running.reconcile().clean
        assert [running.vault.open(row).holder for row in running.views.scan(CARD_HOLDER)] == ["Ada Lovelace"]
    restore(application, settings, tmp_path / "backup", replacing=True)
    with embedded(application, settings) as running:
        assert [running.vault.open(row).holder for row in running.views.scan(CARD_HOLDER)] == ["Ada Lovelace"]
    assert verify(partial(open_integrity, settings)).events == 4
