"""DuckDB's errors in mainstem's names. Where DuckDB has one class for many troubles, its text tells them apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from mainstem.errors import (
    InvalidQuery,
    MainstemError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

_TEXT_MAX = 500
_FULL = ("No space left on device", "File too large", "Disk quota exceeded")
_LOCKED = ("Could not set lock on file", "different configuration than existing connections")
_DAMAGED = ("not a valid DuckDB database file", "Corrupt database file", "Could not read enough bytes", "replaying WAL")
_FOREIGN = (duckdb.PermissionException, duckdb.InternalException, duckdb.SerializationException)
_UNUSABLE = (duckdb.IOException, duckdb.ConnectionException, duckdb.FatalException, duckdb.InterruptException)
_ASKED_WRONGLY = (
    duckdb.ProgrammingError,
    duckdb.DataError,
    duckdb.NotSupportedError,
    duckdb.PermissionException,
    duckdb.TransactionException,
    duckdb.OutOfMemoryException,
)


def is_fatal(error: BaseException) -> bool:
    """Whether the engine serves nothing more until the file is opened again."""
    return isinstance(error, duckdb.FatalException | duckdb.InternalException)


@contextmanager
def mapped_errors(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Turn the driver's and the file system's errors into mainstem's, naming the file."""
    try:
        yield
    except duckdb.Error as error:
        raise store_error(path, error, opening=opening) from error
    except OSError as error:
        raise StoreUnavailable(f"{path.name} cannot be used: {error.strerror}") from error


def store_error(path: Path, error: duckdb.Error, *, opening: bool = False) -> StoreError:
    """What a failure to open, read or write the file is. While opening, a foreign file shows in many ways."""
    text = _text(error)
    if any(phrase in text for phrase in _FULL):
        return StoreFull(f"no space left for {path.name}: {text}")
    if any(phrase in text for phrase in _LOCKED):
        return StoreBusy(f"{path.name} is in use by another: {text}")
    if any(phrase in text for phrase in _DAMAGED) or (opening and isinstance(error, _FOREIGN)):
        return StoreCorrupt(
            f"{path.name} is damaged and is not served; delete it, with {path.name}.wal, and it is filled again from"
            f" the log: {text}"
        )
    if isinstance(error, duckdb.TransactionException):
        return StoreBusy(f"{path.name} was changed by another meanwhile: {text}")
    if isinstance(error, _UNUSABLE):
        return StoreUnavailable(f"{path.name} cannot be used: {text}")
    return StoreError(f"{path.name}: {text}")


def query_error(path: Path, error: Exception) -> MainstemError:
    """What a failure to answer is: the question's fault, or else the store's."""
    if isinstance(error, duckdb.Error) and not isinstance(error, _ASKED_WRONGLY):
        return store_error(path, error)
    return InvalidQuery(f"the question cannot be answered: {_text(error)}")


def _text(error: Exception) -> str:
    """The error's text on one line and of bounded length; the engine adds advice and source lines to its own."""
    return " ".join(str(error).split())[:_TEXT_MAX]
