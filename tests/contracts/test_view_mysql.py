"""The MySQL views keep to the view store's contract."""

from pathlib import Path

import pytest

from mainstem.testing.contracts.view import ViewContract
from mainstem.view.mysql import MysqlViews
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlViews(ViewContract):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlViews:
        return MysqlViews(self.databases(folder))
