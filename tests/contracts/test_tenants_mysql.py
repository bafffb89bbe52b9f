"""The MySQL event store keeps to the contract of tenants."""

from pathlib import Path

import pytest

from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.testing.contracts.tenants import TenantsContract
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlTenants(TenantsContract):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlEventStore:
        return MysqlEventStore(self.databases(folder), clock_ms=lambda: 1000)
