"""The MySQL store of keys keeps to the contract."""

from dataclasses import replace
from pathlib import Path

import pytest

from mainstem.privacy.master import make_master_key
from mainstem.privacy.mysql import MysqlKeys
from mainstem.testing.contracts.keys import KeyStoreContract
from tests.stack import Databases


@pytest.mark.stack
class TestMysqlKeys(KeyStoreContract):
    @pytest.fixture(autouse=True)
    def _databases(self, databases: Databases) -> None:
        self.databases = databases

    def open(self, folder: Path, master: str = "one") -> MysqlKeys:
        make_master_key(folder / master)
        own = self.databases(folder)
        return MysqlKeys(replace(own, database="inventory"), own.database, folder / master)
