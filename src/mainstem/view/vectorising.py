"""Applying columns to a batch: in memory first, as every projection; what fails leaves no trace.

All of it is one thread's: where listeners and the HTTP server share the processor, more of them would only wait.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from operator import attrgetter
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from mainstem.errors import CodecError
from mainstem.messages import Recorded
from mainstem.table import DIGITS_MAX, Column, Table, decimal_text
from mainstem.tenancy import key_of, tenant_of
from mainstem.view.port import ViewRows
from mainstem.view.vectorised import ENVELOPE, Vectorised

R = TypeVar("R", bound=Struct)
_Key = tuple[Hashable, ...]
_Get = Callable[[Table[Any], Sequence[_Key]], dict[Any, Any]]

_TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "real": pa.float64(),
    "bytes": pa.binary(),
}


class WorkingColumns(Generic[R]):
    """What one batch makes of a view by its columns."""

    def __init__(self, projection: Vectorised[R], get: _Get) -> None:
        self._projection = projection
        self._table = projection.table
        self._get = get
        self._key = list(self._table.key)
        self._names = frozenset(map(_name, projection.events))
        integers = {column.name for column in self._table.columns if column.kind == "integer"}
        self._summed = [name for name, how in projection.merge.items() if how == "sum" and name in integers]
        self._schema = pa.schema([(column.name, _type(column)) for column in self._table.columns])
        self._known: dict[_Key, R | None] = {}
        self._changed: dict[_Key, R] = {}

    def handle_all(self, messages: Sequence[Recorded[Any]], numbers: Sequence[int]) -> None:
        """All, or none where it raises."""
        self._take(self._rows(messages, numbers))

    def handle(self, messages: Sequence[Recorded[Any]]) -> None:
        """All of one record, or none where it raises."""
        rows = self._rows(messages, [0] * len(messages))
        for row in rows.values():
            self._table.check(row)
        self._take(rows)

    def write(self, transaction: ViewRows) -> None:
        """What was changed."""
        if self._changed:
            transaction.put(self._table, list(self._changed.values()))

    def touched(self) -> Set[_Key]:
        """Those of the changed rows."""
        return self._changed.keys()

    def held(self) -> int:
        """The rows that are known."""
        return len(self._known)

    def _take(self, rows: Mapping[_Key, R]) -> None:
        self._known.update(rows)
        self._changed.update(rows)

    def _rows(self, messages: Sequence[Recorded[Any]], numbers: Sequence[int]) -> dict[_Key, R]:
        """The rows after these messages."""
        made = self._made(messages)
        if made is not None and self._projection.done is not None and not self._are_new(made, self._projection.done):
            made = self._made(_once(messages, numbers))
            made = None if made is None else self._further(made, self._projection.done)
        if made is None:
            return {}
        partial = self._merged(made)
        keys = self._keys(partial)
        self._load(keys)
        standing = [row for key in keys if (row := self._known[key]) is not None]
        merged = self._merged(pa.concat_tables([self._arrow(standing), partial])) if standing else partial
        return {self._table.key_of(row): row for row in self._typed(merged)}

    def _made(self, events: Sequence[Recorded[Any]]) -> Any:
        """What `make` says, in the form of the table; None where there is nothing for it."""
        types = {type(event.payload) for event in events}
        own = {type_ for type_ in types if _name(type_) in self._names}
        if not own:
            return None
        if own != types:
            events = [event for event in events if type(event.payload) in own]
        made = self._projection.make(_batch(self._projection.read, events))
        if set(made.column_names) != set(self._schema.names):
            text = f"columns {sorted(made.column_names)} were made for {self._table.name}"
            raise CodecError(f"{text}, which has {sorted(self._schema.names)}")
        return self._fitting(made.select(self._schema.names))

    def _fitting(self, rows: Any) -> Any:
        """In the types of the table. Raises CodecError."""
        try:
            return rows.cast(self._schema)
        except pa.ArrowInvalid as error:
            raise CodecError(f"what was made for {self._table.name} does not fit it: {error}") from error

    def _merged(self, rows: Any) -> Any:
        """One row for each key, in the order in which keys come."""
        merge = self._projection.merge
        for name in self._summed:
            rows = _widened(rows, name)
        found = rows.group_by(self._key, use_threads=False).aggregate(list(merge.items()))
        names = [name if name in self._key else f"{name}_{merge[name]}" for name in self._schema.names]
        return self._fitting(found.select(names).rename_columns(self._schema.names))

    def _keys(self, rows: Any) -> list[_Key]:
        return list(zip(*(rows[name].to_pylist() for name in self._key), strict=True))

    def _load(self, keys: Iterable[_Key]) -> None:
        missing = [key for key in keys if key not in self._known]
        stands = self._get(self._table, missing) if missing else {}
        self._known.update((key, stands.get(key)) for key in missing)

    def _are_new(self, made: Any, done: str) -> bool:
        """Whether no version comes again: most often so, and told without a look at each."""
        counts = [(done, "min"), (done, "count"), (done, "count_distinct")]
        found = made.group_by(self._key, use_threads=False).aggregate(counts)
        if not pc.all(pc.equal(found[f"{done}_count"], found[f"{done}_count_distinct"])).as_py():
            return False
        keys = self._keys(found)
        self._load(keys)
        lowest = zip(keys, found[f"{done}_min"].to_pylist(), strict=True)
        return all((row := self._known[key]) is None or getattr(row, done) < low for key, low in lowest)

    def _further(self, made: Any, done: str) -> Any:
        """Of what was made what the rows that stand have not yet."""
        keys = self._keys(made)
        self._load(dict.fromkeys(keys))
        rows = zip((self._known[key] for key in keys), made[done].to_pylist(), strict=True)
        return made.filter(pa.array([row is None or version > getattr(row, done) for row, version in rows], pa.bool_()))

    def _arrow(self, rows: Sequence[R]) -> Any:
        columns = [_array(column, map(attrgetter(column.name), rows)) for column in self._table.columns]
        return pa.table(columns, schema=self._schema)

    def _typed(self, rows: Any) -> Iterable[R]:
        """Values of Arrow are those of the row's types."""
        names, row = self._schema.names, self._table.row
        for values in zip(*(column.to_pylist() for column in rows.columns), strict=True):
            yield row(**dict(zip(names, values, strict=True)))


