"""Nothing is decided on a stream in whose middle an event is missing."""

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import apsw
import pytest

from bank.card import CARD, OpenCard, Withdraw
from mainstem import Application
from mainstem.assembly import embedded
from mainstem.errors import StoreCorrupt
from mainstem.settings import Settings


@pytest.mark.parametrize("snapshot_every", [0, 2])
def test_an_event_that_is_missing(tmp_path: Path, snapshot_every: int) -> None:
    """Behind a snapshot, or without one; other streams are not harmed."""
    application = Application(name="bank", deciders=(CARD,))
    settings = Settings(data_dir=tmp_path / "data", snapshot_every=snapshot_every)
    with embedded(application, settings) as running:
        for card in ("a", "b"):
            running.commands.execute(OpenCard(card=card, limit=Decimal(100)))
            for _ in range(4):
                running.commands.execute(Withdraw(card=card, amount=Decimal(1)))
    missing = 2 if snapshot_every == 0 else 5
    with closing(apsw.Connection(str(settings.data_dir / "events.db"))) as connection:
        connection.execute("DROP TRIGGER mainstem_event_delete")
        connection.execute("DROP TRIGGER mainstem_event_update")
        connection.execute("DELETE FROM snapshot WHERE version > 4")
        connection.execute(
            "UPDATE event SET version = 6 WHERE stream = 'debit_card-a' AND version = 5"
            if missing == 5
            else "DELETE FROM event WHERE stream = 'debit_card-a' AND version = 2"
        )
    with embedded(application, settings) as running:
        with pytest.raises(StoreCorrupt, match=r"events of debit_card-a are missing .* mainstem verify"):
            running.commands.execute(Withdraw(card="a", amount=Decimal(1)))
        assert running.commands.execute(Withdraw(card="b", amount=Decimal(1))).version == 6
