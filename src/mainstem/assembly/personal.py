"""The keys of personal data, in the form that the settings name. Nothing is made before it is used."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import structlog

from mainstem.application import Application
from mainstem.assembly.places import key_files, mysql_server
from mainstem.errors import MainstemError
from mainstem.eventstore.port import EventStore
from mainstem.health import WORKS, Part
from mainstem.privacy.marks import marks_of
from mainstem.privacy.mysql import MysqlKeys
from mainstem.privacy.port import KeyStore
from mainstem.privacy.sqlite import SqliteKeys
from mainstem.privacy.tokens import key_id_of
from mainstem.privacy.vault import Vault
from mainstem.settings import Settings
from mainstem.view.port import ViewStore

_log = structlog.get_logger(__name__)

_LOOKED_AT = 100


def open_keys(settings: Settings) -> KeyStore:
    """The store of keys."""
    if settings.form == "distributed":
        return MysqlKeys(mysql_server(settings), settings.privacy_mysql_database, settings.privacy_master_key_file)
    keys, master = key_files(settings)
    return SqliteKeys(keys, master, makes_master=settings.privacy_master_key_file is None)


def vault_on(keys: KeyStore, settings: Settings) -> Vault:
    """What closes and opens with them."""
    return Vault(keys, kept_s=settings.privacy_keys_kept_ms / 1000)


class KeysWatch:
    """Whether the keys of the personal data that stand here are known, by the first rows of each state and view.

    They are apart from all else, so a folder may be restored, or a database moved, without them.
    """

    def __init__(self, application: Application, events: EventStore, views: ViewStore, keys: KeyStore) -> None:
        personal = bool(application.personal_kinds())
        self._states = [each for each in application.state_tables() if personal and marks_of(each.row)]
        self._views_of = [each for each in application.views() if personal and marks_of(each.row)]
        self._events, self._views, self._keys = events, views, keys
        self._trouble: str | None = None

    def begin(self) -> None:
        """Look once, and log what is wrong."""
        self._trouble = self._look()
        if self._trouble is not None:
            _log.error("personal data cannot be read", cause=self._trouble)

    def parts(self) -> tuple[Part, ...]:
        """What is wrong, where something was at the start and is still; it keeps nothing else from working."""
        if self._trouble is not None:
            self._trouble = self._look()
        return () if self._trouble is None else (Part("keys", WORKS, self._trouble),)

    def _look(self) -> str | None:
        try:
            wanted = set(self._key_ids())
        except MainstemError:
            return None  # what is away is told by others
        try:
            known = self._keys.of_ids(wanted) if wanted else {}
        except MainstemError as error:
            return f"the keys of personal data cannot be had: {error}"
        missing = len(wanted - known.keys())
        if not missing:
            return None
        return (
            f"the keys of {missing} of {len(wanted)} persons looked at are not there, and their data unreadable:"
            " bring the keys back that belong to these events, and their master key"
        )

    def _key_ids(self) -> Iterator[str]:
        for table in self._states:
            yield from _key_ids_in(islice(self._events.states(table), _LOOKED_AT))
        for table in self._views_of:
            yield from _key_ids_in(self._views.find(table, {}, order=table.key, limit=_LOOKED_AT))


def _key_ids_in(rows: Any) -> Iterator[str]:
    for row in rows:
        for mark in marks_of(type(row)):
            key_id = key_id_of(getattr(row, mark.field))
            if key_id is not None:
                yield key_id
