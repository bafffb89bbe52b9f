"""The vault closes personal data on their way in and opens them at the edge. It keeps keys in memory for a short time.

A key that this process destroys is dropped here at once; what another process destroys, when its time here is over.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import structlog
from msgspec import Struct
from msgspec.structs import replace

from mainstem.errors import CommandError, InvalidCommand, KeyStoreUnavailable, MainstemError, SubjectForgotten
from mainstem.privacy.marks import Mark, marks_of
from mainstem.privacy.port import FORGOTTEN, SUBJECT_MAX, UNREADABLE, KeyStore, SubjectKey, Tombstone
from mainstem.privacy.tokens import NotOpened, key_id_of, seal, unseal
from mainstem.tenancy import split

T = TypeVar("T", bound=Struct)

_log = structlog.get_logger(__name__)

_KEYS_MAX = 10_000
_TOLD_MAX = 1_000

Placed = tuple[T, str]
"""A message, and the stream that it is of or for, as ``category-id``."""


class Vault:
    """Usable from any thread."""

    def __init__(self, keys: KeyStore, *, kept_s: float) -> None:
        self._keys = keys
        self._known = _Known(kept_s)
        self._told: set[str] = set()

    def close(self, messages: Sequence[Placed[T]]) -> list[T | CommandError]:
        """Each message with tokens in its marked fields, or why it cannot be had so.

        That is SubjectForgotten, InvalidCommand for a datum of nobody or one that is too long, KeyStoreUnavailable. A
        token of the same subject and datum stays as it is, so that closing twice changes nothing.
        """
        wanted = [self._subjects(message, stream) for message, stream in messages]
        subjects = {subject for each in wanted if isinstance(each, list) for _, _, subject in each}
        try:
            keys = self._of_subjects(subjects) if subjects else {}
        except MainstemError as error:
            why = f"the keys of personal data cannot be had: {error}"
            _log.warning("commands with personal data are not carried out", cause=str(error))
            return [
                message if each == [] else each if isinstance(each, CommandError) else KeyStoreUnavailable(why)
                for (message, _), each in zip(messages, wanted, strict=True)
            ]
        return [
            each if isinstance(each, CommandError) else _closed(message, each, keys)
            for (message, _), each in zip(messages, wanted, strict=True)
        ]

    def _subjects(self, message: Struct, stream: str) -> list[tuple[Mark, str, str]] | CommandError:
        """Of each marked field that is filled: its mark, its text and whose it is."""
        found = []
        for mark in marks_of(type(message)):
            text = getattr(message, mark.field)
            if text:
                subject = mark.subject(message, stream)
                if subject is None or len(subject) > SUBJECT_MAX or not subject.isprintable():
                    whose = "nobody is named" if subject is None else "the subject's name is not usable"
                    return InvalidCommand(f"{mark.field} of {type(message).__name__} is personal data, and {whose}")
                found.append((mark, text, subject))
        return found

    def open(self, message: T, stream: str = "") -> T:
        """The message with its texts again. See `open_all`."""
        return self.open_all([message], stream)[0]

    def open_all(self, messages: Sequence[T], stream: str = "") -> list[T]:
        """Each with its texts again, all of one stream where a mark says that the aggregate is the subject.

        Of a tenant's, all are of its streams: what these begin with, ``/tenant/``, says it as well.

        A forgotten subject's are `FORGOTTEN`; a token that was changed, is not this subject's, or whose key nobody
        knows is `UNREADABLE`, which is logged. Raises StoreError where the keys cannot be had.
        """
        tokens = {
            key_id
            for message in messages
            for mark in marks_of(type(message))
            if (key_id := key_id_of(getattr(message, mark.field))) is not None
        }
        if not tokens:
            return list(messages)
        keys = self._of_ids(tokens)
        return [self._opened(message, stream, keys) for message in messages]

    def _opened(self, message: T, stream: str, keys: Mapping[str, SubjectKey]) -> T:
        changes: dict[str, str] = {}
        for mark in marks_of(type(message)):
            token = getattr(message, mark.field)
            key_id = key_id_of(token)
            if key_id is not None:
                subject = mark.subject(message, stream)
                changes[mark.field] = self._text(type(message).__name__, mark, token, subject, keys.get(key_id))
        return replace(message, **changes) if changes else message

    def _text(self, struct: str, mark: Mark, token: str, subject: str | None, key: SubjectKey | None) -> str:
        if key is None:
            return self._unreadable(struct, mark, token, "its key is not known")
        if key.subject != subject:
            return self._unreadable(struct, mark, token, "it is another subject's")
        if key.key is None:
            return FORGOTTEN
        try:
            return unseal(key.key, mark.what, token)
        except NotOpened as error:
            return self._unreadable(struct, mark, token, str(error))

    def _unreadable(self, struct: str, mark: Mark, token: str, why: str) -> str:
        """Told once for each token."""
        if token not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(token)
            _log.warning("a personal datum cannot be opened", struct=struct, field=mark.field, cause=why)
        return UNREADABLE

    def key_of(self, subject: str) -> SubjectKey | None:
        """The subject's key as it is kept now; None where there is none."""
        return self._keys.of_subjects([subject], make=False).get(subject)

    def forget(self, subject: str, tombstone: Tombstone) -> SubjectKey:
        """Destroy the subject's key, here at once."""
        key = self._keys.forget(subject, tombstone)
        self._known.put([key])
        return key

    def _of_subjects(self, subjects: Collection[str]) -> Mapping[str, SubjectKey]:
        known = self._known.of_subjects(subjects)
        missing = [subject for subject in subjects if subject not in known]
        if missing:
            found = self._keys.of_subjects(missing, make=True)
            self._known.put(found.values())
            known |= found
        return known

    def _of_ids(self, key_ids: Collection[str]) -> Mapping[str, SubjectKey]:
        known = self._known.of_ids(key_ids)
        missing = [key_id for key_id in key_ids if key_id not in known]
        if missing:
            found = self._keys.of_ids(missing)
            self._known.put(found.values())
            known |= found
        return known


