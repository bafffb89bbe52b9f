"""AGGREGATED: what messages add to sums by minute, hour and day, as deltas that may come in any order.

A sum is kept in a row for each partition of its topic, so that members of a group never write the same row; whoever
asks adds them. Nothing is ever replaced: a late message adds to its own periods, and one that takes an earlier one back
adds the opposite, so that the order in which they come does not matter.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from mainstem.codec import Decoder, Placed
from mainstem.messages import Record

M = TypeVar("M")

GRAINS_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
"""The periods begin at multiples of these since the epoch (UTC)."""


class Rolled(Struct, Generic[M], frozen=True):
    """A message with one of its periods, which begins at `begin_ms`, and the partition that brought it."""

    message: M
    grain: str
    begin_ms: int
    shard: int


def begins_of(at_ms: int) -> dict[str, int]:
    """Of each grain the begin of the period that a time is in."""
    return {grain: at_ms - at_ms % size_ms for grain, size_ms in GRAINS_MS.items()}


def rolled_by(type_: Any, at_ms: Callable[[Any], int]) -> Decoder[Rolled[Any]]:
    """A decoder of messages of that type, each once for every grain, by the time that `at_ms` tells."""
    decoder: Decoder[Any] = Decoder(type_)

    def make(record: Record) -> Sequence[Rolled[Any]]:
        message = decoder.one(record.value or b"")
        begins = begins_of(at_ms(message))
        return [Rolled(message, grain, begin, record.partition) for grain, begin in begins.items()]

    return Placed(type_, make)
