"""Files that are whole under their name or not there under it, whatever moment a crash or a power cut picks."""

import ctypes
import errno
import os
from contextlib import suppress
from pathlib import Path

_HERE = -100
_EXCHANGE = 2
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def exchanged(one: Path, other: Path) -> bool:
    """Give two paths each other's names in one step; False, and nothing is done, where the system cannot.

    Raises OSError.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(one))


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
