"""Questions to a view as statements: one text for all engines, with what differs between them named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import Any, TypeVar

from msgspec import Struct

from mainstem.table import Table, quoted
from mainstem.view.question import Question

R = TypeVar("R", bound=Struct)

_EACH_MAX = 32
"""Keys to a statement."""


@dataclass(frozen=True)
class Dialect:
    """How an engine quotes names and marks values; whether it holds decimals as such, or as text.

    `compares_rows`: an index serves `(a, b) > (?, ?)`. `nulls_first`: NULL comes before all values, unasked.
    """

    quoted: Callable[..., str] = quoted
    mark: str = "?"
    decimals: bool = True
    compares_rows: bool = True
    nulls_first: bool = False

    def names(self, table: Table[Any]) -> str:
        """The table's columns as SQL lists them."""
        return self.quoted(*(column.name for column in table.columns))

    def qualified(self, table: Table[Any]) -> str:
        """The same with the table's name before each."""
        return ", ".join(f"{self.quoted(table.name)}.{self.quoted(column.name)}" for column in table.columns)

    def select(self, table: Table[Any]) -> str:
        """All rows."""
        return f"SELECT {self.names(table)} FROM {self.quoted(table.name)}"

    def find(self, table: Table[Any], asked: Question, *, descending: bool) -> tuple[str, list[Any]]:
        """The statement, and what is bound before its limit."""
        conditions, values = list[str](), list[Any]()
        for name, value in asked.where:
            conditions.append(f"{self.quoted(name)} {'IS NULL' if value is None else f'= {self.mark}'}")
            values += [] if value is None else [self._bound(table, name, value)]
        if asked.after is not None:
            condition, more = self.behind(table, asked.order, asked.after, descending=descending)
            conditions.append(condition)
            values += more
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"{self.select(table)}{where}{self.order(table, asked.order, descending=descending)}", values

    def find_each(
        self,
        ask: Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]],
        table: Table[R],
        keys: Sequence[tuple[Any, ...]],
        *,
        descending: bool,
        after: Any,
        limit: int,
    ) -> dict[tuple[Any, ...], list[R]]:
        """As `ViewStore.find_each`, many keys to a statement; `ask` has the rows of one, in whatever order."""
        one, end = self._of_one(table, after is not None, descending), (limit,) if after is None else (after, limit)
        found = list[tuple[Any, ...]]()
        for start in range(0, len(keys), _EACH_MAX):
            part = keys[start : start + _EACH_MAX]
            sql = " UNION ALL ".join([f"SELECT * FROM ({one}) AS rows_of_one"] * len(part)) if len(part) > 1 else one
            found += ask(sql, [value for key in part for value in (*key, *end)])
        return grouped(table, keys, found, descending=descending)

    def _of_one(self, table: Table[Any], begins_behind: bool, descending: bool) -> str:
        *first, last = table.key
        conditions = [f"{self.quoted(name)} = {self.mark}" for name in first]
        if begins_behind:
            conditions.append(f"{self.quoted(last)} {'<' if descending else '>'} {self.mark}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"{self.select(table)}{where}{self.order(table, [last], descending=descending)}"

    def order(self, table: Table[Any], names: Sequence[str], *, descending: bool) -> str:
        """The end of a statement: by these columns, so many as are bound."""
        nullable = {column.name for column in table.columns if column.nullable and not self.nulls_first}
        direction, nulls = (" DESC", " NULLS LAST") if descending else ("", " NULLS FIRST")
        by = (f"{self.quoted(name)}{direction}{nulls if name in nullable else ''}" for name in names)
        return f" ORDER BY {', '.join(by)} LIMIT {self.mark}"

    def behind(
        self, table: Table[Any], names: Sequence[str], after: Sequence[Any], *, descending: bool
    ) -> tuple[str, list[Any]]:
        """The condition for rows behind these values in the order of these columns, in the form that uses an index."""
        begin = [self._bound(table, name, value) for name, value in zip(names, after, strict=True)]
        than = "<" if descending else ">"
        if self.compares_rows:
            return f"({self.quoted(*names)}) {than} ({', '.join([self.mark] * len(names))})", begin
        parts, values = list[str](), list[Any]()
        for number, name in enumerate(names):
            same = "".join(f"{self.quoted(before)} = {self.mark} AND " for before in names[:number])
            parts.append(f"({same}{self.quoted(name)} {than} {self.mark})")
            values += begin[: number + 1]
        return f"({' OR '.join(parts)})", values

    def _bound(self, table: Table[Any], name: str, value: Any) -> Any:
        """A decimal as a number: compared with text, an engine would make a double of it."""
        kind = next(column.kind for column in table.columns if column.name == name)
        if self.decimals and kind == "decimal" and value is not None:
            return Decimal(value)
        return value


def grouped(
    table: Table[R], keys: Sequence[tuple[Any, ...]], rows: Sequence[tuple[Any, ...]], *, descending: bool
) -> dict[tuple[Any, ...], list[R]]:
    """Stored rows by all of their key but its last column, in the order of that."""
    found: dict[tuple[Any, ...], list[tuple[Any, R]]] = {key: [] for key in keys}
    for row in map(table.from_values, rows):
        *first, last = table.key_of(row)
        found[tuple(first)].append((last, row))
    return {key: [row for _, row in sorted(own, key=itemgetter(0), reverse=descending)] for key, own in found.items()}
