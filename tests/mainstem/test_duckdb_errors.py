"""Each of the driver's errors has its name in mainstem's tree."""

from pathlib import Path

import duckdb
import pytest

from mainstem.duckdb_errors import is_fatal, mapped_errors, query_error
from mainstem.errors import (
    InvalidQuery,
    MainstemError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

PATH = Path("folder/olap.duckdb")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (duckdb.IOException("Could not write file: No space left on device"), StoreFull),
        (duckdb.TransactionException("Failed to commit: Could not write file: File too large"), StoreFull),
        (duckdb.FatalException("Failed to create checkpoint: Disk quota exceeded"), StoreFull),
        (duckdb.IOException("Could not set lock on file"), StoreBusy),
        (duckdb.ConnectionException("a different configuration than existing connections"), StoreBusy),
        (duckdb.TransactionException("Conflict on update"), StoreBusy),
        (duckdb.IOException("exists, but it is not a valid DuckDB database file!"), StoreCorrupt),
        (duckdb.IOException("Could not read enough bytes from file"), StoreCorrupt),
        (duckdb.InternalException("Failure while replaying WAL file"), StoreCorrupt),
        (duckdb.Error("Corrupt database file: computed checksum"), StoreCorrupt),
        (duckdb.IOException("Cannot open file"), StoreUnavailable),
        (duckdb.ConnectionException("Connection already closed"), StoreUnavailable),
        (duckdb.FatalException("database has been invalidated"), StoreUnavailable),
        (duckdb.InterruptException("Interrupted!"), StoreUnavailable),
        (duckdb.OutOfMemoryException("failed to allocate"), StoreError),
        (duckdb.ConstraintException("NOT NULL constraint failed"), StoreError),
        (PermissionError(13, "Permission denied"), StoreUnavailable),
    ],
)
def test_the_stores_errors(error: Exception, expected: type[MainstemError]) -> None:
    with pytest.raises(expected, match=r"olap\.duckdb") as caught, mapped_errors(PATH):
        raise error
    assert type(caught.value) is expected
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        duckdb.PermissionException("Loading external extensions is disabled"),
        duckdb.SerializationException("Failed to deserialize"),
        duckdb.InternalException("Requested allocation size"),
    ],
)
def test_what_opens_in_no_way_is_damaged(error: duckdb.Error) -> None:
    with pytest.raises(StoreCorrupt), mapped_errors(PATH, opening=True):
        raise error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (duckdb.ParserException("syntax error"), InvalidQuery),
        (duckdb.BinderException("no column"), InvalidQuery),
        (duckdb.CatalogException("no table"), InvalidQuery),
        (duckdb.InvalidInputException("no value"), InvalidQuery),
        (duckdb.ConversionException("no integer"), InvalidQuery),
        (duckdb.OutOfRangeException("overflow"), InvalidQuery),
        (duckdb.NotImplementedException("not yet"), InvalidQuery),
        (duckdb.PermissionException("Cannot access file"), InvalidQuery),
        (duckdb.TransactionException("transaction is launched in read-only mode"), InvalidQuery),
        (duckdb.OutOfMemoryException("failed to allocate"), InvalidQuery),
        (OverflowError("date value out of range"), InvalidQuery),
        (duckdb.IOException("Could not read enough bytes from file"), StoreCorrupt),
        (duckdb.FatalException("database has been invalidated"), StoreUnavailable),
        (duckdb.InterruptException("Interrupted!"), StoreUnavailable),
        (duckdb.InternalException("assertion"), StoreError),
    ],
)
def test_the_errors_of_a_question(error: Exception, expected: type[MainstemError]) -> None:
    assert type(query_error(PATH, error)) is expected


def test_a_text_is_one_line_of_bounded_length() -> None:
    text = str(query_error(PATH, duckdb.ParserException("syntax\n\n  error " + "x" * 5000)))
    assert "syntax error" in text
    assert len(text) < 600


def test_after_which_errors_the_file_is_opened_again() -> None:
    assert is_fatal(duckdb.FatalException("x"))
    assert is_fatal(duckdb.InternalException("x"))
    assert not is_fatal(duckdb.IOException("x"))
