"""What becomes of dead letters: listed, edited, tried again, or dropped; each key for itself, in its order.

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
from msgspec.structs import replace

from mainstem.errors import ListenerError
from mainstem.listener.batch import Batches, Outcome, Wait
from mainstem.listener.binding import Binding
from mainstem.listener.letters import (
    BEHIND,
    DROPPED,
    EDITED,
    FAILED,
    RETRIED,
    closing,
    described,
    edited,
    letter_id,
    origin_of,
)
from mainstem.log.port import Log
from mainstem.messages import NewRecord, Record
from mainstem.view.port import Place, ViewStore, ViewTransaction

_PAGE = 1_000
_WAITING = (FAILED.encode(), BEHIND.encode())
_CLOSING = (RETRIED.encode(), DROPPED.encode())
_ALONE = "behind a letter that was taken by itself"


class DeadLetter(Struct, frozen=True, rename="camel"):
    """One record that waits: its place in the dead-letter topic, why it is there, and where it came from.

    `id` names it among the listener's letters; `edited` is whether it is handled with another value than it came with.
    """

    key: str
    partition: int
    offset: int
    reason: str
    cause: str
    origin: str
    timestamp_ms: int
    id: str = ""
    edited: bool = False


class Edit(Struct, frozen=True):
    """Another value that somebody has given a letter, and why."""

    value: bytes
    by: str
    why: str


@dataclass(frozen=True)
class WholeLetter:
    """A letter with all that is kept of it: the record as it came, the traceback, and its edits; the last one holds."""

    letter: DeadLetter
    record: Record
    traceback: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Retried:
    """What a retry came to: how many letters are done, whether there are more, and why the next fails, if it does."""

    done: int
    more: bool = False
    failure: str | None = None


Also = Callable[[ViewTransaction, Retried], None]
"""What is written in the transaction that releases a key."""

Send = Callable[[Sequence[NewRecord]], None]


def _nothing(_: ViewTransaction, __: Retried) -> None:
    pass


class DeadLetters:
    """The dead letters of one listener. `of`, `find` and `waiting` may be called at any time, from any process.

    The others change something: another process that moves the group meanwhile makes them raise Fenced.
    """

    def __init__(self, binding: Binding[Any], log: Log, views: ViewStore, batches: Batches) -> None:
        self._binding = binding
        self._log = log
        self._views = views
        self._batches = batches

    def of(self, key: str | None, limit: int, after: tuple[str, int] | None = None) -> list[DeadLetter]:
        """The first open letters of one parked key, or of all, by key, oldest first; behind the place `after`."""
        since = self._views.parked_since(self._binding.group) if key is None else self._since(key)
        edits: dict[tuple[str, int], Record] = {}
        letters = (each for each in self._open(since, edits) if after is None or _place(each) > after)
        first = nsmallest(limit, letters, key=_place)
        return [replace(_shown(letter), edited=_place(letter) in edits) for letter in first]

    def find(self, partition: int, offset: int) -> WholeLetter | None:
        """The open letter of the record that stood there in the listener's topic."""
        if partition not in self._log.ranges(self._binding.dead_letter_topic):
            return None
        found, edits, until = None, [], self._done(partition)
        since = self._views.parked_since(self._binding.group)
        for letter in self._all(partition):
            key, origin = _place(letter)
            if origin != offset or key not in since or not since[key] <= origin < until:
                continue
            reason = letter.header("dead-letter-reason")
            if reason == EDITED.encode():
                told = described(letter)
                edits.append(Edit(letter.value or b"", told.get("by", ""), told["cause"]))
            elif reason in _WAITING and found is None:
                found = letter
        if found is None:
            return None
        shown = replace(_shown(found), edited=bool(edits))
        return WholeLetter(shown, origin_of(found), described(found).get("traceback", ""), tuple(edits))

    def waiting(self) -> dict[str, int]:
        """How many letters are open, by parked key."""
        return dict(Counter(letter.key for letter in self._open(self._views.parked_since(self._binding.group))))

    def retry(
        self,
        key: str,
        wait: Wait,
        write: Callable[[Outcome, ViewTransaction], None],
        *,
        most: int | None = None,
        send: Send | None = None,
        also: Also = _nothing,
    ) -> Retried:
        """Handle the key's first letters anew, `most` or a batch of them; up to one that fails again.

        `write` puts an outcome's rows, positions and parked keys into the transaction, as for any batch; `also` what
        else there is to say. `send` appends to the log, fenced where it can be.
        """
        group, batch_max = self._binding.group, min(self._binding.batch_max, most or self._binding.batch_max)
        at, since = self._at(key), self._since(key)
        edits: dict[tuple[str, int], Record] = {}
        letters = nsmallest(batch_max + 1, self._open(since, edits), key=_place)
        origins = [_as_edited(letter, edits) for letter in letters]
        batch, reason = origins[:batch_max], _ALONE if most else self._views.parked(group)[key]
        sent = self._sent(key, letters)
        outcome = self._batches.carefully(batch, {}, wait, lambda record: record.offset in sent)
        failure, more = outcome.parked.get(key), len(letters) > batch_max
        done = [each for each in batch if failure is None or each.offset < outcome.since[key]]
        answers = [each for each in outcome.outgoing if each.topic != self._binding.dead_letter_topic]
        if done:
            record = closing(self._binding, done[0], done[-1], RETRIED, f"{len(done)} letters")
            (send or self._log.append)([*answers, record])
        retried = Retried(len(done), more, failure)
        with self._views.transaction() as transaction:
            transaction.hold(group)  # else its rows could go to a table that is being replaced
            transaction.check(group, at)
            also(transaction, retried)
            transaction.release(group, key)
            write(outcome, transaction)
            if more:
                transaction.park(group, {key: reason}, {key: origins[batch_max].offset})
        return retried

    def drop(
        self,
        key: str,
        why: str,
        *,
        by: str = "",
        first: bool = False,
        send: Send | None = None,
        also: Also = _nothing,
    ) -> int:
        """Leave the key's letters for good, or the `first` alone; how many.

        The reason goes on record behind them in their topic.
        """
        at, group = self._at(key), self._binding.group
        begin, last, following, count = None, None, None, 0
        if first:
            letters = nsmallest(2, self._open(self._since(key)), key=_place)
            last, following = (*letters, None, None)[:2]
            begin, count = last, len(letters[:1])
        else:
            for letter in self._open(self._since(key)):
                begin = min(begin or letter, letter, key=_place)
                last, count = max(last or letter, letter, key=_place), count + 1
        if begin is not None and last is not None:
            ends = origin_of(begin), origin_of(last)
            (send or self._log.append)([closing(self._binding, *ends, DROPPED, why, by)])
        with self._views.transaction() as transaction:
            transaction.hold(group)
            transaction.check(group, at)
            also(transaction, Retried(count))
            transaction.release(group, key)
            if following is not None:
                transaction.park(group, {key: _ALONE}, {key: _place(following)[1]})
        return count

    def edit(self, partition: int, offset: int, value: bytes, why: str, by: str) -> None:
        """Give a letter another value. Raises ListenerError where it is not open, or the value is no message.

        The one that it came with stays on record; of several edits the last holds, for every retry of that record.
        """
        found = self.find(partition, offset)
        if found is None:
            raise ListenerError(f"no dead letter {letter_id(partition, offset)} of {self._binding.group} waits")
        try:
            self._binding.decoder.spread([value])
        except Exception as error:
            raise ListenerError(f"the new value is no message of {self._binding.topic}: {error}") from error
        self._log.append([edited(self._binding, found.record, value, why, by)])

    def first_of(self, key: str) -> str:
        """The id of the letter that is next to be tried again. Raises ListenerError where the key does not wait."""
        found = self.of(key, 1)
        return found[0].id if found else ""

    def _at(self, key: str) -> dict[Place, int | None]:
        """Where the group stands of the key's partition: what is done to the key holds as long as it stands there."""
        place = (self._binding.topic, self._log.partition_of(self._binding.topic, key))
        return {place: self._views.offsets(self._binding.group).get(place)}

    def _done(self, partition: int) -> int:
        return self._views.offsets(self._binding.group).get((self._binding.topic, partition), 0)

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
            elif begin <= origin < until and letter.header("dead-letter-reason") != EDITED.encode():
                letters.setdefault(origin, _shown(letter).cause)
        return {key: (letters[min(letters)], min(letters)) for key, letters in found.items() if letters}

    def _since(self, key: str) -> Mapping[str, int]:
        since = self._views.parked_since(self._binding.group).get(key)
        if since is None:
            raise ListenerError(f"the key {key!r} of {self._binding.group} does not wait behind a dead letter")
        return {key: since}

    def _open(self, since: Mapping[str, int], edits: dict[tuple[str, int], Record] | None = None) -> Iterator[Record]:
        """The open letters of those keys, each once, as they come; `edits` has the last of each at the end."""
        topic = self._binding.dead_letter_topic
        done = self._views.offsets(self._binding.group)
        for partition in sorted({self._log.partition_of(topic, key) for key in since}):
            until = done.get((self._binding.topic, partition), 0)
            seen: set[tuple[str, int]] = set()
            for letter in self._all(partition):
                place = _place(letter)
                reason = letter.header("dead-letter-reason")
                if edits is not None and reason == EDITED.encode():
                    edits[place] = letter
                if reason in _WAITING and since.get(letter.key, until) <= place[1] < until and place not in seen:
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


def _as_edited(letter: Record, edits: Mapping[tuple[str, int], Record]) -> Record:
    """The record to be handled: as it came, or with the value that somebody has given it."""
    record, edit = origin_of(letter), edits.get(_place(letter))
    return record if edit is None else replace(record, value=edit.value)


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
        id=letter_id(int(about["partition"]), int(about["offset"])),
    )
