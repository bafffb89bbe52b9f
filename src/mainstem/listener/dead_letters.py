"""What becomes of dead letters: listed, tried again, or dropped; each key for itself, in its order.

Which letters are open is known from the views alone: of a parked key all those whose origin lies from the record that
failed first (`parked_since`) up to the group's offset. Every record of the key in between was put aside, and no other.
So it does not matter what a crash, or a view that was filled again, left in the dead-letter topic, or in which order. A
retry that goes well writes rows and the key's release in one transaction, so a crash repeats nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from msgspec import Struct

from mainstem.errors import ListenerError
from mainstem.listener.batch import Batches, Outcome, Wait
from mainstem.listener.binding import Binding
from mainstem.listener.letters import described, dropped, origin_of
from mainstem.log.port import Log
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


@dataclass(frozen=True)
class Retried:
    """What a retry came to: how many letters are done, whether there are more, and why the next fails, if it does."""

    done: int
    more: bool = False
    failure: str | None = None


class DeadLetters:
    """The dead letters of one listener. Everything but `of` is called while the listener handles nothing."""

    def __init__(self, binding: Binding[Any], log: Log, views: ViewStore, batches: Batches) -> None:
        self._binding = binding
        self._log = log
        self._views = views
        self._batches = batches

    def of(self, key: str | None, limit: int) -> list[DeadLetter]:
        """The first open letters of one parked key, or of all, by key, oldest first."""
        since = self._views.parked_since(self._binding.group) if key is None else self._since(key)
        return [_shown(letter) for letter in nsmallest(limit, self._open(since), key=_place)]

    def retry(self, key: str, wait: Wait, write: Callable[[Outcome, ViewTransaction], None]) -> Retried:
        """Handle the key's first letters anew, a batch of them at most; up to one that fails again.

        `write` puts an outcome's rows, positions and parked keys into the transaction, as for any batch.
        """
        since = self._since(key)
        group, batch_max = self._binding.group, self._binding.batch_max
        letters = nsmallest(batch_max + 1, self._open(since), key=_place)
        origins = [origin_of(letter) for letter in letters]
        outcome = self._batches.carefully(origins[:batch_max], frozenset(), wait)
        answers = [each for each in outcome.outgoing if each.topic != self._binding.dead_letter_topic]
        if answers:
            self._log.append(answers)
        failure, more = outcome.parked.get(key), len(letters) > batch_max
        reason = self._views.parked(group)[key]
        with self._views.transaction() as transaction:
            transaction.release(group, key)
            write(outcome, transaction)
            if more:
                transaction.park(group, {key: reason}, {key: origins[batch_max].offset})
        return Retried(min(len(letters), batch_max) - outcome.dead, more, failure)

    def drop(self, key: str, why: str) -> int:
        """Leave the key's letters for good; how many. The reason goes on record behind them in their topic."""
        last, count = None, 0
        for letter in self._open(self._since(key)):
            last, count = max(last or letter, letter, key=_place), count + 1
        if last is not None:
            self._log.append([dropped(self._binding, last, why)])
        with self._views.transaction() as transaction:
            transaction.release(self._binding.group, key)
        return count

    def _since(self, key: str) -> Mapping[str, int]:
        since = self._views.parked_since(self._binding.group).get(key)
        if since is None:
            raise ListenerError(f"the key {key!r} of {self._binding.group} does not wait behind a dead letter")
        return {key: since}

    def _open(self, since: Mapping[str, int]) -> Iterator[Record]:
        """The open letters of those keys, each once, as they come."""
        topic = self._binding.dead_letter_topic
        done = self._views.offsets(self._binding.group)
        for partition in sorted({self._log.partition_of(topic, key) for key in since}):
            until = done.get((self._binding.topic, partition), 0)
            seen: set[tuple[str, int]] = set()
            for letter in self._letters(partition):
                place = _place(letter)
                if since.get(letter.key, until) <= place[1] < until and place not in seen:
                    seen.add(place)
                    yield letter

    def _letters(self, partition: int) -> Iterator[Record]:
        """All letters that the partition holds, without the records of letters that were dropped."""
        topic = self._binding.dead_letter_topic
        offset, own = self._log.ranges(topic)[partition].begin, self._binding.topic.encode()
        while page := self._log.read(topic, partition, offset, _PAGE):
            yield from (letter for letter in page if letter.header("dead-letter-topic") == own)
            offset = page[-1].offset + 1


def _place(letter: Record) -> tuple[str, int]:
    """What orders letters: the key, and the offset that the record had in its own topic."""
    return letter.key, int(letter.header("dead-letter-offset") or 0)


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
