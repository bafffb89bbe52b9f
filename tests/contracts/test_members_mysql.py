"""Several processes that write the same views in MySQL."""

from pathlib import Path

import pytest

from mainstem.testing.contracts.members import MembersContract
from mainstem.view.mysql import MysqlViews
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlMembers(MembersContract):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlViews:
        return MysqlViews(self.databases(folder))
