"""The MySQL event store keeps to the model."""

from pathlib import Path

import pytest

from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.testing.contracts.event_store_model import EventStoreModelContract
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlEventStoreModel(EventStoreModelContract):
    examples = 15

    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlEventStore:
        return MysqlEventStore(self.databases(folder), clock_ms=lambda: 1000)
