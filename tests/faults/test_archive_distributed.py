"""Archiving on the real parts: Debezium sees rows removed, and no listener hears of it."""

import time
import uuid
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal

import pytest
from msgspec.structs import replace

from bank.card import OpenCard, Withdraw
from bank.main import application
from deploy.configuration import Place, application_settings
from mainstem.application import EVENT_TOPIC
from mainstem.assembly.archiving import archive
from mainstem.assembly.sealing import seal_all
from mainstem.assembly.stores import commands_of, open_events, open_integrity, open_log
from mainstem.eventstore.archiving import Asked
from mainstem.log.scan import scan
from mainstem.settings import Settings, read_settings
from tests.distributed import Deployed

pytestmark = [pytest.mark.stack, pytest.mark.slow]

_WITHIN_S = 60.0


def test_removed_rows_reach_no_topic(deployed: Deployed, stack: Place) -> None:
    """What comes behind them does, and is the next that comes."""
    assert deployed.place == stack
    settings = replace(read_settings(application_settings(stack)), snapshot_every=5)
    card = f"old-{uuid.uuid4().hex[:12]}"
    asked = Asked(fingerprints=(), stream=f"debit_card-{card}")
    with commands_of(application, settings) as commands:
        commands.execute(OpenCard(card=card, limit=Decimal(100)))
        for _ in range(12):
            commands.execute(Withdraw(card=card, amount=Decimal(1)))
    _until(lambda: _told(settings, card) == {"event": 13, "debit_card": 13, "refused_command": 0})
    with closing(open_integrity(settings, read_only=False)) as integrity:
        seal_all(integrity)
    with closing(open_events(settings)) as events:
        was = list(events.read(asked.stream or ""))
        moved = archive(application, settings, asked)
        assert (moved.events >= 4, moved.files) == (True, 1)
        assert events.read(asked.stream or "") == was
    with commands_of(application, settings) as commands:
        assert commands.execute(Withdraw(card=card, amount=Decimal(1))).version == 14
    _until(lambda: _told(settings, card)[EVENT_TOPIC] > 13)
    _until(lambda: _told(settings, card)["debit_card"] > 13)
    assert _told(settings, card) == {"event": 14, "debit_card": 14, "refused_command": 0}


def _told(settings: Settings, card: str) -> dict[str, int]:
    """How many messages of that card each captured topic has."""
    found: dict[str, int] = {}
    with closing(open_log(settings)) as log:
        for topic in (each.topic for each in application.all_captured()):
            keys = (record.key or "" for page in scan(log, topic) for record in page)
            found[topic] = sum(card in key for key in keys)
    return found


def _until(question: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not question():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
