"""What every event store keeps to that has columns for state rows. Subclass `StateTablesContract`, implement `open`.

A state table is made once, and its rows are made of events: where it is declared with other columns later, the store is
not opened on it, and it can be made anew.
"""

from abc import ABC, abstractmethod
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest
from msgspec import Struct, defstruct

from mainstem.errors import CodecError, ConfigurationError, StoreError
from mainstem.eventstore.port import EventStore, StateTables
from mainstem.table import Table


class TableStore(EventStore, StateTables, Protocol):
    """Both ports."""


class Account(Struct, frozen=True):
    """The state row as it was first."""

    id: str
    holder: str
    used: Decimal
    note: str | None = None


ACCOUNT = Table("account", Account, key=("id",))
STANDS = Account("1", "Ada", Decimal("1.50"))


def account(*fields: tuple[str, Any], key: tuple[str, ...] = ("id",), places: int = 2) -> Table[Any]:
    """The table as it is declared later."""
    row = defstruct("Account", fields, frozen=True)
    return Table("account", row, key=key, places={"used": places} if ("used", Decimal) in fields else {})


_ID, _HOLDER, _USED, _NOTE = ("id", str), ("holder", str), ("used", Decimal), ("note", str | None)
WIDER = account(_ID, _HOLDER, _USED, _NOTE, ("currency", str))
OTHERS = {
    "a column more": WIDER,
    "a column more that may be empty": account(_ID, _HOLDER, _USED, _NOTE, ("currency", str | None)),
    "a column less": account(_ID, _USED, _NOTE),
    "another type": account(_ID, ("holder", int), _USED, _NOTE),
    "other places": account(_ID, _HOLDER, _USED, _NOTE, places=4),
    "to be filled": account(_ID, _HOLDER, _USED, ("note", str)),
    "to be left empty": account(_ID, ("holder", str | None), _USED, _NOTE),
    "another key": account(_ID, _HOLDER, _USED, _NOTE, key=("id", "holder")),
}


class StateTablesContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path, *tables: Table[Any]) -> TableStore:
        """The store of that folder, with these state tables."""

    def fill(self, folder: Path) -> None:
        """One row, as it was first."""
        with closing(self.open(folder, ACCOUNT)) as store, store.transaction() as transaction:
            transaction.put_state(ACCOUNT, None, STANDS)

    @pytest.mark.parametrize("table", OTHERS.values(), ids=list(OTHERS))
    def test_other_columns_end_the_start(self, tmp_path: Path, table: Table[Any]) -> None:
        """Before a command finds them; nothing is changed."""
        self.fill(tmp_path)
        with pytest.raises(ConfigurationError, match=r"account stands as .* declared is .*mainstem repair"):
            self.open(tmp_path, table)
        with closing(self.open(tmp_path, ACCOUNT)) as store:
            assert list(store.states(ACCOUNT)) == [STANDS]

    def test_a_column_that_is_not_there_is_not_read(self, tmp_path: Path) -> None:
        """Not even as its own name, for which an engine may take it that knows texts in the quotes of names."""
        self.fill(tmp_path)
        with closing(self.open(tmp_path)) as store, pytest.raises(StoreError, match="currency"):
            list(store.states(WIDER))

    @pytest.mark.parametrize("table", OTHERS.values(), ids=list(OTHERS))
    def test_a_table_is_made_anew(self, tmp_path: Path, table: Table[Any]) -> None:
        """Without rows, and a dry run only tells of it."""
        self.fill(tmp_path)
        with closing(self.open(tmp_path)) as store:
            told = store.make_anew(table, dry_run=True)
            assert list(store.states(ACCOUNT)) == [STANDS]
            assert told is not None
            assert [len(columns) for columns in told] == [len(ACCOUNT.columns), len(table.columns)]
            assert store.make_anew(table) == told
            assert store.make_anew(table) is None
        with closing(self.open(tmp_path, table)) as store:
            assert list(store.states(table)) == []

    def test_rows_go_into_a_table_that_was_made_anew(self, tmp_path: Path) -> None:
        """As into any other."""
        self.fill(tmp_path)
        with closing(self.open(tmp_path)) as store:
            store.make_anew(WIDER)
        row = WIDER.row("1", "Ada", Decimal("1.50"), None, "EUR")
        with closing(self.open(tmp_path, WIDER)) as store:
            with store.transaction() as transaction:
                transaction.put_state(WIDER, None, row)
            assert list(store.states(WIDER)) == [row]

    def test_a_table_that_stands_as_declared_or_not_at_all_is_left(self, tmp_path: Path) -> None:
        """With its rows."""
        with closing(self.open(tmp_path)) as store:
            assert store.make_anew(ACCOUNT) is None
        self.fill(tmp_path)
        with closing(self.open(tmp_path)) as store:
            assert store.make_anew(ACCOUNT) is None
            assert list(store.states(ACCOUNT)) == [STANDS]

    @pytest.mark.parametrize("before", [None, STANDS])
    def test_a_row_without_a_value_is_said_to_be_that(self, tmp_path: Path, before: Account | None) -> None:
        """It is the row that is wrong, not what stands."""
        self.fill(tmp_path)
        lacking: Any = None
        row = Account("1" if before else "2", lacking, Decimal(1))
        with closing(self.open(tmp_path, ACCOUNT)) as store:
            with pytest.raises(CodecError, match="holder"), store.transaction() as transaction:
                transaction.put_state(ACCOUNT, before, row)
            assert list(store.states(ACCOUNT)) == [STANDS]
