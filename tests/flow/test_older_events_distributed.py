"""Events that an older release has stored in MySQL, and today's behind them, on their way by Debezium to a view."""

import uuid
from contextlib import closing
from decimal import Decimal

import pytest

from bank.card import CARD, DEBIT_CARD, CardBlocked, CardOpened, DebitCard
from deploy.configuration import application_settings
from mainstem import EVENT_TOPIC, recorded_events, scan
from mainstem.assembly.places import mysql_server
from mainstem.assembly.stores import open_log
from mainstem.clock import wall_clock_ms
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.port import NewEvent
from mainstem.messages import Origin
from mainstem.settings import Settings, read_settings
from tests.distributed import Deployed, distributed_bank

_OLDER = (
    NewEvent("CardOpened", b'{"type":"CardOpened","limit":"500.00"}'),
    NewEvent("CardBlocked", b'{"type":"CardBlocked","reason":"lost"}'),
)


@pytest.mark.stack
def test_an_older_card_goes_on(deployed: Deployed) -> None:
    """Each keeps the schema version that it was stored with; fold, listener and history read today's events."""
    settings = read_settings(application_settings(deployed.place))
    card = f"older-{uuid.uuid4().hex[:8]}"
    _write_as_before(settings, card)
    with distributed_bank(deployed) as bank, bank.client() as client:
        client.post("/cards", json={"id": f"{card}-new", "limit": 10, "customer": f"c-{card}"}).raise_for_status()
        unblocked = client.post(f"/cards/{card}/unblock", json={}).raise_for_status()
        asked = {"position": unblocked.headers["Mainstem-Position"]}
        found = client.get(f"/cards/{card}", params=asked).raise_for_status().json()
        assert (found["limit"], found["status"], found["version"]) == (500, "active", 3)
        told = client.get(f"/cards/{card}/history").raise_for_status().text
        assert '"note":"lost"' in told.replace(" ", "")
        assert "reason" not in told
    with closing(open_log(settings)) as log:
        records = [record for page in scan(log, EVENT_TOPIC) for record in page]
    read = recorded_events(CARD.events, categories=(CARD.category,)).many([each.value or b"" for each in records])
    own = [(each.schema_version, each.payload) for each in read if each.aggregate_id == card][:2]
    assert own == [(1, CardOpened(limit=Decimal("500.00"))), (1, CardBlocked(note="lost"))]
    new = [(each.schema_version, each.payload) for each in read if each.aggregate_id == f"{card}-new"]
    assert new == [(3, CardOpened(limit=Decimal("10.00"), customer=f"c-{card}"))]


def _write_as_before(settings: Settings, card: str) -> None:
    """As the release wrote whose events were all of schema version 1."""
    row = DebitCard(card, Decimal("500.00"), Decimal("0.00"), "blocked", 2, 1)
    with (
        closing(MysqlEventStore(mysql_server(settings), [DEBIT_CARD], clock_ms=wall_clock_ms)) as store,
        store.transaction() as transaction,
    ):
        transaction.append(CARD.stream(card), 0, _OLDER, occurred_at_ms=1, origin=Origin(actor="teller"))
        transaction.put_state(DEBIT_CARD, None, row)
