"""Marks: which text fields of commands, events, states and rows are personal data, and whose.

A marked field holds a token wherever it is kept, which is a text too: so a mark changes no type, table or schema.
"""

import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Struct

from mainstem.errors import ConfigurationError
from mainstem.tenancy import qualified, read_stream

AGGREGATE = "(aggregate)"
"""In `Personal.of`: the subject is the aggregate that the message is for, and its kind is the category."""

_KNOWN: "WeakKeyDictionary[type[Struct], tuple[Mark, ...]]" = WeakKeyDictionary()
_KIND = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Personal:
    """Marks a field of type `str` or `str | None`: `holder: Annotated[str, Personal(of="customer")]`.

    `of` names the field of the same struct that holds the id of the subject, or is `AGGREGATE`. A subject is known as
    ``kind:id``; `kind` is what `of` names unless given. `what` says what the datum is, and is the field's own name
    unless given: a token opens under that name alone, whatever struct it has come to.
    """

    of: str
    kind: str = ""
    what: str = ""


@dataclass(frozen=True)
class Mark:
    """A marked field. `of` is None where the subject is the aggregate; `kind` is empty where it is its category."""

    field: str
    of: str | None
    kind: str
    what: str

    def subject(self, message: Struct, stream: str) -> str | None:
        """Whose datum it is, as ``kind:id``, a tenant's as ``/tenant/kind:id``; None where nobody is named."""
        tenant, category, aggregate_id = read_stream(stream)
        found = aggregate_id if self.of is None else getattr(message, self.of)
        return qualified(tenant, f"{self.kind or category}:{found}") if found else None


def marks_of(struct: type[Struct]) -> tuple[Mark, ...]:
    """Its marked fields. Raises ConfigurationError for a mark that cannot work."""
    found = _KNOWN.get(struct)
    if found is None:
        found = _KNOWN[struct] = _found(struct)
    return found


def _found(struct: type[Struct]) -> tuple[Mark, ...]:
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    found = []
    for name, hint in fields.items():
        marks = list(_marks_in(hint))
        if marks:
            found.append(_mark(struct, name, marks, fields))
        else:
            _check_within(struct, name, hint)
    return tuple(found)


def _mark(struct: type[Struct], name: str, marks: list[Personal], fields: dict[str, Any]) -> Mark:
    where = f"{struct.__name__}.{name}"
    mark = marks[0]
    if len(marks) > 1 or not _is_text(fields[name]):
        raise ConfigurationError(f"{where} is marked as personal: it must be a str, or str | None, without limits")
    of = None if mark.of == AGGREGATE else mark.of
    if of is not None and (of not in fields or not _is_text(fields[of]) or list(_marks_in(fields[of]))):
        raise ConfigurationError(f"{where} is personal data of {of!r}, which is no unmarked text field of the struct")
    kind = mark.kind or of or ""
    if kind and not _KIND.fullmatch(kind):
        raise ConfigurationError(f"{where} is personal data of the kind {kind!r}, which is no lower-case identifier")
    return Mark(name, of, kind, mark.what or name)


def _marks_in(hint: Any) -> Iterator[Personal]:
    """Those of the hint itself, or of a branch of the union that it is."""
    if typing.get_origin(hint) is typing.Annotated:
        yield from (each for each in hint.__metadata__ if isinstance(each, Personal))
        yield from _marks_in(hint.__origin__)
    elif isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union:
        for branch in typing.get_args(hint):
            yield from _marks_in(branch)


def _is_text(hint: Any) -> bool:
    """Whether it takes any text, and beside that None at most: a token is longer than what it stands for."""
    try:
        found = msgspec.inspect.type_info(hint)
    except TypeError:
        return False
    branches = found.types if isinstance(found, msgspec.inspect.UnionType) else (found,)
    plain = msgspec.inspect.StrType()
    return plain in branches and all(each in (plain, msgspec.inspect.NoneType()) for each in branches)


def _check_within(struct: type[Struct], name: str, hint: Any) -> None:
    """Raises ConfigurationError where something inside the field is marked, which nobody would close."""
    seen: set[Any] = set()
    waiting: list[Any] = [hint]
    while waiting:
        inner = waiting.pop()
        if not _is_hashable(inner) or inner in seen:
            continue
        seen.add(inner)
        if isinstance(inner, type) and issubclass(inner, Struct):
            nested = [field.type for field in msgspec.structs.fields(inner)]
            if any(list(_marks_in(each)) for each in nested):
                text = f"has marked fields of {inner.__name__} in it: mark fields of the message itself"
                raise ConfigurationError(f"{struct.__name__}.{name} {text}")
            waiting.extend(nested)
        if isinstance(inner, Personal):
            raise ConfigurationError(f"{struct.__name__}.{name} has a mark in it: mark a field that is a text itself")
        waiting.extend(typing.get_args(inner))


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