def _closed(message: T, personal: Sequence[tuple[Mark, str, str]], keys: Mapping[str, SubjectKey]) -> T | CommandError:
    changes = {}
    for mark, text, subject in personal:
        key = keys[subject]
        if key.key is None:
            return SubjectForgotten(f"{split(subject)[1]} is forgotten: no personal data are kept of it")
        try:
            changes[mark.field] = _token(key.key, key.key_id, mark.what, text)
        except ValueError as error:
            cause = "it is no Unicode" if isinstance(error, UnicodeError) else str(error)
            return InvalidCommand(f"{mark.field} of {type(message).__name__} cannot be kept: {cause}")
    return replace(message, **changes) if changes else message


def _token(key: bytes, key_id: str, what: str, text: str) -> str:
    """A text that only looks like a token is closed like any other."""
    if key_id_of(text) == key_id:
        try:
            unseal(key, what, text)
        except NotOpened:
            pass
        else:
            return text
    return seal(key, key_id, what, text)


class _Known:
    """Keys in memory: so many, each for so long. Those of forgotten subjects hold no key."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._by_subject: OrderedDict[str, tuple[SubjectKey, float]] = OrderedDict()
        self._subjects: dict[str, str] = {}

    def put(self, keys: Collection[SubjectKey]) -> None:
        """A tombstone stays in its place, whatever was read before it."""
        until = time.monotonic() + self._kept_s
        with self._lock:
            for key in keys:
                standing = self._by_subject.pop(key.subject, None)
                kept = key if standing is None or standing[0].key is not None else standing[0]
                self._by_subject[key.subject] = (kept, until)
                self._subjects[key.key_id] = key.subject
            while len(self._by_subject) > _KEYS_MAX:
                _, (gone, _) = self._by_subject.popitem(last=False)
                self._subjects.pop(gone.key_id, None)

    def of_subjects(self, subjects: Collection[str]) -> dict[str, SubjectKey]:
        """Those whose time is not over."""
        now = time.monotonic()
        with self._lock:
            found = {subject: self._by_subject[subject] for subject in subjects if subject in self._by_subject}
        return {subject: key for subject, (key, until) in found.items() if until > now}

    def of_ids(self, key_ids: Collection[str]) -> dict[str, SubjectKey]:
        """The same by their ids."""
        with self._lock:
            subjects = [self._subjects[key_id] for key_id in key_ids if key_id in self._subjects]
        return {key.key_id: key for key in self.of_subjects(subjects).values()}
