"""The report of forgetting names what data layers hold: rows with bytes, messages that carry bytes, files of RAW."""

from decimal import Decimal
from pathlib import Path

import pytest

from bank.card import OpenCard
from bank.main import application
from mainstem.assembly import embedded
from mainstem.layering import raw_archive
from mainstem.privacy.port import Found
from mainstem.settings import Settings


@pytest.mark.parametrize("card", ["a", "ab", "abc"])  # the token is at another place of three in what carries bytes
def test_what_layers_hold_is_in_the_report(tmp_path: Path, card: str) -> None:
    settings = Settings(data_dir=tmp_path / "data", layers=True)
    with embedded(application, settings) as running:
        running.commands.execute(OpenCard(card=card, limit=Decimal(1), customer="c-1", holder="Ada Lovelace"))
        running.commands.execute(OpenCard(card="other", limit=Decimal(1), customer="c-2", holder="Bob"))
        assert running.settle()
        with raw_archive(application, settings) as archive:
            archive.step()
        done = running.forgetter.forget("customer:c-1", actor="anna", why="asked for")
    assert done.missed == ()
    assert set(done.places) == {
        Found("events", f"debit_card-{card} CardOpened", 1),
        Found("view", "card_holder", 1),
        Found("view", "raw_event", 1),
        Found("topic", "event", 1),
        Found("topic", "layer-raw", 1),
        Found("raw files", "event", 1),
    }


def test_files_of_raw_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", layers=True)
    with embedded(application, settings) as running:
        running.commands.execute(OpenCard(card="a", limit=Decimal(1), customer="c-1", holder="Ada Lovelace"))
        assert running.settle()
        with raw_archive(application, settings) as archive:
            archive.step()
        for path in (tmp_path / "data" / "raw").rglob("*.parquet"):
            path.chmod(0o600)
            path.write_bytes(b"nothing")
        done = running.forgetter.forget("customer:c-1", actor="anna", why="asked for")
    assert done.tombstone is not None
    assert [each.partition(":")[0] for each in done.missed] == ["raw files"]
