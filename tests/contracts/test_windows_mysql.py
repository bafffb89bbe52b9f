"""Windows on the MySQL view store."""

from pathlib import Path

import pytest

from mainstem.testing.contracts.windows import WindowContract
from mainstem.view.mysql import MysqlViews
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlWindows(WindowContract):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path) -> MysqlViews:
        return MysqlViews(self.databases(folder))
