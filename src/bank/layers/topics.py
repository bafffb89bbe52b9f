"""The topics between the layers.

All have as many partitions: what is said of one key stands in the partition of that number from one layer to the next.
"""

from typing import Any

from mainstem import Topic

PARTITIONS = 4
LINGER_MS = 500
"""Nobody withdraws and looks at a layer at once: a batch costs as many rows."""


def topic_of(layer: str, message: Any, record_max_bytes: int = 2_097_152) -> Topic:
    """The topic that a layer speaks on. A change may be a megabyte: with its place it is more."""
    return Topic(f"layer-{layer}", PARTITIONS, record_max_bytes=record_max_bytes, message=message)
