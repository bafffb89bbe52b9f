"""Chain, seals and repair on the real parts: a row that was spoilt in MySQL, put right while Debezium captures it."""

import time
import uuid
from collections.abc import Callable
from functools import partial

import pytest

from bank.main import application
from deploy.configuration import Place, application_settings
from mainstem.assembly.repairing import repaired
from mainstem.assembly.stores import open_integrity
from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.verifying import Verified, verify
from mainstem.settings import read_settings
from tests.distributed import Deployed, distributed_bank
from tests.stack import run_sql

pytestmark = [pytest.mark.stack, pytest.mark.slow]

_SEALED_S = 30.0


def test_a_spoilt_row_is_put_right_and_is_no_withdrawal(deployed: Deployed, stack: Place) -> None:
    """Nor is the row of a view left; and events are verified, as far as they are sealed, while the bank runs."""
    settings = read_settings(application_settings(stack))
    card = f"mended-{uuid.uuid4().hex[:8]}"
    with distributed_bank(deployed) as bank:
        with bank.client() as client:
            client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()
            client.post("/moneywithdrawals", json={"debitCard": card, "amount": 10}).raise_for_status()
        assert bank.reconcile().clean
        open_ = partial(open_integrity, settings)
        found = _once_sealed(open_)
        assert found.clean, found.findings[:5]
        assert verify(open_, root=found.head).clean
        assert bank.stop() == 0
    database = settings.mysql_database
    run_sql(
        stack,
        f"UPDATE {database}.debit_card SET used_limit = 3 WHERE id = '{card}'",
        f"UPDATE {database}.card_balance SET used = 99 WHERE id = '{card}'",
    )
    seen = repaired(application, settings, dry_run=True)
    assert [(each.table, each.key) for each in seen.damages] == [("debit_card", card), ("card_balance", card)]
    assert repaired(application, settings, dry_run=False).left == ()
    assert repaired(application, settings, dry_run=True).damages == ()
    with distributed_bank(deployed) as bank:
        with bank.client() as client:
            client.post("/moneywithdrawals", json={"debitCard": card, "amount": 90}).raise_for_status()
        found_again = bank.reconcile()
        assert found_again.clean, found_again.differences[:5]


def _once_sealed(open_: Callable[[], Integrity]) -> Verified:
    deadline = time.monotonic() + _SEALED_S
    while True:
        found = verify(open_)
        if not found.unsealed or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
