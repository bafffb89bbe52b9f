"""The SQLite store of keys keeps to the contract."""

from pathlib import Path

from mainstem.privacy.master import make_master_key
from mainstem.privacy.sqlite import SqliteKeys
from mainstem.testing.contracts.keys import KeyStoreContract


class TestSqliteKeys(KeyStoreContract):
    def open(self, folder: Path, master: str = "one") -> SqliteKeys:
        make_master_key(folder / master)
        return SqliteKeys(folder / "keys.db", folder / master)
