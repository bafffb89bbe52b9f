"""Marked fields of messages that hold plain text where a token should be."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from mainstem.errors import ConfigurationError
from mainstem.privacy.marks import Mark, marks_of
from mainstem.privacy.tokens import key_id_of


def plain_texts(message: Any) -> Iterator[tuple[str, str]]:
    """The name and the text of each, of the message and of the structs that stand in its fields."""
    if not isinstance(message, Struct):
        return
    for mark in _marks(type(message)):
        text = getattr(message, mark.field)
        if text and key_id_of(text) is None:
            yield mark.field, text
    for name in message.__struct_fields__:
        yield from plain_texts(getattr(message, name))


def _marks(struct: type[Struct]) -> tuple[Mark, ...]:
    try:
        return marks_of(struct)
    except ConfigurationError:  # the marks are further in: they are met there
        return ()
