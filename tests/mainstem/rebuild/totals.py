"""A small view that tests rebuild: totals by thing, told on from a topic, with a listener that can be made to fail."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Struct

from mainstem.codec import Decoder
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.port import Log, Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord, Position
from mainstem.table import Table
from mainstem.view.port import ViewStore
from mainstem.view.projection import Fold, Rows

TOPIC, TOLD = Topic("counted", 3), Topic("told", 1)


class Counted(Struct, frozen=True):
    """How many were counted of a thing, for the how-manieth time. Nobody can count a negative number."""

    thing: str
    number: int
    times: int


class Total(Struct, frozen=True):
    """How many in all, and how often something was counted."""

    thing: str
    number: int
    times: int


class Line(Struct, frozen=True):
    """One counting."""

    id: str
    thing: str
    number: int


TOTAL = Table("total", Total, key=("thing",), indexes=(("number", "thing"),))
LINE = Table("line", Line, key=("id",), indexes=(("thing", "id"),))


def fold(row: Total | None, message: Counted) -> Total:
    """One more counting."""
    if message.number < 0:
        raise ValueError("nobody counts so")
    before = row or Total(message.thing, 0, 0)
    return Total(message.thing, before.number + message.number, message.times)


def doubling(row: Total | None, message: Counted) -> Total:
    """What the fold was before it was mended: each counting twice."""
    before = row or Total(message.thing, 0, 0)
    return Total(message.thing, before.number + 2 * message.number, message.times)


def lines(message: Counted) -> list[Line]:
    """A row for each counting."""
    if message.number < 0:
        raise ValueError("nobody counts so")
    return [Line(f"{message.thing}-{message.times:06d}", message.thing, message.number)]


def tell(message: Counted) -> list[NewRecord]:
    """On to another topic: the side effect that no rebuild may have."""
    value = msgspec.json.encode(message)
    return [
        NewRecord(
            topic=TOLD.name, key=message.thing, value=value, timestamp_ms=1, identity=f"{message.thing}{message.times}"
        )
    ]


TOTALS: Binding[Counted] = Binding(
    group="totals",
    topic=TOPIC.name,
    decoder=Decoder(Counted),
    projection=Fold(TOTAL, lambda message: (message.thing,), fold),
    emit=tell,
    position=lambda message: Position(message.thing, message.times),
    batch_max=5,
)
LINES: Binding[Counted] = replace(TOTALS, group="lines", projection=Rows(LINE, lines))
DOUBLED: Binding[Counted] = replace(TOTALS, projection=Fold(TOTAL, lambda message: (message.thing,), doubling))


class Live:
    """A log and a view store with a listener that is stepped by hand."""

    def __init__(self, log: Log, views: ViewStore, binding: Binding[Any] = TOTALS) -> None:
        self.log, self.views, self.binding = log, views, binding
        log.create(TOPIC)
        log.create(TOLD)
        views.create(self.table)
        self.runner = Runner(binding, log, views)
        self._times: dict[str, int] = {}

    @property
    def table(self) -> Table[Any]:
        """The live one."""
        assert self.binding.projection is not None
        table: Table[Any] = self.binding.projection.table
        return table

    def say(self, thing: str, number: int) -> None:
        """One counting comes to the topic."""
        times = self._times[thing] = self._times.get(thing, 0) + 1
        value = msgspec.json.encode(Counted(thing, number, times))
        self.log.append([NewRecord(topic=TOPIC.name, key=thing, value=value, timestamp_ms=1)])

    def listen(self) -> None:
        """The listener does all that there is."""
        while self.runner.step():
            continue

    def rows(self) -> list[Any]:
        """Of the live view."""
        return list(self.views.scan(self.table))

    def ends(self, topic: str) -> list[int]:
        """Where a topic's partitions end; empty where it is not there."""
        ranges = self.log.ranges(topic) if topic in self.log.topics() else {}
        return [held.end for held in ranges.values()]

    def sent(self) -> tuple[list[int], list[int]]:
        """All that a listener sends: messages and dead letters."""
        return self.ends(TOLD.name), self.ends(self.binding.dead_letter_topic)


class Interrupting:
    """A view store that calls `before` and `after` each of its transactions."""

    def __init__(self, views: ViewStore, before: Callable[[], None], after: Callable[[], None] = lambda: None) -> None:
        self._views, self._before, self._after = views, before, after

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """As the store's own, with what comes before and behind."""
        self._before()
        with self._views.transaction() as transaction:
            yield transaction
        self._after()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._views, name)


def open_log(folder: Any) -> SqliteLog:
    """The log of a folder."""
    return SqliteLog(folder / "log.db")
