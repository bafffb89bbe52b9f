"""Decisions over tags: folded over any streams, each event once, remembered and never trusted over the store."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace as changed
from pathlib import Path

import pytest
from msgspec import Struct

from mainstem import Boundary, Command, Decider, Event, Refused
from mainstem.boundary import TAGS_MAX
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.errors import ConfigurationError, InvalidCommand, MainstemError, StoreCorrupt
from mainstem.eventstore.port import NewEvent
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.messages import SYSTEM


class Told(Event, frozen=True):
    tags: tuple[str, ...]


class Other(Event, frozen=True):
    pass


class Heard(Struct, frozen=True):
    count: int = 0


class Tell(Command, frozen=True):
    """Tell it with these tags, where fewer than `most` events have any of them."""

    aggregate: str
    tags: tuple[str, ...]
    most: int = 100
    event: str = "Told"


def _decide_over(_state: Heard, command: Tell, heard: Heard) -> Sequence[Event]:
    if heard.count >= command.most:
        raise Refused("too-many", f"{heard.count} have been told")
    return [Told(tags=command.tags) if command.event == "Told" else Other()]


_BOUNDARY: Boundary[Tell, Event, Heard, Heard] = Boundary(
    tags=lambda _, command: command.tags,
    initial=Heard(),
    evolve=lambda heard, _: Heard(heard.count + 1),
    events=(Told,),
    decide=_decide_over,
    tagged=lambda _, event: event.tags if isinstance(event, Told) else ("red",),
)

TALE: Decider[Tell, Event, Heard] = Decider(
    category="tale",
    initial=Heard(),
    decide=lambda _, command: [Told(tags=command.tags)],
    evolve=lambda heard, _: Heard(heard.count + 1),
    target=lambda command: command.aggregate,
    commands=(Tell,),
    events=(Told, Other),
    boundary=_BOUNDARY,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteEventStore]:
    with closing(SqliteEventStore(tmp_path / "events.db", clock_ms=lambda: 1)) as opened:
        yield opened


@pytest.fixture
def bus(store: SqliteEventStore) -> Iterator[CommandBus]:
    with _bus(store) as running:
        yield running


@contextmanager
def _bus(store: SqliteEventStore) -> Iterator[CommandBus]:
    bus = CommandBus(store, Handler([TALE], clock_ms=lambda: 1))
    bus.start()
    yield bus
    bus.stop()


def told(bus: CommandBus, *tags: str, most: int = 100, aggregate: str = "a", event: str = "Told") -> str:
    """What became of it."""
    try:
        bus.execute(Tell(aggregate=aggregate, tags=tags, most=most, event=event))
    except MainstemError as error:
        return str(error)
    return "told"


def test_an_event_with_several_of_the_tags_counts_once(bus: CommandBus, store: SqliteEventStore) -> None:
    """Over any of them, in whichever order they are named, also for a writer that has just begun."""
    assert told(bus, "red", "big") == "told"
    assert told(bus, "red", aggregate="b") == "told"
    assert told(bus, "big", aggregate="c") == "told"
    with _bus(store) as fresh:
        for writer in (bus, fresh):
            assert told(writer, "red", most=1) == "2 have been told"
            assert told(writer, "big", most=1) == "2 have been told"
            assert told(writer, "red", "big", most=3) == "3 have been told"
            assert told(writer, "big", "red", "big", most=3) == "3 have been told"
    assert [each.number for each in store.read_tagged("red")] == [1, 2]


def test_what_is_remembered_follows_every_fold_that_shares_a_tag(bus: CommandBus) -> None:
    assert told(bus, "red", most=0) == "0 have been told"
    assert told(bus, "red", "big", most=0) == "0 have been told"
    assert told(bus, "big") == "told"
    assert told(bus, "red", most=0) == "0 have been told"
    assert told(bus, "red", "big", most=0) == "1 have been told"


def test_a_command_without_tags_is_decided_alone(bus: CommandBus) -> None:
    assert told(bus, most=0) == "told"


@pytest.mark.parametrize("tags", [("",), ("a\n",), ("x" * 201,), tuple(map(str, range(TAGS_MAX + 1)))])
def test_what_can_be_no_tag_is_no_command(bus: CommandBus, store: SqliteEventStore, tags: tuple[str, ...]) -> None:
    with pytest.raises(InvalidCommand, match="at most 16 tags of 1 to 200 printable characters"):
        bus.execute(Tell(aggregate="a", tags=tags))
    assert not store.read("tale-a")


def test_an_event_that_the_boundary_does_not_name_is_an_error(bus: CommandBus, store: SqliteEventStore) -> None:
    """Where it is appended, and where another writer has appended it; it is not passed over."""
    with pytest.raises(ConfigurationError, match="Other has a tag of a boundary that does not name it"):
        bus.execute(Tell(aggregate="a", tags=("red",), event="Other"))
    assert not store.read("tale-a")
    with store.transaction() as transaction:
        event = NewEvent("Other", b'{"type":"Other"}', tags=("red",))
        transaction.append("else-1", 0, [event], occurred_at_ms=1, origin=SYSTEM)
    with pytest.raises(StoreCorrupt, match="with the tag red"):
        bus.execute(Tell(aggregate="a", tags=("red",)))
    assert told(bus, "big") == "told"


def test_a_fold_that_the_store_never_reached_is_forgotten(tmp_path: Path) -> None:
    """A store that was put back from a backup, under a writer that remembers more."""
    handler = Handler([TALE], clock_ms=lambda: 1)
    for name, most, expected in (("one", 9, "told"), ("two", 1, "told")):
        with closing(SqliteEventStore(tmp_path / f"{name}.db", clock_ms=lambda: 1)) as store:
            bus = CommandBus(store, handler)
            bus.start()
            assert told(bus, "red", most=most) == expected
            assert told(bus, "red", aggregate=name, most=1) == "1 have been told"
            bus.stop()


def test_a_boundary_names_events() -> None:
    with pytest.raises(ConfigurationError, match="names no events"):
        changed(_BOUNDARY, events=())
