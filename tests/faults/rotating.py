"""Rotates the master key of a store of keys, and is killed at a step that it is told."""

import sys
from pathlib import Path

from mainstem.mysql import MysqlServer
from mainstem.privacy import stored_keys
from mainstem.privacy.mysql import MysqlKeys
from mainstem.privacy.port import KeyStore
from mainstem.privacy.sqlite import SqliteKeys
from tests.faults.archiver import killed

STEPS = ("made", "half", "named", "committed", "adopted")


def keys_of(words: list[str]) -> KeyStore:
    """Of a file and a master key, or of those two behind host, port, user, password and database."""
    *server, place, master = words
    if not server:
        return SqliteKeys(Path(place), Path(master))
    host, port, user, password, database = server
    return MysqlKeys(MysqlServer(host, int(port), user, password, "inventory"), database, Path(master))


def prepare(step: str, keys: KeyStore) -> None:
    """To die there."""
    rows = sys.modules[type(keys).__module__]._Rows
    place, name, before = {
        "made": (stored_keys, "make_master_key", False),
        "half": (rows, "rewrap", False),
        "named": (rows, "name", False),
        "committed": (stored_keys, "adopt_next", True),
        "adopted": (stored_keys, "adopt_next", False),
        "never": (None, "", False),
    }[step]
    if place is not None:
        setattr(place, name, killed(getattr(place, name), before=before))


if __name__ == "__main__":
    opened = keys_of(sys.argv[2:])
    prepare(sys.argv[1], opened)
    opened.rotate()
    opened.close()
