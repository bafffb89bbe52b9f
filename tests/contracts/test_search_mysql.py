"""Full text on the MySQL view store."""

from pathlib import Path

import pytest

from mainstem.testing.contracts.words import SearchContract
from mainstem.view.mysql import MysqlViews
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlSearch(SearchContract):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlViews:
        return MysqlViews(self.databases(folder))
