"""What every store of keys has in common: rows of wrapped keys, and the master key that opens them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from mainstem.errors import ConfigurationError
from mainstem.privacy.master import MasterKey
from mainstem.privacy.port import SubjectKey, Tombstone
from mainstem.privacy.tokens import new_key, new_key_id

COLUMNS = "subject, key_id, wrapped, forgotten_at_ms, actor, why"
Row = tuple[Any, ...]

_AT_ONCE = 500


class KeyRows(Protocol):
    """The rows of a store, in these columns; a subject has one at most."""

    def find(self, column: str, values: Sequence[str]) -> Sequence[Row]:
        """Those with one of these values."""

    def add(self, rows: Sequence[Row]) -> None:
        """Keep them durably; a row whose subject has one already is left out."""

    def bury(self, row: Row) -> None:
        """Put the row, which has no key, durably in the place of its subject's, whose id and tombstone stay."""


def check_master(master: MasterKey, kept: bytes, where: object) -> None:
    """Raises ConfigurationError where the store's keys are wrapped by another."""
    if kept != master.fingerprint:
        raise ConfigurationError(f"the keys of {where} are wrapped by another master key than the settings name")


def of_subjects(rows: KeyRows, master: MasterKey, subjects: Collection[str], *, make: bool) -> Mapping[str, SubjectKey]:
    """The keys of these subjects, made where they have none: whose is kept first counts."""
    found = {key.subject: key for key in _found(rows, master, "subject", subjects)}
    missing = [subject for subject in dict.fromkeys(subjects) if subject not in found]
    if missing and make:
        rows.add([_new_row(master, subject) for subject in sorted(missing)])
        found |= {key.subject: key for key in _found(rows, master, "subject", missing)}
    return found


def of_ids(rows: KeyRows, master: MasterKey, key_ids: Collection[str]) -> Mapping[str, SubjectKey]:
    """The keys of these ids."""
    return {key.key_id: key for key in _found(rows, master, "key_id", key_ids)}


def forget(rows: KeyRows, master: MasterKey, subject: str, tombstone: Tombstone) -> SubjectKey:
    """Also where there is no key yet: then there never is one."""
    rows.bury((subject, new_key_id(), None, tombstone.forgotten_at_ms, tombstone.actor, tombstone.why))
    (found,) = _found(rows, master, "subject", [subject])
    return found


def _new_row(master: MasterKey, subject: str) -> Row:
    key_id = new_key_id()
    return (subject, key_id, master.wrap(new_key(), key_id, subject), None, None, None)


def _found(rows: KeyRows, master: MasterKey, column: str, values: Collection[str]) -> Iterable[SubjectKey]:
    wanted = list(dict.fromkeys(values))
    for start in range(0, len(wanted), _AT_ONCE):
        for row in rows.find(column, wanted[start : start + _AT_ONCE]):
            yield _key(master, row)


def _key(master: MasterKey, row: Row) -> SubjectKey:
    subject, key_id, wrapped, at_ms, actor, why = row
    if wrapped is None:
        return SubjectKey(subject, key_id, None, Tombstone(forgotten_at_ms=at_ms, actor=actor, why=why))
    return SubjectKey(subject, key_id, master.unwrap(bytes(wrapped), key_id, subject))
