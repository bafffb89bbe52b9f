"""Files that are whole under their name or not there under it, whatever moment a crash or a power cut picks."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_HERE = -100
_EXCHANGE = 2


def exchanged(one: Path, other: Path) -> bool:
    """Give two paths each other's names in one step; False, and nothing is done, where system or file system cannot."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    return call is not None and call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def write_durably(path: Path, content: bytes, *, read_only: bool = False) -> None:
    """Write under another name, flush, rename, flush the folder. Raises OSError, and leaves nothing half written."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as target:
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
        if read_only:
            part.chmod(0o444)
        part.rename(path)
        flush(path.parent)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """What a file holds, or which entries a folder has, is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
