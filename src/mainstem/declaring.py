"""Listeners as typed functions: a decorator names the topic in, the group, and what comes of it.

What the function takes says how a record is read: `Recorded[Opened | Closed]` events, `Change[Row]` changes of a table,
any other type JSON of it. `of=DECIDER` is short for the events of its aggregates: the topic, their decoder, the key and
the position follow from it. What is made is a `Binding`, for the application's `listeners`.
"""

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from msgspec import Struct

from mainstem.application import EVENT_TOPIC
from mainstem.codec import Decoder, recorded_events
from mainstem.decider import Decider
from mainstem.errors import ConfigurationError
from mainstem.listener.binding import Binding
from mainstem.listener.declared import place_of_caller
from mainstem.log.port import Topic
from mainstem.messages import Event, NewRecord, Position, Recorded, by_aggregate
from mainstem.misfit import members, shown
from mainstem.table import Table
from mainstem.view.batched import Batched
from mainstem.view.projection import Fold, Rows

M = TypeVar("M")
R = TypeVar("R", bound=Struct)

_Any = Decider[Any, Any, Any]
_Key = Callable[[Any], tuple[Any, ...]]


def sends(
    *out: Topic, group: str, topic: str = "", of: _Any | None = None, **more: Any
) -> Callable[[Callable[[M], Sequence[NewRecord]]], Binding[M]]:
    """A listener whose function returns the records that a message leads to, on the topics `out`.

    `more` are further fields of the binding. Raises ConfigurationError for a function that says too little.
    """

    def declare(function: Callable[[M], Sequence[NewRecord]]) -> Binding[M]:
        (message,) = _taken(function, 1)
        _check_made(function, NewRecord, many=True)
        return Binding(group=group, emit=function, out=out, **_heard(function, message, topic, of), **more)

    return declare


def keeps(
    table: Table[R],
    *,
    group: str,
    topic: str = "",
    of: _Any | None = None,
    key: _Key | None = None,
    done: Callable[[R, Any], bool] | str | None = None,
    **more: Any,
) -> Callable[[Callable[..., Any]], Binding[Any]]:
    """A listener that keeps a view. Of a function of two parameters it is a fold: the row, and a message.

    Where these are `Mapping[…, Row]` and `Sequence[…]` it is given a batch: the rows by their keys, and messages. Of
    a function that takes a message alone, the rows that it returns are added. `key` says into which row a message is
    folded: that of its aggregate, unless given. `more` are further fields of the binding; `done` is a column's name
    for batches. Raises ConfigurationError for a function whose types are not those of the table and the topic.
    """

    def declare(function: Callable[..., Any]) -> Binding[Any]:
        if len(inspect.signature(function).parameters) == 1:
            (message,) = _taken(function, 1)
            _check_made(function, table.row, many=True)
            projection: Any = Rows(table, function)
        else:
            row, message = _taken(function, 2)
            found = key or (None if of is None else by_aggregate)
            if found is None:
                raise _wrong(function, "needs a key, which says in which row a message is folded")
            if get_origin(message) is Sequence:
                (message,) = get_args(message)
                projection = _batched(function, table, row, found, done)
            else:
                projection = _fold(function, table, row, found, done)
        return Binding(group=group, projection=projection, **_heard(function, message, topic, of), **more)

    return declare


def _fold(function: Callable[..., Any], table: Table[Any], row: Any, key: _Key, done: Any) -> Fold[Any, Any]:
    if table.row not in members(row) or type(None) not in members(row):
        text = f"folds {shown(row)}: its rows are {table.row.__name__} | None, as the table {table.name} has them"
        raise _wrong(function, text)
    _check_made(function, table.row, many=False)
    if isinstance(done, str):
        raise _wrong(function, f"is done by {done!r}: a column tells that of batches; here it is a function")
    return Fold(table, key, function, done)


def _batched(function: Callable[..., Any], table: Table[Any], rows: Any, key: _Key, done: Any) -> Batched[Any, Any]:
    if get_origin(rows) is not Mapping or get_args(rows)[1] is not table.row:
        text = f"is given {shown(rows)}: of a batch the rows are a Mapping of keys to {table.row.__name__}"
        raise _wrong(function, text)
    if done is not None and not isinstance(done, str):
        raise _wrong(function, "is done by a function: of a batch the name of a column tells it")
    return Batched(table, key, function, done)


def _heard(function: Callable[..., Any], message: Any, topic: str, of: _Any | None) -> dict[str, Any]:
    """Topic, decoder, and of an aggregate's events the position."""
    if of is None:
        if not topic:
            raise _wrong(function, "names no topic, and no decider with `of`")
        return {"topic": topic, "decoder": _decoder(function, message)}
    if topic not in ("", EVENT_TOPIC):
        raise _wrong(function, f"hears {topic!r}: the events of a decider are on {EVENT_TOPIC!r}")
    if Recorded not in (message, get_origin(message)):
        raise _wrong(function, f"takes {shown(message)}: events come as Recorded[…]")
    named = [each for payload in get_args(message) for each in members(payload) if each not in (Any, Event)]
    missing = [each.__name__ for each in of.events if named and each not in named]
    if missing:
        raise _wrong(function, f"takes no {', '.join(missing)}, which {of.category} has too")
    decoder: Decoder[Any] = recorded_events(of.events, categories=(of.category,))
    return {"topic": EVENT_TOPIC, "decoder": decoder, "position": _position}


def _decoder(function: Callable[..., Any], message: Any) -> Decoder[Any]:
    if message is Any or isinstance(message, TypeVar):
        raise _wrong(function, "says nothing of its message's type")
    if Recorded not in (message, get_origin(message)):
        return Decoder(message)
    events = [each for payload in get_args(message) for each in members(payload)]
    if not events or not all(map(_is_event, events)):
        raise _wrong(function, f"takes {shown(message)}: name the events, or the decider with `of`")
    return recorded_events(events)


def _is_event(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Event) and type_ is not Event


def _taken(function: Callable[..., Any], number: int) -> list[Any]:
    """The types of the function's parameters."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise _wrong(function, "is asynchronous: what a listener makes of a message it makes at once")
    names = list(inspect.signature(function).parameters)
    if len(names) != number:
        raise _wrong(function, f"takes {len(names)} parameters, not {number}")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise _wrong(function, f"has types that are not known here: {error}") from error
    untyped = [name for name in names if name not in hints]
    if untyped:
        raise _wrong(function, f"says nothing of the type of {', '.join(untyped)}")
    return [hints[name] for name in names]


def _check_made(function: Callable[..., Any], item: type, *, many: bool) -> None:
    """The function returns such an item or, with `many`, several, as far as it says what."""
    made = typing.get_type_hints(function).get("return", Any)
    items = made
    if many and get_origin(made) is not None:
        items = next(iter(get_args(made)), Any) if _is_iterable(get_origin(made)) else None
    elif many and _is_iterable(made):
        items = Any
    if not {item, Any} & set(members(items)):
        wanted = f"Sequence[{item.__name__}]" if many else f"{item.__name__} | None"
        raise _wrong(function, f"returns {shown(made)}, not {wanted}")


def _is_iterable(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Iterable)


def _position(message: Recorded[Any]) -> Position:
    return Position(message.aggregate_id, message.version)


def _wrong(function: Callable[..., Any], text: str) -> ConfigurationError:
    return ConfigurationError(f"the listener {function.__name__}, declared at {place_of_caller()}, {text}")