def _widened(rows: Any, name: str) -> Any:
    """With integers that could have a sum of more than 64 bits in a type that holds it: Arrow would begin anew at 0."""
    found = pc.min_max(rows[name]).as_py()
    if max(abs(found["min"] or 0), abs(found["max"] or 0)) * rows.num_rows < 2**63:
        return rows
    return rows.set_column(rows.column_names.index(name), name, rows[name].cast(pa.decimal128(38, 0)))


def _name(type_: type[Struct]) -> Any:
    """Under which an event is stored."""
    return type_.__struct_config__.tag


def _once(events: Sequence[Recorded[Any]], numbers: Sequence[int]) -> Sequence[Recorded[Any]]:
    """Without those that come again within the batch: events of one stream come in the order of their versions."""
    highest: dict[str, tuple[int, int]] = {}
    found = []
    for number, event in zip(numbers, events, strict=True):
        version, record = highest.get(event.stream, (0, number))
        if event.version > version:
            highest[event.stream] = (event.version, number)
        elif record != number:
            continue
        found.append(event)
    return found


def _batch(columns: Sequence[Column], events: Sequence[Recorded[Any]]) -> Any:
    """The events as an Arrow table."""
    payloads = [event.payload for event in events]
    arrays = {}
    for column in columns:
        make = _VALUES.get(column.name)
        if make is not None:
            values = make(events)
        elif column.name in ENVELOPE:
            values = map(attrgetter(column.name), events)
        else:
            values = _fields(column.name, payloads)
        arrays[column.name] = _array(column, values)
    return pa.table(arrays)


def _fields(name: str, payloads: Sequence[Struct]) -> Iterable[Any]:
    """Of each the field, None where it has none."""
    types: set[type[Struct]] = set(map(type, payloads))
    having = {type_ for type_ in types if name in type_.__struct_fields__}
    if having == types:
        return map(attrgetter(name), payloads)
    return [getattr(payload, name) if type(payload) in having else None for payload in payloads]


def _of_stream(function: Callable[[str], str | None]) -> Callable[[Sequence[Recorded[Any]]], Iterable[str | None]]:
    """What the stream's name tells, found once for each."""

    def values(events: Sequence[Recorded[Any]]) -> Iterable[str | None]:
        streams = [event.stream for event in events]
        found = {stream: function(stream) for stream in set(streams)}
        return map(found.__getitem__, streams)

    return values


_VALUES: dict[str, Callable[[Sequence[Recorded[Any]]], Iterable[str | None]]] = {
    "aggregate_id": _of_stream(key_of),
    "tenant": _of_stream(tenant_of),
    "type": lambda events: [_name(type(event.payload)) for event in events],
}


def _type(column: Column) -> Any:
    return pa.decimal128(DIGITS_MAX, column.places) if column.kind == "decimal" else _TYPES[column.kind]


def _array(column: Column, values: Iterable[Any]) -> Any:
    if column.kind != "decimal":
        return pa.array(list(values), _type(column))
    found = list(values)
    texts = pa.array([None if value is None else str(value) for value in found], pa.string())
    if pc.any(pc.match_substring(texts, "E")).as_py():
        # Of an exponent Arrow reads beyond its table of powers.
        plain = [None if value is None else decimal_text(value, column.places) for value in found]
        texts = pa.array(plain, pa.string())
    try:
        return texts.cast(_type(column))
    except pa.ArrowInvalid as error:
        raise CodecError(f"a value of {column.name} is no decimal of {column.places} places: {error}") from error
