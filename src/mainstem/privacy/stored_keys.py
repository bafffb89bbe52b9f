"""What every store of keys has in common: rows of wrapped keys, and the master key that opens them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mainstem.errors import ConfigurationError
from mainstem.privacy.master import MasterKey, Masters, adopt_next, make_master_key, next_of, read_master_key
from mainstem.privacy.port import SubjectKey, Tombstone
from mainstem.privacy.tokens import new_key, new_key_id

COLUMNS = "subject, key_id, wrapped, forgotten_at_ms, actor, why"
Row = tuple[Any, ...]

T = TypeVar("T")

WRAPPED = (
    "SELECT subject, key_id, wrapped FROM personal_key WHERE wrapped IS NOT NULL AND subject > {0} ORDER BY subject"
    " LIMIT {0}"
)
_AT_ONCE = 500


class KeyRows(Protocol):
    """The rows of a store, in these columns; a subject has one at most."""

    def find(self, column: str, values: Sequence[str]) -> Sequence[Row]:
        """Those with one of these values."""

    def fingerprint(self) -> bytes:
        """Of the master key that they are wrapped by."""

    def add(self, rows: Sequence[Row], fingerprint: bytes) -> None:
        """Keep them durably; a row whose subject has one already is left out.

        Raises ConfigurationError where the others are wrapped by another master key than of that fingerprint.
        """

    def bury(self, row: Row) -> None:
        """Put the row, which has no key, durably in the place of its subject's, whose id and tombstone stay."""

    def alone(self) -> AbstractContextManager[bytes]:
        """One transaction, in which nobody else adds or rewraps; with the fingerprint. For the three below."""

    def wrapped(self, after: str, limit: int) -> Sequence[tuple[str, str, bytes]]:
        """Subject, id and wrapped key, by subject behind that one, as far as they have a key."""

    def rewrap(self, keys: Sequence[tuple[bytes, str]]) -> None:
        """Give these subjects' keys another wrapping."""

    def name(self, fingerprint: bytes) -> None:
        """Keep the fingerprint of another master key."""


def of_subjects(rows: KeyRows, masters: Masters, subjects: Collection[str], *, make: bool) -> Mapping[str, SubjectKey]:
    """The keys of these subjects, made where they have none: whose is kept first counts."""

    def work(master: MasterKey) -> Mapping[str, SubjectKey]:
        found = {key.subject: key for key in _found(rows, master, "subject", subjects)}
        missing = [subject for subject in dict.fromkeys(subjects) if subject not in found]
        if missing and make:
            rows.add([_new_row(master, subject) for subject in sorted(missing)], master.fingerprint)
            found |= {key.subject: key for key in _found(rows, master, "subject", missing)}
        return found

    return _with_master(rows, masters, work)


def of_ids(rows: KeyRows, masters: Masters, key_ids: Collection[str]) -> Mapping[str, SubjectKey]:
    """The keys of these ids."""
    return _with_master(
        rows, masters, lambda master: {key.key_id: key for key in _found(rows, master, "key_id", key_ids)}
    )


def forget(rows: KeyRows, masters: Masters, subject: str, tombstone: Tombstone) -> SubjectKey:
    """Also where there is no key yet: then there never is one."""

    def work(master: MasterKey) -> SubjectKey:
        rows.bury((subject, new_key_id(), None, tombstone.forgotten_at_ms, tombstone.actor, tombstone.why))
        (found,) = _found(rows, master, "subject", [subject])
        return found

    return _with_master(rows, masters, work)


def rotate(rows: KeyRows, masters: Masters, path: Path) -> int:
    """Wrap all keys by the next master key, which is made where there is none; how many.

    1. The next key is on the disk, beside the one that holds. 2. In one transaction every key is wrapped by it, and the
    store keeps its fingerprint. 3. It takes the other's place. Whoever dies before the second leaves the store as it
    was, whoever dies behind it a store that the next key opens: the next run goes on from there.
    """
    if not next_of(path).is_file():
        make_master_key(next_of(path))
    new, count = read_master_key(next_of(path)), 0
    with rows.alone() as fingerprint:
        if fingerprint != new.fingerprint:
            old, after = masters.of(fingerprint), ""
            while page := rows.wrapped(after, _AT_ONCE):
                rows.rewrap([(new.wrap(old.unwrap(bytes(key), id_, of), id_, of), of) for of, id_, key in page])
                after, count = page[-1][0], count + len(page)
            rows.name(new.fingerprint)
    adopt_next(path)
    return count


def check_same(kept: bytes, fingerprint: bytes) -> None:
    """Raises ConfigurationError where the store's keys are wrapped by another than the one of that fingerprint."""
    if kept != fingerprint:
        raise ConfigurationError("the keys were wrapped by another master key meanwhile")


def _with_master(rows: KeyRows, masters: Masters, work: Callable[[MasterKey], T]) -> T:
    """Once more where the keys are wrapped by another meanwhile."""
    fingerprint = rows.fingerprint()
    try:
        return work(masters.of(fingerprint))
    except ConfigurationError:
        now = rows.fingerprint()
        if now == fingerprint:
            raise
        return work(masters.of(now))


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
