"""What personal data ask of a store of keys, and what is asked of whoever forgets a subject."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

SUBJECT_MAX = 255
"""How many characters a subject's name may have, ``kind:id``."""

FORGOTTEN = "(forgotten)"
"""What a token of a forgotten subject opens as."""

UNREADABLE = "(unreadable)"
"""What a token opens as that was changed, has come to another subject, or whose key nobody knows."""


class Tombstone(Struct, frozen=True, kw_only=True, rename="camel"):
    """That a subject is forgotten: when (milliseconds since the epoch), on whose order, and why."""

    forgotten_at_ms: int
    actor: str
    why: str


@dataclass(frozen=True)
class SubjectKey:
    """A subject's key; None, and a tombstone in its place, once the subject is forgotten."""

    subject: str
    key_id: str
    key: bytes | None = field(repr=False)
    tombstone: Tombstone | None = None


class KeyStore(Protocol):
    """One key for each subject, made when it is first needed, until the subject is forgotten; then never again.

    Usable from any thread, and by several processes. Raises StoreError, or ConfigurationError where the master key is
    missing or another than the keys were wrapped with.
    """

    def of_subjects(self, subjects: Collection[str], *, make: bool) -> Mapping[str, SubjectKey]:
        """The keys of these subjects; with `make`, of those that have none a new one, on the disk at return.

        Of processes that make one for a subject at once, all get the same.
        """

    def of_ids(self, key_ids: Collection[str]) -> Mapping[str, SubjectKey]:
        """The keys of these ids, as far as they are known."""

    def forget(self, subject: str, tombstone: Tombstone) -> SubjectKey:
        """Destroy the subject's key, on the disk at return, and let it have no other. The first tombstone stays."""

    def rotate(self) -> int:
        """Wrap all keys by another master key, which takes the place of the one that is named; how many.

        Beside whoever uses the keys; where it dies, all stay readable, and the next one goes on. 0 where none are kept.
        """

    def close(self) -> None:
        """Give everything back. Closing twice is allowed."""


class Found(Struct, frozen=True):
    """How many events, rows or records of one place hold personal data of the subject."""

    place: str
    name: str
    found: int


class Forgetting(Struct, frozen=True, rename="camel"):
    """A subject, whether it is forgotten, and where its tokens stand, which stay there. `missed`: what was not seen."""

    subject: str
    tombstone: Tombstone | None
    places: tuple[Found, ...]
    missed: tuple[str, ...] = ()


class Forgets(Protocol):
    """What forgets subjects."""

    def forget(
        self, subject: str, *, tenant: str | None = None, actor: str, why: str, dry_run: bool = False
    ) -> Forgetting:
        """Destroy the key, then look where its tokens stand; only look with `dry_run`. Raises InvalidQuery."""
