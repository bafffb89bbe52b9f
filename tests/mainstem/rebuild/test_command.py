"""`mainstem rebuild` and `/rebuilds`, on a bank that runs and on one that does not."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from bank.analytics import BANKAPP
from bank.balance import BALANCE, CARD_BALANCE, CardBalance, done, fold
from bank.card import OpenCard, Withdraw
from bank.main import application
from mainstem.application import Application
from mainstem.assembly import embedded
from mainstem.messages import NewRecord, Recorded
from mainstem.settings import Settings
from mainstem.view.projection import Fold
from tests.process import BankProcess, bank_process


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    """A bank with two cards, of which one balance is damaged."""
    with bank_process(tmp_path / "data") as process:
        with process.client() as client:
            for card in ("a", "b"):
                opened = {"id": card, "limit": 100, "customer": "c-1"}
                paid = {"debitCard": card, "amount": 10, "merchant": "Corner Shop"}
                client.post("/cards", json=opened).raise_for_status()
                client.post("/moneywithdrawals", json=paid).raise_for_status()
            client.put("/customers/c-1/limit", json={"limit": 150}).raise_for_status()
        assert process.reconcile().clean
        spoil(process.folder)
        yield process


def spoil(folder: Path) -> None:
    with closing(apsw.Connection(str(folder / "views.db"))) as connection:
        connection.set_busy_timeout(10_000)
        connection.execute("UPDATE card_balance SET used = '1.00' WHERE id = 'a'")


def call(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code, and what was said."""
    ended = subprocess.run(
        [sys.executable, "-m", "mainstem", "rebuild", *words],
        env={**os.environ, "MAINSTEM_DATA_DIR": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, ended.stdout + ended.stderr


def used(client: httpx.Client) -> float:
    return float(client.get("/cards/a").raise_for_status().json()["used"])


def test_beside_a_running_bank(bank: BankProcess) -> None:
    """Compared, swapped, put back, swapped again, and what was replaced dropped."""
    with bank.client() as client:
        code, said = call(bank.folder, "card_balance", "--compare")
        assert (code, "1 rows differ" in said, "not swapped" in said) == (0, True, True), said
        assert "a: differs in used" in said
        assert used(client) == 1
        code, said = call(bank.folder, "card_balance")
        assert (code, "swapped; the replaced version is kept as card_balance__old" in said) == (0, True), said
        assert "of them before" in said
        assert used(client) == 10
        code, said = call(bank.folder, "card_balance", "--roll-back")
        assert (code, "rolled back" in said, used(client)) == (0, True, 1), said
        assert call(bank.folder, "card_balance")[0] == 0
        assert call(bank.folder, "card_balance", "--forget") == (0, "card_balance: what was replaced is dropped\n")
        assert call(bank.folder, "card_balance", "--compare")[0] == 0
        assert call(bank.folder, "card_balance", "--cancel") == (0, "card_balance: what was built is dropped\n")
        assert used(client) == 10
        declared = {each.projection.table.name for each in application.listeners if each.projection is not None}
        for view in (*sorted(declared - {"card_balance"}), "bankapp"):
            code, said = call(bank.folder, view)
            assert (code, "no row differs" in said) == (0, True), said
        (found,) = client.get("/payments", params={"text": "corner", "debitCardId": "a"}).raise_for_status().json()
        assert found["customer"] == "c-1"
    assert bank.reconcile().clean


def test_where_no_bank_runs(bank: BankProcess) -> None:
    assert bank.stop() == 0
    code, said = call(bank.folder, "card_balance")
    assert (code, "1 rows differ" in said) == (0, True), said
    bank.start()
    with bank.client() as client:
        assert used(client) == 10
    assert call(bank.folder / "nothing", "card_balance")[0] == 2


def _doubled(row: CardBalance | None, message: Recorded[Any]) -> CardBalance:
    after = fold(row, message)
    return replace_used(after, after.used * 2) if after.used == 10 else after


def replace_used(row: CardBalance, used: Decimal) -> CardBalance:
    return CardBalance(
        row.id, row.card_limit, used, row.status, row.withdrawn, row.withdrawals, row.version, row.occurred_at_ms
    )


def _wrong() -> Application:
    """A bank whose balances are wrong."""
    wrong = replace(BALANCE, projection=Fold(CARD_BALANCE, lambda message: (message.aggregate_id,), _doubled, done))
    return replace(application, listeners=tuple(wrong if each is BALANCE else each for each in application.listeners))


def _failing(row: CardBalance | None, message: Any) -> CardBalance:
    raise ValueError("not today")


def test_a_view_of_other_code_is_told_as_stale_beside_what_waits_behind_dead_letters(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    failing = replace(BALANCE, projection=Fold(CARD_BALANCE, lambda message: (message.aggregate_id,), _failing, done))
    listeners = tuple(failing if each is BALANCE else each for each in application.listeners)
    with embedded(replace(application, listeners=listeners), settings) as running:
        running.commands.execute(OpenCard(card="a", limit=Decimal(100)))
        assert running.settle()
    with embedded(application, settings) as running:
        (trouble,) = [str(hop.trouble) for hop in running.status().hops if hop.name == BALANCE.group]
        assert trouble.startswith("1 keys wait behind dead letters in ")
        assert trouble.endswith("; stale: rebuild (other code has made it: `mainstem rebuild card_balance`)")


def test_a_view_of_other_code_is_told_as_stale(tmp_path: Path) -> None:
    """It goes on; `status` says what to do, until that is done."""
    settings = Settings(data_dir=tmp_path / "data")

    def troubles(running: Any) -> list[str | None]:
        return [hop.trouble for hop in running.status().hops if hop.name == BALANCE.group]

    with embedded(_wrong(), settings) as running:
        running.commands.execute(OpenCard(card="a", limit=Decimal(100)))
        running.commands.execute(Withdraw(card="a", amount=Decimal(10)))
        assert running.settle()
        assert troubles(running) == [None]
    with embedded(application, settings) as running:
        (trouble,) = troubles(running)
        assert trouble == "stale: rebuild (other code has made it: `mainstem rebuild card_balance`)"
        assert (running.troubles(), running.rebuilds.look("card_balance").stale) == ({}, True)
        assert [row.used for row in running.views.scan(CARD_BALANCE)] == [20]
        running.rebuilds.begin("card_balance")
        _await_end(running)
        assert (troubles(running), running.rebuilds.look("card_balance").stale) == ([None], False)
        assert [row.used for row in running.views.scan(CARD_BALANCE)] == [10]
        assert running.reconcile().clean
    with embedded(application, settings) as running:
        assert troubles(running) == [None]


def _await_end(running: Any) -> None:
    """The rebuild of the balances, within ten seconds."""
    progress = None
    for _ in range(500):
        progress = running.rebuilds.look("card_balance").progress
        if progress.ended:
            assert progress.state == "done", progress
            return
        threading.Event().wait(0.02)
    raise AssertionError(progress)


def test_what_makes_no_sense(bank: BankProcess) -> None:
    for words, text in (
        (["nowhere"], "there is no view 'nowhere'"),
        (["transfer_inbox_1"], "there is no view 'transfer_inbox_1' that can be rebuilt"),
        (["card_balance", "--roll-back"], "no version of card_balance is kept"),
        (["card_balance", "--cancel"], "no rebuild of card_balance is under way"),
        (["card_balance", "--forget"], "no version of card_balance is kept"),
        (["card_balance", "--cancel", "--forget"], "one at most"),
    ):
        code, said = call(bank.folder, *words)
        assert (code, text in said) == (2, True), said


def test_what_a_datasource_leaves_out_is_said(tmp_path: Path) -> None:
    """With the first of it; that the live one has left it out too is no reason to stay with that."""
    with embedded(application, Settings(data_dir=tmp_path)) as running:
        running.log.append([NewRecord(topic=BANKAPP.topic, key="a", value=b'{"id":"a"}', timestamp_ms=1)])
        assert running.settle()
    code, said = call(tmp_path, BANKAPP.name)
    first = f"the first is {BANKAPP.topic}/0 at offset 0: Object missing required field"
    assert f"1 records do not fit the new one and are left out; {first}" in said
    assert (code, "no row differs" in said, "swapped" in said) == (0, True, True), said
