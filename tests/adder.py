"""A small listener that adds up, and its log and views: what the listener's tests have in common."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from mainstem.codec import Decoder
from mainstem.errors import Transient
from mainstem.listener.binding import Binding, RetryPolicy
from mainstem.listener.runner import Runner
from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord, Position
from mainstem.table import Table
from mainstem.view.projection import Fold
from mainstem.view.sqlite import SqliteViews


class Count(Struct, frozen=True):
    """A message: add so much to an account."""

    account: str
    add: int
    version: int = 0


class Sum(Struct, frozen=True):
    """The view's row."""

    account: str
    total: int
    messages: int


class Entry(Struct, frozen=True):
    """A row for each message."""

    id: str
    add: int


SUMS = Table("sums", Sum, key=("account",))
ENTRIES = Table("entries", Entry, key=("id",))
TOPIC, OUT = Topic("counts", partitions=2), Topic("out", partitions=1)
QUICK = RetryPolicy(attempts=3, first_wait_ms=1, longest_wait_ms=2)
POISON, FLAKY = 666, 777


class Handlers:
    """The pure functions of the binding, and how often the flaky message fails yet."""

    def __init__(self, flaky: int = 0) -> None:
        self.flaky = flaky
        self.poisoned = True

    def fold(self, row: Sum | None, message: Count) -> Sum:
        """The row after the message."""
        if message.add == POISON and self.poisoned:
            raise ValueError("poison")
        if message.add == FLAKY and self.flaky:
            self.flaky -= 1
            raise Transient("not now")
        row = row or Sum(message.account, 0, 0)
        return Sum(row.account, row.total + message.add, row.messages + 1)

    def emit(self, message: Count) -> Sequence[NewRecord]:
        """Two records for each message."""
        value = b"%d" % message.add
        return [NewRecord(topic=OUT.name, key=message.account, value=value, timestamp_ms=0) for _ in range(2)]

    def binding(self, batch_max: int = 3) -> Binding[Count]:
        """A fold, with what it emits."""
        return Binding(
            group="adder",
            topic=TOPIC.name,
            decoder=Decoder(Count),
            projection=Fold(SUMS, lambda message: (message.account,), self.fold),
            emit=self.emit,
            out=(OUT,),
            position=lambda message: Position(message.account, message.version),
            batch_max=batch_max,
            retry=QUICK,
        )


def open_log(folder: Path) -> SqliteLog:
    """The log of a folder, with its topics."""
    log = SqliteLog(folder / "log.db")
    log.create(TOPIC)
    log.create(OUT)
    return log


def open_views(folder: Path) -> SqliteViews:
    """The views of a folder, with their tables."""
    views = SqliteViews(folder / "views.db")
    views.create(SUMS)
    views.create(ENTRIES)
    return views


def send(log: SqliteLog, *messages: tuple[str, int]) -> None:
    """Append messages, each with a version of its own."""
    log.append([record_of(Count(account, add, number)) for number, (account, add) in enumerate(messages, 1)])


def record_of(count: Count) -> NewRecord:
    """The message as a record."""
    return NewRecord(topic=TOPIC.name, key=count.account, value=msgspec.json.encode(count), timestamp_ms=5)


def drain(runner: Runner) -> None:
    """Step until there is nothing left."""
    while runner.step():
        pass


def sums(views: SqliteViews) -> dict[str, tuple[int, int]]:
    """The view: total and number of messages by account."""
    return {row.account: (row.total, row.messages) for row in views.scan(SUMS)}


def sent(log: SqliteLog, topic: str = "out") -> list[tuple[str, int]]:
    """What was emitted, by key."""
    places = log.ranges(topic)
    found = [each for partition in places for each in log.read(topic, partition, 0, 10_000)]
    return [(each.key, int(each.value or b"")) for each in found]
