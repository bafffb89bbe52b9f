"""A small view that tests rebuild: totals by thing, told on from a topic, with a listener that can be made to fail."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from mainstem.codec import Decoder
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.port import Log, Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import Event, NewRecord, Position, Recorded
from mainstem.table import Table
from mainstem.view.port import ViewStore
from mainstem.view.projection import Fold, Joined, Rows, With
from mainstem.view.vectorised import Vectorised
from mainstem.view.window import Session, Sliding, Tumbling, Window, Windowed

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


class Span(Struct, frozen=True):
    """What was counted of a thing in a window of time; the number of a counting is its time too."""

    thing: str
    begin_ms: int
    end_ms: int
    number: int
    counted: int
    times: int


class Weight(Struct, frozen=True):
    """What one of a thing weighs: a row of another view."""

    thing: str
    grams: int


TOTAL = Table("total", Total, key=("thing",), indexes=(("number", "thing"),))
LINE = Table("line", Line, key=("id",), indexes=(("thing", "id"),))
SPAN = Table("span", Span, key=("thing", "begin_ms"))
WEIGHT = Table("weight", Weight, key=("thing",))


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
    out=(TOLD,),
    position=lambda message: Position(message.thing, message.times),
    batch_max=5,
)
LINES: Binding[Counted] = replace(TOTALS, group="lines", projection=Rows(LINE, lines))
DOUBLED: Binding[Counted] = replace(TOTALS, projection=Fold(TOTAL, lambda message: (message.thing,), doubling))


def windowed(window: Tumbling | Sliding | Session, *, keep_ms: int | None = None) -> Binding[Counted]:
    """Windows of what was counted; where they go after a time, their numbers are 0, so that no sum becomes less."""

    def make(message: Counted, found: Window) -> Span:
        number = message.number if keep_ms is None else 0
        return Span(message.thing, *found, number, 1, message.times)

    kept = Windowed(
        SPAN,
        window,
        key=lambda message: (message.thing,),
        at_ms=lambda message: message.number,
        make=make,
        merge=_both,
        done=lambda row, message: message.times <= row.times,
        keep_ms=keep_ms,
    )
    return replace(TOTALS, group="spans", projection=kept)


def _both(one: Span, other: Span) -> Span:
    number, counted = one.number + other.number, one.counted + other.counted
    return Span(one.thing, one.begin_ms, one.end_ms, number, counted, max(one.times, other.times))


def _weighed(pair: With[Counted, Weight], found: Window) -> Span | None:
    message, row = pair
    return None if row is None else Span(message.thing, *found, row.grams * message.number, 1, message.times)


JOINED: Binding[Counted] = replace(
    TOTALS,
    group="joined",
    projection=Joined(
        WEIGHT,
        on=lambda message: (message.thing,),
        into=Windowed(
            SPAN,
            Session(4),
            key=lambda pair: (pair.message.thing,),
            at_ms=lambda pair: pair.message.number,
            make=_weighed,
            merge=_both,
            done=lambda row, pair: pair.message.times <= row.times,
        ),
    ),
)


class Counting(Event, frozen=True):
    """What was counted, as an event."""

    number: int


class _AsEvents(Decoder[Recorded[Counting]]):
    """Countings as events of their thing."""

    def __init__(self) -> None:
        self._countings = Decoder[Counted](Counted)

    def spread(self, data: Sequence[bytes]) -> tuple[list[Recorded[Counting]], Sequence[int]]:
        found = [_event(each) for each in self._countings.many(data)]
        return found, range(len(found))


def _event(message: Counted) -> Recorded[Counting]:
    return Recorded(
        stream=f"thing-{message.thing}",
        version=message.times,
        occurred_at_ms=1,
        recorded_at_ms=1,
        actor="a",
        payload=Counting(number=message.number),
    )


def _columns(batch: Any) -> Any:
    if pc.min(batch["number"]).as_py() < 0:
        raise ValueError("nobody counts so")
    return pa.table({"thing": batch["aggregate_id"], "number": batch["number"], "times": batch["version"]})


COLUMNS: Binding[Recorded[Counting]] = Binding(
    group="columns",
    topic=TOPIC.name,
    decoder=_AsEvents(),
    projection=Vectorised(
        TOTAL,
        events=(Counting,),
        columns=("aggregate_id", "version", "number"),
        make=_columns,
        merge={"number": "sum", "times": "max"},
        done="times",
    ),
    emit=lambda message: tell(Counted(message.aggregate_id, message.payload.number, message.version)),
    out=(TOLD,),
    position=lambda message: Position(message.aggregate_id, message.version),
    batch_max=5,
)
ALL: dict[str, Binding[Any]] = {
    "fold": TOTALS,
    "columns": COLUMNS,
    "rows": LINES,
    "tumbling": windowed(Tumbling(10)),
    "sliding": windowed(Sliding(20, 5)),
    "sessions": windowed(Session(4)),
    "kept for a time": windowed(Sliding(20, 5), keep_ms=30),
    "join": JOINED,
}
"""A binding of each kind of projection."""


def prepare(views: ViewStore, binding: Binding[Any]) -> None:
    """Make the view's table, and what a join reads: most things have a weight."""
    assert binding.projection is not None
    views.create(binding.projection.table)
    if isinstance(binding.projection, Joined):
        views.create(WEIGHT)
        with views.transaction() as transaction:
            transaction.put(WEIGHT, [Weight(thing, ord(thing)) for thing in "abcdefg"])


class Live:
    """A log and a view store with a listener that is stepped by hand."""

    def __init__(self, log: Log, views: ViewStore, binding: Binding[Any] = TOTALS) -> None:
        self.log, self.views, self.binding = log, views, binding
        log.create(TOPIC)
        log.create(TOLD)
        prepare(views, binding)
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
