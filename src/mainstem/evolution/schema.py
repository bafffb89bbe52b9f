"""The JSON Schema of all declared events, and what changes between those of two releases.

A release breaks another where an event that the older one has stored could not be read as it was meant:

- an event that was stored or read has no path to today's any more (removed without an upcaster, its version gone back);
- under the same name and version a field is removed, made required, takes fewer values than before, or has another
  default. What changes like that gets a new version, with an upcaster from the old one.

A new event, a new version with an upcaster, a new field with a default, and a field that takes more values or is
required no more do not.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mainstem.decider import Decider
from mainstem.errors import ConfigurationError
from mainstem.evolution.accepts import Schema, accepts
from mainstem.evolution.upcasting import Upcasting

_FORMAT = 1


class EventSchema(Struct, frozen=True):
    """One event as it is stored today."""

    category: str
    name: str
    version: int
    schema: Schema


class OlderEvent(Struct, frozen=True):
    """A name and version that is not stored any more but still read."""

    category: str
    name: str
    version: int


class EventSchemas(Struct, frozen=True):
    """The events of a release."""

    format: int
    application: str
    events: tuple[EventSchema, ...]
    read: tuple[OlderEvent, ...]


class SchemaChange(Struct, frozen=True):
    """What is otherwise in the newer release, and whether that breaks what the older one has stored."""

    category: str
    event: str
    version: int
    breaking: bool
    what: str


def _schema(event: type[Struct]) -> dict[str, Any]:
    """As it comes back from where it was printed: a default that is a tuple is a list there."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(event)))
    return found


def event_schemas(application: str, deciders: Sequence[Decider[Any, Any, Any]]) -> EventSchemas:
    """Those of the declared events, in the order of their declaration."""
    events: list[EventSchema] = []
    older: list[OlderEvent] = []
    for decider in deciders:
        upcasting = Upcasting(decider.events)
        for event, (name, version) in upcasting.keys.items():
            events.append(EventSchema(decider.category, name, version, _schema(event)))
        older += [OlderEvent(decider.category, *key) for key in upcasting.sources]
    return EventSchemas(_FORMAT, application, tuple(events), tuple(older))


def read_schemas(text: bytes) -> EventSchemas:
    """What `mainstem events schema` has printed. Raises ConfigurationError for anything else."""
    try:
        found = msgspec.json.decode(text, type=EventSchemas)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"these are no schemas of events: {error}") from error
    if found.format != _FORMAT:
        raise ConfigurationError(f"schemas of events in format {found.format}; known is {_FORMAT}")
    return found


def compare(old: EventSchemas, new: EventSchemas) -> list[SchemaChange]:
    """Every change, by the older release's events, then what is new."""
    return [*_of_older(old, new), *_of_newer(old, new)]


def _of_older(old: EventSchemas, new: EventSchemas) -> Iterator[SchemaChange]:
    stored = {(each.category, each.name, each.version): each for each in new.events}
    current = {(each.category, each.name): each.version for each in new.events}
    read = {(each.category, each.name, each.version) for each in new.read}
    for event in old.events:
        key = (event.category, event.name, event.version)
        now = current.get((event.category, event.name))
        if key in stored:
            for what, breaking in _fields(event.schema, stored[key].schema):
                yield SchemaChange(*key, breaking, what)
        elif key in read:
            yield SchemaChange(*key, False, "an upcaster leads on from it" if now is None else f"is upcast to {now}")
        elif now is None:
            yield SchemaChange(*key, True, "is removed, and no upcaster leads on from it")
        elif now < event.version:
            yield SchemaChange(*key, True, f"the version goes back to {now}")
        else:
            yield SchemaChange(*key, True, f"the version is {now}, and no upcaster leads on from {event.version}")
    for older in old.read:
        key = (older.category, older.name, older.version)
        if key not in read and key not in stored:
            yield SchemaChange(*key, True, "was read through an upcaster, which is removed")


def _of_newer(old: EventSchemas, new: EventSchemas) -> Iterator[SchemaChange]:
    known = {(each.category, each.name) for each in old.events} | {(each.category, each.name) for each in old.read}
    for event in new.events:
        if (event.category, event.name) not in known:
            yield SchemaChange(event.category, event.name, event.version, False, "is new")


def _fields(old: Schema, new: Schema) -> Iterator[tuple[str, bool]]:
    """What is otherwise between two schemas of one name and version, and whether it breaks."""
    before, after = _object(old), _object(new)
    fields, today = before.get("properties", {}), after.get("properties", {})
    was_required, required = set(before.get("required", ())), set(after.get("required", ()))
    for name in fields:
        if name not in today:
            yield f"the field {name} is removed", True
            continue
        yield from _demanded(name, name in was_required, name in required)
        if not {name} & (was_required | required) and fields[name].get("default") != today[name].get("default"):
            yield f"the field {name} has another default", True
        if not accepts((new, today[name]), (old, fields[name])):
            yield f"the field {name} takes fewer values", True
        elif not accepts((old, fields[name]), (new, today[name])):
            yield f"the field {name} takes more values", False
    for name in [name for name in today if name not in fields]:
        if name in required:
            yield f"the field {name} is new and required", True
        else:
            yield f"the field {name} is new, with a default", False


def _demanded(name: str, was_required: bool, required: bool) -> Iterator[tuple[str, bool]]:
    if required and not was_required:
        yield f"the field {name} is made required", True
    elif was_required and not required:
        yield f"the field {name} is required no more", False


def _object(schema: Schema) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    found: Mapping[str, Any] = schema if reference is None else schema["$defs"][reference.rpartition("/")[2]]
    return found
