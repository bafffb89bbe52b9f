"""Whether whatever fits one JSON Schema fits another. Knows what msgspec writes; what it does not know, it denies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

Placed = tuple[Schema, Any]
"""A document, and a schema within it whose references lead there."""

_SAYS_NOTHING = {"title", "description", "default", "examples", "deprecated", "$defs"}
_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_SAME = ("pattern", "format", "multipleOf", "contentEncoding", "discriminator")
_PARTS = ("items", "prefixItems", "properties", "required", "additionalProperties", "propertyNames")
_KNOWN = {"type", "enum", "const", "anyOf", "oneOf", *_AT_LEAST, *_AT_MOST, *_SAME, *_PARTS}
_KINDS: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def accepts(new: Placed, old: Placed, met: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Whether each value of `old` is one of `new`, as far as can be told."""
    new, old = _resolved(new), _resolved(old)
    pair = (id(new[1]), id(old[1]))
    if pair in met:  # a schema that holds itself
        return True
    met |= {pair}
    wider, narrower = _said(new[1]), _said(old[1])
    if not wider:
        return True
    if not (wider.keys() <= _KNOWN and narrower.keys() <= _KNOWN):
        return wider == narrower
    choices = _choices(narrower)
    if choices is not None:
        return all(accepts(new, (old[0], choice), met) for choice in choices)
    choices = _choices(wider)
    if choices is not None:
        return any(accepts((new[0], choice), old, met) for choice in choices)
    return _plain(wider, narrower) and _within(new[0], wider, old[0], narrower, met)


def _resolved(placed: Placed) -> Placed:
    document, schema = placed
    while isinstance(schema, dict) and "$ref" in schema:
        schema = document["$defs"][schema["$ref"].rpartition("/")[2]]
    return document, schema


def _said(schema: Any) -> dict[str, Any]:
    """`true` says nothing, as the empty schema; `false`, that there is no value, is written as no choice."""
    if isinstance(schema, bool):
        return {} if schema else {"enum": []}
    return {name: value for name, value in schema.items() if name not in _SAYS_NOTHING}


def _choices(schema: dict[str, Any]) -> Sequence[Any] | None:
    """The schemas of which one must fit; of a list of types, each."""
    for name in ("anyOf", "oneOf"):
        if name in schema:
            found: Sequence[Any] = schema[name]
            return found
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": each} for each in schema["type"]]
    return None


def _plain(new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Type, listed values and limits."""
    values = _values(old)
    if values is not None:
        return all(_takes(new, value) for value in values)
    if _values(new) is not None:
        return False
    kinds = (new.get("type"), old.get("type"))
    if kinds[0] is not None and kinds[0] != kinds[1] and kinds != ("number", "integer"):
        return False
    return (
        all(name not in new or (name in old and new[name] <= old[name]) for name in _AT_LEAST)
        and all(name not in new or (name in old and new[name] >= old[name]) for name in _AT_MOST)
        and all(name not in new or new[name] == old.get(name) for name in _SAME)
    )


def _values(schema: dict[str, Any]) -> Sequence[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found: Sequence[Any] | None = schema.get("enum")
    return found


def _takes(schema: dict[str, Any], value: Any) -> bool:
    """Whether a schema takes a listed value: by its own list, or by its type where it says no more."""
    values = _values(schema)
    if values is not None:
        return value in values
    kind = _KINDS.get(type(value))
    return schema.keys() == {"type"} and (schema["type"] == kind or (schema["type"], kind) == ("number", "integer"))


def _within(new_in: Schema, new: dict[str, Any], old_in: Schema, old: dict[str, Any], met: Any) -> bool:
    """The parts of arrays and objects."""
    if not set(new.get("required", ())) <= set(old.get("required", ())):
        return False
    if len(new.get("prefixItems", ())) != len(old.get("prefixItems", ())):
        return False
    return all(accepts((new_in, wider), (old_in, narrower), met) for wider, narrower in _pairs(new, old))


def _pairs(new: dict[str, Any], old: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    yield from zip(new.get("prefixItems", ()), old.get("prefixItems", ()), strict=True)
    for name in ("items", "additionalProperties", "propertyNames"):
        if name in new:
            yield new[name], old.get(name, True)
    fields = new.get("properties", {})
    for name, schema in old.get("properties", {}).items():
        yield fields.get(name, False), schema  # a field that is gone is not read any more
