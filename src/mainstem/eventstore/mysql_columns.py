"""The columns of an event in MySQL."""

from mainstem.eventstore.port import StoredEvent
from mainstem.mysql import Row

PLACE = "stream, version, type, payload, occurred_at_ms, recorded_at_ms, actor, correlation_id"
LATER = {"schema_version": "1", "causation_id": "NULL", "hash": "NULL", "tags": "NULL"}
"""Columns that were added later, each with what stands for it where it is missing."""
EVENT = f"{PLACE}, {', '.join(LATER)}"


def stored(row: Row) -> StoredEvent:
    """The event of a row of its columns."""
    stream, version, type_, payload, *rest = row
    return StoredEvent(stream, version, type_, payload.encode(), *rest)
