"""The chain of each stream: every event's hash is over its content and the hash of the event before it.

    hash = SHA-256(hash before, or 32 zero bytes | MessagePack array of the event)

The array holds stream, version, type, schema version, payload (bytes), occurred at, recorded at, actor and correlation
id, in MessagePack's shortest forms: every value carries its length, so no two events have the same bytes. The causation
id, the event's tags, and what events may be given after these, follow behind and are left out where an event has none
of them nor of what follows them.

An event that was stored before there was a chain has no hash. It counts as zero bytes for the one behind it, and
wherever a hash of it is needed, that is over zero bytes and its content.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from mainstem.eventstore.port import NewEvent, StoredEvent
from mainstem.messages import Origin

NOTHING = bytes(32)
"""What comes before the first event."""

LOWEST, HIGHEST = -(2**63), 2**63 - 1
"""Around all positions and numbers. None is below 1 by right, but a damaged store may hold such."""

Fields = tuple[str | int | bytes | None, ...]

_bytes_of = msgspec.msgpack.Encoder().encode


class Placed(msgspec.Struct, frozen=True):
    """An event with its position, and the hash of the event before it in its stream.

    `follows`: whether there is one before it; it may be without a hash.
    """

    position: int
    event: StoredEvent
    previous: bytes | None
    follows: bool


def link(previous: bytes, fields: Fields) -> bytes:
    """The hash of an event behind that one: stream, version, type, schema version, payload, times, `who_of`."""
    return sha256(previous + _bytes_of(fields)).digest()


def chained(
    last: bytes,
    stream: str,
    expected: int,
    events: Sequence[NewEvent],
    times: tuple[int, int],
    origin: Origin,
    number: Callable[[Sequence[str], str, int], str],
) -> tuple[list[tuple[Any, ...]], bytes]:
    """The rows of events behind version `expected`, whose hash is `last`, and the hash of the last of them.

    A row is stream, version, type, payload, both times, actor, correlation id, schema version, causation id, hash,
    tags. `number` gives an event, of that stream and version, its numbers in its tags; and what it keeps of them.
    """
    rows: list[tuple[Any, ...]] = []
    occurred, recorded = times
    actor, correlation, causation = origin.actor, origin.correlation_id, origin.causation_id
    for version, event in enumerate(events, expected + 1):
        name, payload, schema = event.type, event.payload, event.schema_version
        tags = number(event.tags, stream, version) if event.tags else None
        who = who_of(actor, correlation, causation, tags)
        last = link(last, (stream, version, name, schema, payload, occurred, recorded, *who))
        text = payload.decode()
        rows.append(
            (stream, version, name, text, occurred, recorded, actor, correlation, schema, causation, last, tags)
        )
    return rows, last


def link_of(previous: bytes, stored: StoredEvent, version: int | None = None) -> bytes:
    """The hash that a stored event should have, at its version or at another."""
    return link(
        previous,
        (
            stored.stream,
            stored.version if version is None else version,
            stored.type,
            stored.schema_version,
            stored.payload,
            stored.occurred_at_ms,
            stored.recorded_at_ms,
            *who_of(stored.actor, stored.correlation_id, stored.causation_id, stored.tags),
        ),
    )


def who_of(
    actor: str, correlation_id: str | None, causation_id: str | None, tags: str | None
) -> tuple[str | None, ...]:
    """Who asked for an event, in which conversation, and because of what, if of anything; and its tags, if any."""
    if tags is not None:
        return (actor, correlation_id, causation_id, tags)
    return (actor, correlation_id) if causation_id is None else (actor, correlation_id, causation_id)
