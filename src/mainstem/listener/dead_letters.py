"""What becomes of dead letters: listed, tried again, or dropped; each key for itself, in its order.

A key's open letters are those of its dead-letter partition from the offset on that the view store keeps for the key. A
retry that goes well writes rows, the key's release and that offset in one transaction, so a crash repeats nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from mainstem.errors import ListenerError
from mainstem.listener.batch import Batches, Outcome, Wait
from mainstem.listener.binding import Binding
from mainstem.listener.letters import described, dropped, origin_of
from mainstem.log.port import Log, Place
from mainstem.messages import Record
from mainstem.view.port import ViewStore, ViewTransaction

_PAGE = 1_000


class DeadLetter(Struct, frozen=True, rename="camel"):
    """One record that waits: its place in the dead-letter topic, why it is there, and where it came from."""

    key: str
    partition: int
    offset: int
    reason: str
    cause: str
    origin: str
    timestamp_ms: int


class DeadLetters:
    """The dead letters of one listener. Everything but `of` is called in the listener's own thread."""

    def __init__(self, binding: Binding[Any], log: Log, views: ViewStore) -> None:
        self._binding = binding
        self._log = log
        self._views = views
        self._batches = Batches(binding, views)

    def of(self, key: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """The open letters of one parked key, or of all, oldest first for each key."""
        keys = sorted(self._views.parked(self._binding.group)) if key is None else [key]
        found: list[DeadLetter] = []
        for each in keys:
            found.extend(_shown(letter) for letter in self._open(each)[: limit - len(found)])
            if len(found) >= limit:
                break
        return found

    def retry(self, key: str, wait: Wait, write: Callable[[Outcome, ViewTransaction], None]) -> int:
        """Handle the key's letters anew, all or none; how many. Raises ListenerError where one fails again.

        `write` puts an outcome's rows and positions into the transaction, as for any batch.
        """
        letters = self._open(key)
        outcome = self._batches.carefully([origin_of(letter) for letter in letters], frozenset(), wait)
        if outcome.parked:
            raise ListenerError(f"a dead letter of {key} fails again: {outcome.parked[key]}")
        if outcome.outgoing:
            self._log.append(outcome.outgoing)
        with self._views.transaction() as transaction:
            write(outcome, transaction)
            self._close(transaction, key, letters)
        return len(letters)

    def drop(self, key: str, why: str) -> int:
        """Leave the key's letters for good; how many. The reason goes on record behind them in their topic."""
        letters = self._open(key)
        if letters:
            self._log.append([dropped(self._binding, letters[-1], why)])
        with self._views.transaction() as transaction:
            self._close(transaction, key, self._open(key))
        return len(letters)

    def _open(self, key: str) -> list[Record]:
        group = self._binding.group
        if key not in self._views.parked(group):
            raise ListenerError(f"the key {key!r} of {group} does not wait behind a dead letter")
        topic = self._binding.dead_letter_topic
        partition = self._log.partition_of(topic, key)
        begin = self._log.ranges(topic)[partition].begin
        offset = max(begin, self._views.offsets(_name(group, key)).get((topic, partition), 0))
        found: list[Record] = []
        while page := self._log.read(topic, partition, offset, _PAGE):
            found.extend(record for record in page if record.key == key)
            offset = page[-1].offset + 1
        return found

    def _close(self, transaction: ViewTransaction, key: str, letters: Sequence[Record]) -> None:
        group = self._binding.group
        transaction.release(group, key)
        if letters:
            last = letters[-1]
            behind: dict[Place, int] = {(last.topic, last.partition): last.offset + 1}
            transaction.save(_name(group, key), behind)


def _name(group: str, key: str) -> str:
    """Under which the view store keeps how far a key's letters are done."""
    return f"{group}.dead:{key}"


def _shown(letter: Record) -> DeadLetter:
    about = described(letter)
    return DeadLetter(
        key=letter.key,
        partition=letter.partition,
        offset=letter.offset,
        reason=about["reason"],
        cause=about.get("exception", "") + (": " if "exception" in about else "") + about["cause"],
        origin=f"{about['topic']}/{about['partition']}@{about['offset']}",
        timestamp_ms=letter.timestamp_ms,
    )
