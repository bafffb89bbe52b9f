"""The columns of an event in SQLite."""

from typing import Any

from mainstem.eventstore.port import StoredEvent

PLACE = "stream, version, type, payload, occurred_at_ms, recorded_at_ms, actor, correlation_id"
EVENT = f"{PLACE}, schema_version, causation_id, hash, tags"


def stored(row: tuple[Any, ...]) -> StoredEvent:
    """The event of a row of its columns."""
    stream, version, name, payload, occurred, recorded, actor, correlation, schema_version, causation, link, tags = row
    event = (stream, version, name, payload.encode(), occurred, recorded, actor, correlation)
    return StoredEvent(*event, schema_version, causation, link, tags)
