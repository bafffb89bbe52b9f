"""JSON Schemas of messages, as the components of an AsyncAPI document have them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from mainstem.asyncapi.messages import Message
from mainstem.messages import Recorded
from mainstem.privacy.marks import marks_of

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_PERSONAL = "x-personal-data"


def schemas_of(messages: Sequence[Message], *, text_payloads: bool) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """The schema of each message by its id, and the components that these refer to.

    Events come as JSON text within their record where there are `text_payloads`, as from an outbox in MySQL.
    """
    found: dict[str, Schema] = {}
    components: dict[str, Schema] = {}
    for decimals in ("string", "number"):
        chosen = [each for each in messages if each.decimals == decimals]
        schemas, own = _made(chosen)
        if decimals == "number":
            own = {name: _as_numbers(schema) for name, schema in own.items()}
        renamed = {name: f"{name}.{decimals}" for name in own if components.get(name, own[name]) != own[name]}
        components |= {renamed.get(name, name): _pointed(schema, renamed) for name, schema in own.items()}
        pointed = (_pointed(schema, renamed) for schema in schemas)
        found |= {message.id: schema for message, schema in zip(chosen, pointed, strict=True)}
    for message in messages:
        if getattr(message.content, "__origin__", None) is Recorded:
            _as_on_the_topic(components[_name(found[message.id])], text=text_payloads)
    return found, components


def _made(messages: Sequence[Message]) -> tuple[list[Schema], dict[str, Schema]]:
    """With the marks of personal data, by the structs that the messages are about."""
    about = {each.about: each.kind for each in messages if each.about is not None}
    types = [*(each.content for each in messages), *about]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    found = [_plain(schema) for schema in schemas]
    known = {name: _plain(schema) for name, schema in components.items()}
    for (struct, kind), schema in zip(about.items(), found[len(messages) :], strict=True):
        _mark(known[_name(schema)], struct, kind)
    return found[: len(messages)], known


def _mark(schema: Schema, struct: type[Struct], kind: str) -> None:
    names = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
    for mark in marks_of(struct):
        told = {"of": mark.kind or kind, "what": mark.what}
        schema["properties"][names[mark.field]] |= {_PERSONAL: told}


def _as_on_the_topic(schema: Schema, *, text: bool) -> None:
    """Without the part that an event is counted by once it is read, and its payload in the form that it has there."""
    properties = schema["properties"]
    properties.pop("part", None)
    if text:
        event = properties["payload"]
        properties["payload"] = {"type": "string", "contentMediaType": "application/json", "x-content-schema": event}


def _plain(schema: Any) -> Any:
    """AsyncAPI's `discriminator` is a name alone; that of the tag is a required constant here anyway."""
    if isinstance(schema, list | tuple):
        return [_plain(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {name: _plain(each) for name, each in schema.items() if not _of_tags(name, each)}


def _of_tags(name: str, schema: Any) -> bool:
    return name == "discriminator" and isinstance(schema, Mapping) and "propertyName" in schema


def _as_numbers(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_as_numbers(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {**{n: v for n, v in schema.items() if n not in ("type", "format")}, "type": "number"}
    return {name: _as_numbers(each) for name, each in schema.items()}


def _pointed(schema: Any, renamed: Mapping[str, str]) -> Any:
    """With references to the names that components have got."""
    if isinstance(schema, list):
        return [_pointed(each, renamed) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _pointed(each, renamed) for name, each in schema.items()}
    if isinstance(found.get("$ref"), str):
        name = _name(found)
        found["$ref"] = _REFERENCE.format(name=renamed.get(name, name))
    return found


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]
