"""What stands between a stage and the real log: records come in pieces, and at moments another member comes between."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from random import Random
from typing import Any, Protocol, cast

from mainstem.log.port import Assigned, Consumer, Log, Place
from mainstem.messages import NewRecord, Record

_PIECES = (1, 2, 5)


class Between(Protocol):
    """What a simulation does to deliveries."""

    def pieces(self) -> Random | None:
        """What chooses the pieces in which records come; None where they come as they stand in the log."""

    def polled(self, group: str, places: Sequence[Place]) -> None:
        """A member holds records of those places, and has not handled them."""

    def sent(self, group: str) -> None:
        """A member has sent what its records lead to, and has not kept that they are done."""


class DeliveringLog:
    """The log, whose consumers are asked for by way of `between`; all else is the log's own."""

    def __init__(self, log: Log, between: Between) -> None:
        self._log = log
        self._between = between

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def consumer(self, group: str, topics: Sequence[str], assigned: Assigned | None = None) -> Consumer:
        """The log's, with deliveries in between."""
        return Deliveries(self._log.consumer(group, topics, assigned), group, self._between)


def delivering(log: Log, between: Between) -> Log:
    """The log with deliveries in between."""
    return cast("Log", DeliveringLog(log, between))


class Deliveries:
    """Keeps to what a consumer is: each record once, and those of a partition in their order."""

    def __init__(self, consumer: Consumer, group: str, between: Between) -> None:
        self._consumer = consumer
        self._group = group
        self._between = between
        self._held: list[Record] = []

    def poll(self, limit: int, _timeout_s: float) -> Sequence[Record]:
        """At once: nobody would append while it waits."""
        if not self._held:
            self._held = list(self._consumer.poll(limit, 0.0))
        choice = self._between.pieces()
        found, self._held = (self._held, []) if choice is None else _piece(self._held, choice)
        if found:
            self._between.polled(self._group, sorted({_place_of(each) for each in found}))
        return found

    def seek(self, offsets: Mapping[Place, int]) -> None:
        """What is held was read from elsewhere."""
        self._held = []
        self._consumer.seek(offsets)

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """The consumer's own."""
        self._consumer.commit(offsets)

    def send(self, records: Sequence[NewRecord], offsets: Mapping[Place, int]) -> None:
        """The consumer's own."""
        self._consumer.send(records, offsets)
        self._between.sent(self._group)

    def places(self) -> Sequence[Place]:
        """The consumer's own."""
        return self._consumer.places()

    def close(self) -> None:
        """The consumer's own."""
        self._consumer.close()


def _place_of(record: Record) -> Place:
    return record.topic, record.partition


def _piece(held: Sequence[Record], choice: Random) -> tuple[list[Record], list[Record]]:
    """Some of the records, the partitions' mixed anew, and those that are left."""
    waiting = {key: list(group) for key, group in groupby(sorted(held, key=_place_of), key=_place_of)}
    found: list[Record] = []
    for _ in range(min(len(held), choice.choice(_PIECES))):
        chosen = choice.choice(sorted(waiting))
        found.append(waiting[chosen].pop(0))
        if not waiting[chosen]:
            del waiting[chosen]
    return found, [each for rest in waiting.values() for each in rest]
