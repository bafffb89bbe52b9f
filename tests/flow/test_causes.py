"""Who asked, in which conversation and because of what goes with an event and a refusal wherever they are seen."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from bank.card import CARD, OpenCard, Withdraw
from bank.main import application
from bank.settings import BankSettings
from bank.transfer import TRANSFER, TransferRequested
from mainstem import Origin, Refused, recorded_events, scan
from mainstem.assembly import embedded
from mainstem.cli import app
from mainstem.settings import Settings

_ORIGIN = Origin(actor="a process", correlation_id="c-1", causation_id="order-7:3")


def test_a_cause_is_kept_sent_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded(application, Settings(data_dir=tmp_path, topic_partitions=1)) as running:
        running.commands.execute(OpenCard(card="anna", limit=Decimal(10)), origin=_ORIGIN)
        with pytest.raises(Refused):
            running.commands.execute(Withdraw(card="anna", amount=Decimal(11)), origin=_ORIGIN)
        assert running.settle()
        (stored,) = running.events.read("debit_card-anna")
        (kept,) = running.events.refusals.page()
        (page,) = scan(running.log, "event")
        sent = recorded_events(CARD.events).one(page[0].value or b"")
        for each in (stored, kept.refusal, sent):
            assert (each.actor, each.correlation_id, each.causation_id) == ("a process", "c-1", "order-7:3")
        (page,) = scan(running.log, "refused_command")
        assert msgspec.json.decode(page[0].value or b"")["after"]["causation_id"] == "order-7:3"
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path))
    (told,) = json.loads(CliRunner().invoke(app, ["history", "anna", "--json"]).output)
    assert (told["correlationId"], told["causationId"]) == ("c-1", "order-7:3")
    assert "because of" in CliRunner().invoke(app, ["history", "anna"]).output


def test_a_history_is_found_by_the_id_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a card before that of the watch over it, and of a transfer, which is of another category."""
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path))
    guarded = replace(application, own=BankSettings(block_after_refusals=2))
    with embedded(guarded, Settings(data_dir=tmp_path)) as running:
        running.commands.execute(OpenCard(card="anna", limit=Decimal(10)))
        with pytest.raises(Refused):
            running.commands.execute(Withdraw(card="anna", amount=Decimal(11)))
        asked = TransferRequested("t-1", "anna", "nobody", Decimal(1))
        running.commands.execute(running.processes.beginning(TRANSFER, "t-1", asked))
        assert running.settle()
    for words, event in (
        (["anna"], "CardOpened"),
        (["anna", "--category", "card_guard"], "CardGuardStepped"),
        (["t-1"], "TransferStepped"),
    ):
        told = json.loads(CliRunner().invoke(app, ["history", *words, "--json"]).output)
        assert told[0]["type"] == event
    assert json.loads(CliRunner().invoke(app, ["history", "nobody-else", "--json"]).output) == []
