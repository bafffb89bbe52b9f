"""The MySQL event store keeps to the event store's contract."""

from pathlib import Path

import pytest

from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.testing.contracts.event_store import ACCOUNT, EventStoreContract
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlEventStore(EventStoreContract):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlEventStore:
        return MysqlEventStore(self.databases(folder), [ACCOUNT], clock_ms=lambda: 1000)
