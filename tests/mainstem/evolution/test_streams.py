"""Streams with events of older releases: commands go on behind them, listeners get what they are today."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from mainstem import Binding, Command, Decider, Event, Recorded, Rows, Table, Topic, recorded_events
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.eventstore.port import NewEvent
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.evolution import EventData, drop_event, evolved, merge, rename_event, split
from mainstem.listener.runner import Runner
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord, Origin
from mainstem.view.sqlite import SqliteViews

_STREAM = "item-1"


def _halves(data: dict[str, Any]) -> Sequence[EventData]:
    return [EventData("Priced", 2, {"amount": data["amount"]}), EventData("Noted", 1, {"text": data["text"]})]


@evolved(2, split("PricedAndNoted", 1, _halves, into=[("Priced", 2), ("Noted", 1)]), drop_event("Looked", 1))
class Priced(Event, frozen=True):
    amount: Decimal


@evolved(1, merge(("Half", 1), ("OtherHalf", 1), lambda one, two: {"text": one["a"] + two["b"]}, into=("Noted", 1)))
class Noted(Event, frozen=True):
    text: str


class Note(Command, frozen=True):
    text: str


class Item(Struct, frozen=True):
    price: Decimal = Decimal(0)
    notes: tuple[str, ...] = ()


def _evolve(item: Item, event: Event) -> Item:
    if isinstance(event, Priced):
        return replace(item, price=event.amount)
    assert isinstance(event, Noted)
    return replace(item, notes=(*item.notes, event.text))


ITEM: Decider[Note, Event, Item] = Decider(
    category="item",
    initial=Item(),
    decide=lambda item, command: [Noted(text=f"{command.text} behind {len(item.notes)}")],
    evolve=_evolve,
    target=lambda _: "1",
    commands=(Note,),
    events=(Priced, Noted),
)
_OLDER: tuple[tuple[str, dict[str, str]], ...] = (
    ("PricedAndNoted", {"amount": "1.50", "text": "dear"}),
    ("Looked", {}),
    ("Half", {"a": "che"}),
    ("OtherHalf", {"b": "ap"}),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteEventStore]:
    """With four stored events that are three today."""
    with closing(SqliteEventStore(tmp_path / "events.db", clock_ms=lambda: 1)) as opened:
        with opened.transaction() as transaction:
            new = [NewEvent(name, msgspec.json.encode({"type": name, **data}), 1) for name, data in _OLDER]
            transaction.append(_STREAM, 0, new, occurred_at_ms=1, origin=Origin())
        yield opened


def test_a_command_goes_on_behind_older_events(store: SqliteEventStore) -> None:
    """The version is the stored one, whatever number of events it is today; remembered, and read anew."""
    for number in (5, 7):
        bus = CommandBus(store, Handler([ITEM], clock_ms=lambda: 1))
        bus.start()
        assert [bus.execute(Note(text="x")).version for _ in range(2)] == [number, number + 1]
        bus.stop()
    texts = [msgspec.json.decode(each.payload)["text"] for each in store.read(_STREAM, after=4)]
    assert texts == ["x behind 2", "x behind 3", "x behind 4", "x behind 5"]
    assert [each.payload for each in store.read(_STREAM, limit=1)] == [
        msgspec.json.encode({"type": "PricedAndNoted", **_OLDER[0][1]})
    ]


class _Line(Struct, frozen=True):
    version: int
    part: int
    what: str


LINE = Table("line", _Line, key=("version", "part"))


def _lines(message: Recorded[Any]) -> Sequence[_Line]:
    return [_Line(message.version, message.part, type(message.payload).__name__)]


def _others(data: dict[str, Any]) -> Sequence[EventData]:
    return [EventData("Priced", 2, {"amount": data["amount"]}), EventData("Remarked", 1, {"text": data["text"]})]


@evolved(2, split("PricedAndNoted", 1, _others, into=[("Priced", 2), ("Remarked", 1)]), drop_event("Looked", 1))
class Again(Event, frozen=True, tag="Priced"):
    amount: Decimal


class Remarked(Event, frozen=True):
    text: str


def test_a_listener_gets_what_they_are_today(tmp_path: Path) -> None:
    """Two of one record, none of another; and a record that cannot be read parks its key, as ever."""
    with closing(SqliteLog(tmp_path / "log.db")) as log, closing(SqliteViews(tmp_path / "views.db")) as views:
        log.create(Topic("event", 1))
        content = [(1, *_OLDER[0]), (1, *_OLDER[1]), (2, "Priced", {"amount": "2.00"}), (1, "Unheard", {})]
        log.append([_record(version, *each) for version, each in enumerate(content, 1)])
        views.create(LINE)
        events: list[type[Event]] = [Again, Remarked]
        runner = Runner(Binding("lines", "event", recorded_events(events), Rows(LINE, _lines)), log, views)
        while runner.step():
            continue
        runner.leave()
        lines = list(views.find(LINE, {}, order=("version", "part")))
        assert lines == [_Line(1, 0, "Again"), _Line(1, 1, "Remarked"), _Line(3, 0, "Again")]
        assert set(views.parked("lines")) == {_STREAM}


@evolved(1, rename_event("Unheard", 1, "Heard"))
class Heard(Event, frozen=True):
    pass


def test_a_dead_letter_is_tried_again_as_what_it_is_today(tmp_path: Path) -> None:
    """A release that knows the event reads it, and those that wait behind it, through its upcasters."""
    with closing(SqliteLog(tmp_path / "log.db")) as log, closing(SqliteViews(tmp_path / "views.db")) as views:
        log.create(Topic("event", 1))
        content = [(1, "Unheard", {}), (1, *_OLDER[0]), (1, *_OLDER[1])]
        log.append([_record(version, *each) for version, each in enumerate(content, 1)])
        views.create(LINE)
        known: list[type[Event]] = [Again, Remarked]
        more: list[type[Event]] = [*known, Heard]
        before, today = (
            Runner(Binding("lines", "event", recorded_events(events), Rows(LINE, _lines)), log, views)
            for events in (known, more)
        )
        while before.step():
            continue
        before.leave()
        assert [letter.reason for letter in today.dead_letters()] == ["failed", "behind", "behind"]
        assert today.retry(_STREAM) == 3
        lines = list(views.find(LINE, {}, order=("version", "part")))
        assert lines == [_Line(1, 0, "Heard"), _Line(2, 0, "Again"), _Line(2, 1, "Remarked")]
        assert views.parked("lines") == {}


def _record(version: int, schema_version: int, name: str, data: dict[str, str]) -> NewRecord:
    place = {"stream": _STREAM, "version": version, "occurred_at_ms": 1, "recorded_at_ms": 1, "actor": "a"}
    value = msgspec.json.encode({**place, "schema_version": schema_version, "payload": {"type": name, **data}})
    return NewRecord(topic="event", key=_STREAM, value=value, timestamp_ms=1)
