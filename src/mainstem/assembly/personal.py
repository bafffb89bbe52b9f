"""The keys of personal data, in the form that the settings name. Nothing is made before it is used."""

from mainstem.assembly.places import key_files, mysql_server
from mainstem.privacy.mysql import MysqlKeys
from mainstem.privacy.port import KeyStore
from mainstem.privacy.sqlite import SqliteKeys
from mainstem.privacy.vault import Vault
from mainstem.settings import Settings


def open_keys(settings: Settings) -> KeyStore:
    """The store of keys."""
    if settings.form == "distributed":
        return MysqlKeys(mysql_server(settings), settings.privacy_mysql_database, settings.privacy_master_key_file)
    keys, master = key_files(settings)
    return SqliteKeys(keys, master, makes_master=settings.privacy_master_key_file is None)


def vault_on(keys: KeyStore, settings: Settings) -> Vault:
    """What closes and opens with them."""
    return Vault(keys, kept_s=settings.privacy_keys_kept_ms / 1000)
