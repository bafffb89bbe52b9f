"""What becomes of dead letters: listed, tried again, or dropped; each key for itself, in its order.

Which letters are open is known from the views alone: of a parked key all those whose origin lies from the record that
failed first (`parked_since`) up to the group's offset. Every record of the key in between was put aside, and no other.
So it does not matter what a crash, or a view that was filled again, left in the dead-letter topic, in which order, or
how often: of letters of one origin the first counts.

A retry sends what the letters lead to together with a record that closes them (RETRIED), then writes rows and the key's
release in one transaction. After a crash in between the closing record keeps the next retry from sending twice.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from msgspec import Struct

from mainstem.errors import ListenerError
from mainstem.listener.batch import Batches, Outcome, Wait
from mainstem.listener.binding import Binding
from mainstem.listener.letters import BEHIND, DROPPED, FAILED, RETRIED, closing, described, origin_of
from mainstem.log.port import Log
from mainstem.messages import Record
from mainstem.view.port import ViewStore, ViewTransaction

_PAGE = 1_000
_WAITING = (FAILED.encode(), BEHIND.encode())
_CLOSING = (RETRIED.encode(), DROPPED.encode())


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

    def waiting(self) -> dict[str, int]:
        """How many letters are open, by parked key."""
        return dict(Counter(letter.key for letter in self._open(self._views.parked_since(self._binding.group))))

    def retry(self, key: str, wait: Wait, write: Callable[[Outcome, ViewTransaction], None]) -> Retried:
        """Handle the key's first letters anew, a batch of them at most; up to one that fails again.

        `write` puts an outcome's rows, positions and parked keys into the transaction, as for any batch.
        """
        since = self._since(key)
        group, batch_max = self._binding.group, self._binding.batch_max
        letters = nsmallest(batch_max + 1, self._open(since), key=_place)
        origins = [origin_of(letter) for letter in letters]
        batch, reason = origins[:batch_max], self._views.parked(group)[key]
        sent = self._sent(key, letters)
        outcome = self._batches.carefully(batch, {}, wait, lambda record: record.offset in sent)
        failure, more = outcome.parked.get(key), len(letters) > batch_max
        done = [each for each in batch if failure is None or each.offset < outcome.since[key]]
        answers = [each for each in outcome.outgoing if each.topic != self._binding.dead_letter_topic]
        if done:
            self._log.append([*answers, closing(self._binding, done[-1], RETRIED, f"{len(done)} letters")])
        with self._views.transaction() as transaction:
            transaction.release(group, key)
            write(outcome, transaction)
            if more:
                transaction.park(group, {key: reason}, {key: origins[batch_max].offset})
        return Retried(len(done), more, failure)

    def drop(self, key: str, why: str) -> int:
        """Leave the key's letters for good; how many. The reason goes on record behind them in their topic."""
        last, count = None, 0
        for letter in self._open(self._since(key)):
            last, count = max(last or letter, letter, key=_place), count + 1
        if last is not None:
            self._log.append([closing(self._binding, origin_of(last), DROPPED, why)])
        with self._views.transaction() as transaction:
            transaction.release(self._binding.group, key)
        return count

    def unfinished(self, partition: int, begin: int, until: int) -> dict[str, tuple[str, int]]:
        """The keys with letters of origins from `begin` up to `until` that nothing has closed: why, and since when.

        For a listener that goes on at `begin`, although it has sent what the records up to `until` lead to.
        """
        found: dict[str, dict[int, str]] = {}
        for letter in self._all(partition):
            key, origin = _place(letter)
            letters = found.setdefault(key, {})
            if letter.header("dead-letter-reason") in _CLOSING:
                found[key] = {each: cause for each, cause in letters.items() if each > origin}
            elif begin <= origin < until:
                letters.setdefault(origin, _shown(letter).cause)
        return {key: (letters[min(letters)], min(letters)) for key, letters in found.items() if letters}

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
            for letter in self._all(partition):
                place = _place(letter)
                waits = letter.header("dead-letter-reason") in _WAITING
                if waits and since.get(letter.key, until) <= place[1] < until and place not in seen:
                    seen.add(place)
                    yield letter

    def _sent(self, key: str, letters: Sequence[Record]) -> set[int]:
        """The origins of those letters whose outgoing records are on their topic already."""
        partition = self._log.partition_of(self._binding.dead_letter_topic, key)
        retried = (each for each in self._all(partition) if each.header("dead-letter-reason") == RETRIED.encode())
        until = max((_place(each)[1] for each in retried if each.key == key), default=-1)
        return {at for each in letters if (at := _place(each)[1]) <= until or each.header("dead-letter-sent")}

    def _all(self, partition: int) -> Iterator[Record]:
        """All records of this listener in a partition of the dead-letter topic."""
        topic = self._binding.dead_letter_topic
        offset, own = self._log.ranges(topic)[partition].begin, self._binding.topic.encode()
        while page := self._log.read(topic, partition, offset, _PAGE):
            yield from (each for each in page if each.header("dead-letter-topic") == own)
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
