"""Declared tables: a typed row, its key and its indexes, from which each engine makes its own table.

State rows of the write side and rows of views are declared the same way.
"""

import math
import re
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from operator import attrgetter, contains
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar

import msgspec

from mainstem.errors import CodecError, ConfigurationError

R = TypeVar("R", bound=msgspec.Struct)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
DIGITS_MAX = 18
"""Of a decimal: as many as 64 bits hold without a loss."""

_KEYS: dict[str, type] = {"boolean": int, "real": Real}
"""Kinds of which a key may have other values, which are the same as a row's."""

_KINDS: dict[type, str] = {
    str: "text",
    int: "integer",
    bool: "boolean",
    float: "real",
    bytes: "bytes",
    Decimal: "decimal",
}
_TYPES = {kind: type_ for type_, kind in _KINDS.items()}

_TAKEN: dict[str, tuple[type, ...]] = {"boolean": (int,), "real": (int, float), "decimal": (int, Decimal)}
"""What a column takes beside its own type, where it is the same value."""


@dataclass(frozen=True)
class Column:
    """One column: its kind is text, integer, boolean, real, bytes or decimal (then with `places` after the point)."""

    name: str
    kind: str
    nullable: bool
    places: int = 0


@dataclass(frozen=True)
class Table(Generic[R]):
    """A table of rows of one frozen Struct type; its columns are the Struct's fields in their order.

    `key` names the primary key's columns, `indexes` further indexes; `places` the digits after the point of Decimal
    columns (2 unless named); `words` a text column that `mainstem.words.searchable` makes, in which is searched. Raises
    ConfigurationError for names, types and keys that no engine could hold.
    """

    name: str
    row: type[R]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    places: dict[str, int] = field(default_factory=dict)
    words: str | None = None
    columns: tuple[Column, ...] = field(init=False)
    _types: tuple[frozenset[type], ...] = field(init=False, repr=False)
    _writers: tuple[tuple[int, Callable[[Any], Any]], ...] = field(init=False, repr=False)
    _constrained: bool = field(init=False, repr=False)
    _key_types: tuple[type, ...] = field(init=False, repr=False)
    _key_of: Callable[[Any], Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        columns = tuple(columns_of(self.row, self.places))
        names = {column.name for column in columns}
        for name in (self.name, *names):
            if not _NAME.fullmatch(name):
                raise ConfigurationError(f"{name!r} of table {self.name!r} is not a lower-case identifier")
        for name in (*self.key, *(c for index in self.indexes for c in index), *self.places):
            if name not in names:
                raise ConfigurationError(f"table {self.name} has no column {name!r}; it has {sorted(names)}")
        if self.words is not None and Column(self.words, "text", nullable=False) not in columns:
            raise ConfigurationError(f"table {self.name} has no column {self.words!r} of text for its words")
        object.__setattr__(self, "columns", columns)
        kinds = {each.name: each.kind for each in columns}
        self._check_key()
        for name in self.places:
            if kinds[name] != "decimal":
                raise ConfigurationError(f"table {self.name} has places for {name!r}, which is {kinds[name]}")
        object.__setattr__(self, "_key_types", tuple(_KEYS.get(kinds[name], _TYPES[kinds[name]]) for name in self.key))
        object.__setattr__(self, "_key_of", attrgetter(*self.key))
        own = (frozenset([_TYPES[c.kind], NoneType] if c.nullable else [_TYPES[c.kind]]) for c in columns)
        object.__setattr__(self, "_types", tuple(own))
        writers = ((number, _writer(column)) for number, column in enumerate(columns))
        object.__setattr__(self, "_writers", tuple((number, writer) for number, writer in writers if writer))
        plain, full = (typing.get_type_hints(self.row, include_extras=extras) for extras in (False, True))
        object.__setattr__(self, "_constrained", plain != full)

    def _check_key(self) -> None:
        if not self.key:
            raise ConfigurationError(f"table {self.name} has no key")
        if len(set(self.key)) < len(self.key):
            raise ConfigurationError(f"the key {self.key} of table {self.name} names a column twice")
        for column in self.columns:
            if column.name in self.key and (column.nullable or column.kind == "decimal"):
                why = (
                    "may be None: name a value for that" if column.nullable else "is a Decimal: make it a str or an int"
                )
                raise ConfigurationError(f"{column.name} is in the key of table {self.name}, and {why}")

    def values(self, row: R) -> tuple[Any, ...]:
        """The row as plain values in column order: decimals as exact text, booleans as 0 and 1.

        Raises CodecError for what is no row of this table, or has a value of another type than its column. Whole
        numbers are taken as Decimal or float, and values of a type's own kinds as that type: nothing is lost by it.
        """
        found = self._in_own_types(self._plain(row))
        values = self._written(found) if self._writers else found
        if self._constrained:
            self.from_values(values)
        return values

    def exact(self, row: R) -> R:
        """The row with each value in its column's own type. Raises CodecError as `values` does."""
        plain = self._plain(row)
        found = self._in_own_types(plain)
        return row if found is plain else self.row(**dict(zip(self.row.__struct_fields__, found, strict=True)))

    def _plain(self, row: R) -> tuple[Any, ...]:
        if not isinstance(row, self.row):
            raise CodecError(f"a {type(row).__name__} is no row of {self.name}, whose rows are {self.row.__name__}")
        return msgspec.structs.astuple(row)

    def _in_own_types(self, plain: tuple[Any, ...]) -> tuple[Any, ...]:
        own = len(plain) == len(self._types) and all(map(contains, self._types, map(type, plain)))
        return plain if own else self._exact(plain)

    def all_values(self, rows: Sequence[R]) -> list[tuple[Any, ...]]:
        """As `values` of each, column by column where nothing stands in the way: that takes less time."""
        if set(map(type, rows)) == {self.row} and not self._constrained:
            columns: list[Sequence[Any]] = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
            if all(set(map(type, column)) <= own for column, own in zip(columns, self._types, strict=True)):
                with suppress(CodecError):  # told below with its column
                    for number, write in self._writers:
                        columns[number] = [None if value is None else write(value) for value in columns[number]]
                    return list(zip(*columns, strict=True))
        return list(map(self.values, rows))

    def _written(self, exact: Sequence[Any]) -> tuple[Any, ...]:
        values = list(exact)
        for number, writer in self._writers:
            if values[number] is not None:
                try:
                    values[number] = writer(values[number])
                except CodecError as error:
                    raise CodecError(f"{error}, in column {self.columns[number].name} of {self.name}") from error
        return tuple(values)

    def _exact(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """In the columns' own types, where nothing is lost by it. Raises CodecError where something were."""
        if len(values) != len(self.columns):
            raise CodecError(f"a row of {len(values)} columns is no row of {self.name}, which has {len(self.columns)}")
        return tuple(self._fitting(column, value) for column, value in zip(self.columns, values, strict=True))

    def _fitting(self, column: Column, value: Any) -> Any:
        type_ = _TYPES[column.kind]
        if type(value) is type_ or (value is None and column.nullable):
            return value
        if not isinstance(value, _TAKEN.get(column.kind, type_)):
            text = f"it is {type(value).__name__}, and the column {type_.__name__}"
            raise CodecError(f"{value!r:.100} does not fit column {column.name} of {self.name}: {text}")
        try:
            exact = str.__str__(value) if column.kind == "text" else type_(value)
        except OverflowError:  # a float of a number beyond all floats
            exact = None
        if exact != value:
            raise CodecError(f"{value!r:.100} does not fit column {column.name} of {self.name}")
        return exact

    def check(self, row: R) -> None:
        """Raises CodecError for a row that no table could hold, which `values` alone does not find."""
        for column, value in zip(self.columns, self.values(row), strict=True):
            if column.kind == "integer":
                fits = value is None or -(2**63) <= value < 2**63
            else:
                fits = column.kind != "text" or value is None or _is_unicode(value)
            if not fits:
                raise CodecError(f"{value!r:.100} does not fit column {column.name} of {self.name}")

    def check_keys(self, keys: Iterable[Any]) -> None:
        """Raises CodecError for what is the key of no row: not a tuple with a value of each of the key's columns."""
        types = self._key_types
        for key in keys:
            if not isinstance(key, tuple) or len(key) != len(types) or not all(map(isinstance, key, types)):
                columns = ", ".join(f"{name}: {type_.__name__}" for name, type_ in zip(self.key, types, strict=True))
                raise CodecError(f"{key!r:.100} is no key of {self.name}: that is a tuple of {columns}")

    def check_places(self, rows: Iterable[tuple[Any, R | None]]) -> None:
        """Raises CodecError for a row that is to stand under another key than its own: it would not be found again."""
        for key, row in rows:
            if row is not None and self.key_of(row) != key:
                raise CodecError(
                    f"the row for the key {key!r:.100} of {self.name} has the key {self.key_of(row)!r:.100}"
                )

    def key_of(self, row: R) -> tuple[Any, ...]:
        """The values of the row's key."""
        key = self._key_of(row)
        return key if len(self.key) > 1 else (key,)

    def from_values(self, values: Sequence[Any]) -> R:
        """The typed row of stored values in column order. Raises CodecError where they do not fit the row's type."""
        named = dict(zip(self.row.__struct_fields__, values, strict=True))
        try:
            return msgspec.convert(named, self.row, strict=False)
        except msgspec.ValidationError as error:
            raise CodecError(f"a row of {self.name} is not a {self.row.__name__}: {error}") from error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


@lru_cache(maxsize=1_024)
def quoted(*names: str) -> str:
    """Names of tables or columns as SQL takes them, so that `order` and `limit` are names like any other."""
    return ", ".join(f'"{name}"' for name in names)


def described(name: str, kind: str, nullable: bool, key: int) -> str:
    """A column as it stands in an engine, so that it can be held against the declared one; `key` from 1, 0 for none."""
    return f"{name} {kind}{'' if nullable else ' NOT NULL'}{f' KEY {key}' if key else ''}"


def declared(table: Table[Any], type_of: Callable[[Column], str]) -> list[str]:
    """The declared columns, each as `described`."""
    places = {name: number for number, name in enumerate(table.key, 1)}
    return [described(each.name, type_of(each), each.nullable, places.get(each.name, 0)) for each in table.columns]


def decimal_text(value: Decimal, places: int) -> str:
    """Exact text with that many digits after the point.

    Raises CodecError where the value has more, has more than 18 in all, or is no number.
    """
    plain = str(value)
    if places and plain[-places - 1 : -places] == "." and len(plain) <= DIGITS_MAX:
        return plain  # as it is in nearly all cases; an exponent or NaN has no point there
    if not value.is_finite():
        raise CodecError(f"{value} is not a finite decimal")
    if value and value.adjusted() >= DIGITS_MAX - places:
        raise CodecError(f"{value:.30} has more than {DIGITS_MAX} digits")
    text = f"{value:.{places}f}"
    if Decimal(text) != value:
        raise CodecError(f"{value} has more than {places} digits after the point")
    return text


def columns_of(
    row: type[msgspec.Struct], places: Mapping[str, int], only: Collection[str] | None = None
) -> list[Column]:
    """A Struct's fields, or those that are named in `only`, as columns. Raises ConfigurationError for other types."""
    hints = typing.get_type_hints(row)
    columns = []
    for name in row.__struct_fields__:
        if only is not None and name not in only:
            continue
        hint, nullable = hints[name], False
        arguments = typing.get_args(hint)
        if isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union:
            nullable = NoneType in arguments
            one, *others = (each for each in arguments if each is not NoneType)
            hint = hint if others else one
        kind = _KINDS.get(hint)
        if kind is None:
            text = f"a column is one of {', '.join(type_.__name__ for type_ in _KINDS)}, or one of them or None"
            raise ConfigurationError(f"{row.__name__}.{name} is {hints[name]}; {text}")
        digits = places.get(name, 2) if kind == "decimal" else 0
        if not 0 <= digits <= DIGITS_MAX:
            raise ConfigurationError(f"{row.__name__}.{name} has {digits} places; 0 to {DIGITS_MAX} are possible")
        columns.append(Column(name, kind, nullable, digits))
    return columns


def _writer(column: Column) -> Callable[[Any], Any] | None:
    if column.kind == "decimal":
        places = column.places
        return lambda value: decimal_text(value, places)
    if column.kind == "real":
        return _finite
    return int if column.kind == "boolean" else None


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise CodecError(f"{value} is not a finite number")
    return value
