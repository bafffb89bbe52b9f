"""How events evolve: names and schema versions apart from classes, and upcasters from older ones to today's."""

from mainstem.evolution.declaring import (
    EventData,
    default_field,
    drop_event,
    evolved,
    merge,
    rename_event,
    rename_field,
    split,
    upcast,
)

__all__ = [
    "EventData",
    "default_field",
    "drop_event",
    "evolved",
    "merge",
    "rename_event",
    "rename_field",
    "split",
    "upcast",
]
