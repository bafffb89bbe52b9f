"""Whether a type takes the JSON of another, as far as that can be told before any message has come.

A field that the taker does not have is left out in silence, as the decoder does; one that it needs must be there.
What cannot be told (a text that may or may not be a number, a type of somebody's own) is taken to fit.
"""

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import inspect

_Kinds = frozenset[str]

_KINDS: dict[type[inspect.Type], _Kinds] = {
    inspect.NoneType: frozenset({"null"}),
    inspect.BoolType: frozenset({"a truth value"}),
    inspect.IntType: frozenset({"a number"}),
    inspect.FloatType: frozenset({"a number"}),
    inspect.DecimalType: frozenset({"a number", "a text"}),
    inspect.StrType: frozenset({"a text"}),
    inspect.BytesType: frozenset({"a text"}),
    inspect.DateTimeType: frozenset({"a text"}),
    inspect.DateType: frozenset({"a text"}),
    inspect.TimeType: frozenset({"a text"}),
    inspect.UUIDType: frozenset({"a text"}),
    inspect.ListType: frozenset({"an array"}),
    inspect.VarTupleType: frozenset({"an array"}),
    inspect.TupleType: frozenset({"an array"}),
    inspect.SetType: frozenset({"an array"}),
    inspect.FrozenSetType: frozenset({"an array"}),
    inspect.DictType: frozenset({"an object"}),
    inspect.StructType: frozenset({"an object"}),
    inspect.TypedDictType: frozenset({"an object"}),
    inspect.DataclassType: frozenset({"an object"}),
}


def misfit(taken: Any, carried: Any) -> str | None:
    """Why a decoder of the type `taken` cannot take what is `carried`; None where it can, or nobody can tell."""
    if taken == carried:
        return None
    return _misfit(inspect.type_info(taken), inspect.type_info(carried), "", frozenset())


def shown(type_: Any) -> str:
    """A type as people write it: without modules, of a long union the first members."""
    arguments = get_args(type_)
    origin = get_origin(type_)
    if type_ is type(None):
        return "None"
    if not arguments:
        return getattr(type_, "__name__", str(type_))
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        return f"{origin.__name__}[{', '.join(map(shown, arguments))}]"
    names = [shown(each) for each in arguments[:3]]
    return " | ".join([*names, *(["…"] if len(arguments) > 3 else [])])


def members(type_: Any) -> tuple[Any, ...]:
    """Those of a union, or the type itself."""
    return get_args(type_) if isinstance(type_, UnionType) or get_origin(type_) is Union else (type_,)


def _misfit(taken: inspect.Type, carried: inspect.Type, at: str, met: frozenset[tuple[str, str]]) -> str | None:
    taken, carried = _bare(taken), _bare(carried)
    if isinstance(carried, inspect.UnionType):
        return next(filter(None, (_misfit(taken, each, at, met) for each in carried.types)), None)
    if isinstance(taken, inspect.UnionType):
        found = [_misfit(each, carried, at, met) for each in _like(taken, carried)]
        return f"{_place(at)} may be {_told(carried)}" if not found else None if None in found else found[0]
    kinds = _KINDS.get(type(taken)), _KINDS.get(type(carried))
    if None in kinds:
        return None
    if not (kinds[0] or frozenset()) & (kinds[1] or frozenset()):
        return f"{_place(at)} is {_told(carried)}, not {_told(taken)}"
    if isinstance(taken, inspect.StructType) and isinstance(carried, inspect.StructType):
        pair = (repr(taken.cls), repr(carried.cls))
        return None if pair in met else next(_of_structs(taken, carried, at, met | {pair}), None)
    return None


def _of_structs(
    taken: inspect.StructType, carried: inspect.StructType, at: str, met: frozenset[tuple[str, str]]
) -> Iterator[str]:
    if taken.tag is not None and (taken.tag, taken.tag_field) != (carried.tag, carried.tag_field):
        yield f"{_place(at)} is no {taken.tag}"
    there = {each.encode_name: each for each in carried.fields}
    for each in taken.fields:
        name = f"{at}.{each.encode_name}" if at else each.encode_name
        if each.encode_name in there:
            why = _misfit(each.type, there[each.encode_name].type, name, met)
            if why is not None:
                yield why
        elif each.required:
            yield f"it has no {name}"
    if taken.forbid_unknown_fields:
        for name in sorted(there.keys() - {each.encode_name for each in taken.fields}):
            yield f"{_place(at)} has {name} too, which is unknown"


def _like(taken: inspect.UnionType, carried: inspect.Type) -> list[inspect.Type]:
    """The branches that a value could be meant for: of structs that with its tag, where one has it."""
    of_kind = [
        each for each in map(_bare, taken.types) if _KINDS.get(type(each), _ANY) & _KINDS.get(type(carried), _ANY)
    ]
    of_kind += [each for each in map(_bare, taken.types) if type(each) not in _KINDS]
    tagged = [each for each in of_kind if getattr(each, "tag", None) == getattr(carried, "tag", None)]
    return tagged or of_kind


_ANY: _Kinds = frozenset(kind for kinds in _KINDS.values() for kind in kinds)


def _bare(type_: inspect.Type) -> inspect.Type:
    while isinstance(type_, inspect.Metadata):
        type_ = type_.type
    return type_


def _place(at: str) -> str:
    return at or "it"


def _told(type_: inspect.Type) -> str:
    return " or ".join(sorted(_KINDS.get(type(type_), frozenset({"of a type of its own"}))))
