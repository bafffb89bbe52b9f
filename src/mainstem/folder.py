"""The data folder of the embedded form: one process owns it at a time, and others can learn where that one listens."""

import fcntl
import os
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from mainstem.errors import StoreBusy, StoreUnavailable

_NAME = "mainstem.lock"
_ASKING_S = 0.3
_ASKING_LOOK_S = 0.01


class Owner(Struct, frozen=True):
    """The process that owns the folder, and the address of its HTTP server once that listens."""

    pid: int
    url: str = ""


class Folder:
    """Owns the folder from `acquire` to `release`; the system releases it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the folder, made if need be. Raises StoreBusy where another process has it, or StoreUnavailable."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"the folder {self.path} cannot be used: {error.strerror}") from error
        if not _taken(descriptor):
            os.close(descriptor)
            owner = owner_of(self.path)
            who = f"process {owner.pid}" if owner else "another process"
            raise StoreBusy(f"the folder {self.path} is in use by {who}; stop it, or choose another folder") from None
        self._descriptor = descriptor
        self.announce("")

    def announce(self, url: str) -> None:
        """Say where this process listens."""
        content = msgspec.json.encode(Owner(os.getpid(), url))
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def release(self) -> None:
        """Give the folder back. Releasing twice is allowed."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Whoever asks who owns the folder has it for a moment: that is not to be taken for an owner."""
    deadline = time.monotonic() + _ASKING_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_ASKING_LOOK_S)
        else:
            return True


def owner_of(path: Path) -> Owner | None:
    """The process that owns the folder now; None where nobody does."""
    try:
        descriptor = os.open(path / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        try:
            return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Owner)
        except msgspec.DecodeError:
            return Owner(0)
    else:
        return None
    finally:
        os.close(descriptor)
