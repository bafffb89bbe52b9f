"""The master key, in a file: the keys of subjects are kept wrapped by it.

Beside it, with `.next` behind its name, may stand the key that is to take its place: a store's keys are wrapped by one
of the two, whichever has the fingerprint that the store keeps. So it does not matter when whoever rotates dies.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mainstem.durable import flush
from mainstem.errors import ConfigurationError, StoreUnavailable

_BYTES = 32
_NONCE = 12


class MasterKey:
    """Wraps keys with AES-256-GCM, each bound to its id and its subject."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.fingerprint = hmac.digest(key, b"mainstem master key", hashlib.sha256)
        """By which a store knows the key that its own are wrapped by."""

    def wrap(self, key: bytes, key_id: str, subject: str) -> bytes:
        """The key as it is kept."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, key, f"{key_id} {subject}".encode())

    def unwrap(self, wrapped: bytes, key_id: str, subject: str) -> bytes:
        """The key again. Raises ConfigurationError where it was wrapped by another, or changed."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], f"{key_id} {subject}".encode())
        except InvalidTag as error:
            raise ConfigurationError(f"the key {key_id} was wrapped by another master key, or changed") from error


def read_master_key(path: Path | None) -> MasterKey:
    """The key of a file: 32 bytes in base64, as `openssl rand -base64 32` makes them. Raises ConfigurationError."""
    if path is None:
        raise ConfigurationError("personal data need a master key: set MAINSTEM_PRIVACY_MASTER_KEY_FILE")
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as error:
        raise ConfigurationError(f"the master key {path} cannot be read: {error.strerror}") from error
    except binascii.Error as error:
        raise ConfigurationError(f"the master key {path} is no base64") from error
    if len(key) != _BYTES:
        raise ConfigurationError(f"the master key {path} has {len(key)} bytes, not {_BYTES}")
    return MasterKey(key)


def next_of(path: Path) -> Path:
    """Where the key stands that is to take this one's place."""
    return path.with_name(f"{path.name}.next")


class Masters:
    """The master key of one store, read anew where the store's keys have been wrapped by another since."""

    def __init__(self, path: Path | None, where: object) -> None:
        self._path, self._where = path, where
        self._known: MasterKey | None = None

    def of(self, fingerprint: bytes) -> MasterKey:
        """The one that has it. Raises ConfigurationError where neither has."""
        known = self._known
        if known is None or known.fingerprint != fingerprint:
            known = self._known = self._read(fingerprint)
        return known

    def _read(self, fingerprint: bytes) -> MasterKey:
        first, following = self._path, None if self._path is None else next_of(self._path)
        if following is not None and following.is_file():
            key = read_master_key(following)
            if key.fingerprint == fingerprint:
                return key
        key = read_master_key(first)
        if key.fingerprint != fingerprint:
            raise ConfigurationError(
                f"the keys of {self._where} are wrapped by another master key than the settings name"
            )
        return key


def adopt_next(path: Path) -> None:
    """Put the next key durably in this one's place. Raises StoreUnavailable."""
    try:
        next_of(path).replace(path)
        flush(path.parent)
    except OSError as error:
        text = f"the keys are wrapped by {next_of(path)} now, which cannot be put in the place of {path}"
        raise StoreUnavailable(f"{text}: {error.strerror}; until it is, keep it beside it") from error


def make_master_key(path: Path) -> None:
    """Put a new one into the file, for its owner alone; where one stands already, or comes meanwhile, that stays."""
    made = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)
        except FileExistsError:
            return
        finally:
            made.unlink()
        flush(path.parent)
    except OSError as error:
        raise StoreUnavailable(f"the master key {path} cannot be made: {error.strerror}") from error
