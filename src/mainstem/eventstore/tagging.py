"""The tags of an event as the event itself keeps them, and the index that finds events by them.

An event's `tags` are the JSON array of each of its tags with the event's number in it, and a part of what its hash is
over. The rows of the index say the same once more, tag by tag: verifying holds the two against each other. An event
that was stored before this has none; of its rows only their order can be told.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

TagPlace = tuple[str, int]
"""A tag, and the number of an event in it."""

FIRST: TagPlace = ("", 0)
"""Before all of them."""

_decoder = msgspec.json.Decoder(tuple[tuple[str, int], ...])


class TagRow(Struct, frozen=True, gc=False):
    """A row of the index: the event that it leads to. Where that is a row too, its position and what it says."""

    tag: str
    number: int
    stream: str
    version: int
    position: int | None = None
    tags: str | None = None


class TagMend(Struct, frozen=True):
    """What makes the rows of a tag right whose last row has the number `last`, 0 for none.

    Rows to be put, in the place of what stands, the numbers of those to be removed, and to which number the tag's
    events are counted then, where a store counts them.
    """

    tag: str
    last: int
    put: tuple[TagRow, ...]
    gone: tuple[int, ...]
    head: int


def noted(places: Iterable[TagPlace]) -> str:
    """As an event keeps them."""
    return msgspec.json.encode(list(places)).decode()


def noted_in(tags: str | None) -> tuple[TagPlace, ...]:
    """Those that an event keeps; none where they cannot be read, which its hash tells."""
    try:
        return () if tags is None else _decoder.decode(tags)
    except msgspec.DecodeError:
        return ()
