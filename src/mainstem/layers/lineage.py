"""From a figure down to the changes that made it: each row with the rows of the layer before that it was made of."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mainstem.errors import InvalidQuery
from mainstem.layers.declared import Below, Layer, Layers
from mainstem.table import Table
from mainstem.view.port import ViewStore

ROWS_MAX = 10_000
"""How many rows one answer holds in all."""


class Traced(Struct, frozen=True, rename="camel"):
    """A row of a layer as JSON has it, and what it was made of; `more` says that there is more of that than is shown.

    Of a page, the next begins behind the key of the last of `made_of`, which its `key` tells.
    """

    layer: str
    table: str
    key: str
    row: dict[str, Any]
    made_of: list["Traced"]
    more: bool = False


def trace(
    views: ViewStore, layers: Layers, layer: Layer, where: Mapping[str, Any], *, limit: int, behind: str | None = None
) -> list[Traced]:
    """The rows of the layer whose columns equal `where`, by key, at most `limit`, each with all that is below it.

    Of each row at most `limit` are shown that it was made of. With `behind` those of the first level below begin behind
    that key. An answer has a bound of ROWS_MAX rows. Raises InvalidQuery for a column that the layer does not have.
    """
    tracing = _Tracing(views, layers, limit)
    found = [(table, row) for table in layer.tables for row in tracing.rows(Below(table, where))]
    return [tracing.of(layer, table, row, behind) for table, row in found[:limit]]


class _Tracing:
    def __init__(self, views: ViewStore, layers: Layers, limit: int) -> None:
        self._views, self._layers, self._limit = views, layers, limit
        self._left = ROWS_MAX

    def rows(self, below: Below, behind: str | None = None) -> Sequence[Any]:
        """One more than are shown, where there is one more."""
        table, where = below
        after = None if behind is None else (behind,)
        if after is not None and len(table.key) != 1:
            raise InvalidQuery(f"{table.name} has no pages: its key has {len(table.key)} columns")
        return self._views.find(table, where, order=table.key, after=after, limit=self._limit + 1)

    def of(self, layer: Layer, table: Table[Any], row: Any, behind: str | None = None) -> Traced:
        self._left -= 1
        made_of: list[Traced] = []
        more = False
        for below in layer.made_of(row):
            found = self.rows(below, behind)
            under = self._layers.of_table(below.table)
            for each in found:
                if len(made_of) == self._limit or self._left <= 0:
                    more = True
                    break
                made_of.append(self.of(under, below.table, each))
        key = "/".join(map(str, table.key_of(row)))
        return Traced(layer.name, table.name, key, shown_row(row), made_of, more)


def shown_row(row: Struct) -> dict[str, Any]:
    """A row as JSON has it: a value that is JSON itself as such, other bytes as text, or as base64."""
    return {name: _shown(value) for name, value in msgspec.structs.asdict(row).items()}


def _shown(value: Any) -> Any:
    if not isinstance(value, bytes):
        return msgspec.to_builtins(value)
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return msgspec.to_builtins(value)


def conditions(tables: Sequence[Table[Any]], texts: Sequence[str]) -> dict[str, Any]:
    """COLUMN=VALUE texts as values of the columns, which all of the tables must have.

    Raises InvalidQuery where there is no such column, or the value is none of it.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name in found:
            raise InvalidQuery(f"{name} is asked for twice: a row has one value of it")
        for table in tables:
            kinds = {field.name: field.type for field in msgspec.structs.fields(table.row)}
            if not equals or name not in kinds:
                raise InvalidQuery(f"{text[:40]!r} is no COLUMN=VALUE: {table.name} has {', '.join(kinds)}")
            try:
                found[name] = msgspec.convert(value, kinds[name], strict=False)
            except msgspec.ValidationError as error:
                raise InvalidQuery(f"{name} cannot be {value[:40]!r}: {error}") from error
    return found
