"""What people have settled about records that were dead letters, so that whoever reads the topic anew holds to it.

A record whose letter was dropped was never taken, and one whose letter was edited was taken with its new value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mainstem.errors import UnknownTopic
from mainstem.listener.binding import Binding
from mainstem.listener.letters import BEHIND, DROPPED, EDITED, FAILED, described
from mainstem.log.port import Log
from mainstem.log.scan import scan
from mainstem.messages import Record

Place = tuple[str, int]
"""The key of a record, and its offset in the listener's topic."""


class Settled(Struct, frozen=True):
    """The records that were `dropped`, and the `values` with which edited ones were taken."""

    dropped: frozenset[Place] = frozenset()
    values: Mapping[Place, bytes] = {}

    def of(self, records: Sequence[Record]) -> Sequence[Record]:
        """The records as they were taken, without those that were not."""
        if not self.dropped and not self.values:
            return records
        kept = [record for record in records if (record.key, record.offset) not in self.dropped]
        return [
            record if (value := self.values.get((record.key, record.offset))) is None else replace(record, value=value)
            for record in kept
        ]


def settled(binding: Binding[Any], log: Log) -> Settled:
    """By the topic of the listener's dead letters, in which the last word about a record holds."""
    reading = _Reading()
    try:
        for page in scan(log, binding.dead_letter_topic):
            for letter in page:
                about = described(letter)
                if about.get("topic") == binding.topic and about.get("group", binding.group) == binding.group:
                    reading.take(letter, about)
    except UnknownTopic:  # the listener has never run
        return Settled()
    return Settled(frozenset(reading.dropped), reading.values)


class _Reading:
    def __init__(self) -> None:
        self._waiting: dict[str, set[int]] = {}
        self._closed: dict[str, set[int]] = {}
        self._edits: dict[Place, bytes] = {}
        self.dropped: set[Place] = set()
        self.values: dict[Place, bytes] = {}

    def take(self, letter: Record, about: Mapping[str, str]) -> None:
        key, origin, reason = letter.key, int(about["offset"]), about["reason"]
        waiting, closed = self._waiting.setdefault(key, set()), self._closed.setdefault(key, set())
        if reason in (FAILED, BEHIND):
            waiting.add(origin)
        elif reason == EDITED:
            self._edits[key, origin] = letter.value or b""
        else:
            taken = {each for each in waiting if each <= origin}
            if first := about.get("first"):  # a crash may have left open what was closed before
                taken = {each for each in waiting | closed if int(first) <= each <= origin}
            waiting -= taken
            closed |= taken
            self._close([(key, each) for each in taken], dropped=reason == DROPPED)

    def _close(self, places: Sequence[Place], *, dropped: bool) -> None:
        if dropped:
            self.dropped.update(places)
            return
        self.dropped.difference_update(places)
        self.values.update({place: self._edits[place] for place in places if place in self._edits})
