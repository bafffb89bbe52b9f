"""Events that their own class does not take are not stored; what is folded is what will be read."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct
from msgspec.structs import replace
from structlog.testing import capture_logs

from mainstem import Boundary, Command, Decider, Event
from mainstem.command.answer import Answer
from mainstem.command.bus import CommandBus
from mainstem.command.handler import Handler
from mainstem.errors import ConfigurationError, Refused
from mainstem.eventstore.sqlite import SqliteEventStore


class Kind(Enum):
    SMALL = "small"


class Line(Struct, frozen=True):
    sku: str
    number: int = 1


class Packed(Event, frozen=True):
    number: int = 1
    weight: Decimal = Decimal(0)
    share: float = 0.5
    kind: Kind = Kind.SMALL
    at: datetime | None = None
    left: Annotated[int, Meta(ge=0)] = 0
    lines: tuple[Line, ...] = ()


class Undeclared(Event, frozen=True):
    pass


class Crate(Struct, frozen=True):
    last: Packed | None = None
    count: int = 0


class Pack(Command, frozen=True):
    """Pack what is said, whatever that is: events with these fields, one after the other; what is called is made."""

    crate: str
    fields: tuple[Any, ...] = ()


def _decide(_crate: Crate, command: Pack) -> list[Packed]:
    made = ({name: each() if callable(each) else each for name, each in fields.items()} for fields in command.fields)
    return [Packed(**fields) for fields in made]


def _evolve(crate: Crate, event: Packed) -> Crate:
    return Crate(event, crate.count + 1)


CRATE: Decider[Any, Any, Crate] = Decider(
    category="crate",
    initial=Crate(),
    decide=_decide,
    evolve=_evolve,
    target=lambda command: command.crate,
    commands=(Pack,),
    events=(Packed,),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteEventStore]:
    with closing(SqliteEventStore(tmp_path / "events.db", clock_ms=lambda: 1)) as opened:
        yield opened


@contextmanager
def writer(store: SqliteEventStore, decide: Any = _decide, boundary: Any = None) -> Iterator[CommandBus]:
    """A writer that remembers nothing yet."""
    decider = Decider(**{**vars(CRATE), "decide": decide, "boundary": boundary})
    bus = CommandBus(store, Handler([decider], clock_ms=lambda: 1))
    bus.start()
    yield bus
    bus.stop()


UNFIT = [
    ({"number": 1.5}, r"Expected `int`, got `float` - at `\$.number`"),
    ({"number": "abc"}, r"Expected `int`, got `str` - at `\$.number`"),
    ({"number": None}, r"Expected `int`, got `null` - at `\$.number`"),
    ({"number": True}, r"Expected `int`, got `bool` - at `\$.number`"),
    ({"number": object()}, "Encoding objects of type object is unsupported"),
    ({"weight": "much"}, r"Invalid decimal string - at `\$.weight`"),
    ({"weight": partial(Decimal, "NaN")}, "weight has a number that is none, or has no end"),
    ({"weight": partial(Decimal, "-Infinity")}, "weight has a number that is none, or has no end"),
    ({"share": partial(float, "nan")}, r"Expected `float`, got `null` - at `\$.share`"),
    ({"kind": "large"}, r"Invalid enum value 'large' - at `\$.kind`"),
    ({"kind": "\ud800"}, "surrogates not allowed"),
    ({"at": "today"}, r"Invalid RFC3339 encoded datetime - at `\$.at`"),
    ({"left": -1}, r"Expected `int` >= 0 - at `\$.left`"),
    ({"lines": ({"number": 2},)}, r"Object missing required field `sku` - at `\$.lines\[0\]`"),
]


@pytest.mark.parametrize(("fields", "why"), UNFIT, ids=[str(index) for index in range(len(UNFIT))])
def test_an_event_that_does_not_fit_its_class_is_not_stored(
    store: SqliteEventStore, fields: dict[str, Any], why: str
) -> None:
    with writer(store) as bus:
        with pytest.raises(ConfigurationError, match=f"an event Packed does not fit its class: .*{why}"):
            bus.execute(Pack(crate="c", fields=({}, fields)))
        assert store.read("crate-c") == []
        assert bus.execute(Pack(crate="c", fields=({},))).version == 1
    with writer(store) as fresh:
        assert fresh.execute(Pack(crate="c", fields=({},))).version == 2


def test_it_is_logged_as_a_fault_in_the_program(store: SqliteEventStore) -> None:
    with writer(store) as bus, capture_logs() as logged, pytest.raises(ConfigurationError) as caught:
        bus.execute(Pack(crate="c", fields=({"number": 1.5},)))
    (fault,) = (each for each in logged if each["log_level"] == "error")
    assert fault["event"] == "a command met a fault in the program"
    assert fault["exc_info"] is caught.value


def test_other_commands_of_its_batch_are_carried_out(store: SqliteEventStore) -> None:
    async def batch(bus: CommandBus) -> list[Answer | BaseException]:
        commands = [Pack(crate="c", fields=({"number": number},)) for number in (1, "two", 3)]
        with store.transaction():
            tasks = [asyncio.ensure_future(bus.send(command)) for command in commands]
            await asyncio.sleep(0.05)
        return await asyncio.gather(*tasks, return_exceptions=True)

    with writer(store) as bus:
        outcomes = asyncio.run(batch(bus))
    assert [type(each) for each in outcomes] == [Answer, ConfigurationError, Answer]
    assert [each.version for each in store.read("crate-c")] == [1, 2]


AS_READ = [
    ({"weight": 0.1}, {"weight": Decimal("0.1")}),
    ({"weight": "0.10"}, {"weight": Decimal("0.10")}),
    ({"weight": 5}, {"weight": Decimal(5)}),
    ({"share": 1}, {"share": 1.0}),
    ({"kind": "small"}, {"kind": Kind.SMALL}),
    ({"at": "2026-01-31T09:30:00Z"}, {"at": datetime(2026, 1, 31, 9, 30, tzinfo=UTC)}),
    ({"lines": [Line("a")]}, {"lines": (Line("a"),)}),
    ({"lines": ({"sku": "a"},)}, {"lines": (Line("a"),)}),
]


@pytest.mark.parametrize(("fields", "read"), AS_READ, ids=[str(index) for index in range(len(AS_READ))])
def test_what_is_folded_is_the_event_as_it_will_be_read(
    store: SqliteEventStore, fields: dict[str, Any], read: dict[str, Any]
) -> None:
    """By the writer that has stored it, and by one that reads it."""
    seen: list[Any] = []

    def decide(crate: Crate, command: Pack) -> list[Packed]:
        seen.append(crate.last)
        return _decide(crate, command)

    with writer(store, decide) as bus:
        bus.execute(Pack(crate="c", fields=(fields,)))
        bus.execute(Pack(crate="c"))
    with writer(store, decide) as fresh:
        fresh.execute(Pack(crate="c"))
    expected = replace(Packed(), **read)
    assert seen == [None, expected, expected]
    (name,) = read
    for each in seen[1:]:
        assert type(getattr(each, name)) is type(read[name])


@pytest.mark.parametrize("number", [0.1, 0.5, 5])
def test_a_decimal_is_kept_as_exact_text_also_where_a_number_was_given(store: SqliteEventStore, number: float) -> None:
    with writer(store) as bus:
        bus.execute(Pack(crate="c", fields=({"weight": number},)))
    assert b'"weight":"%s"' % str(number).encode() in store.read("crate-c")[0].payload


def test_an_event_that_is_not_declared_is_told_by_its_name(store: SqliteEventStore) -> None:
    text = "Undeclared is not declared as an event"
    with writer(store, lambda *_: [Undeclared()]) as bus, pytest.raises(ConfigurationError, match=text):
        bus.execute(Pack(crate="c"))
    assert store.read("crate-c") == []


class Weighed(Struct, frozen=True):
    weights: tuple[Decimal, ...] = ()


def _over(tags: Any = ("yard",), tagged: Any = ("yard",)) -> Boundary[Any, Any, Any, Weighed]:
    """At most two are packed in all."""

    def decide(crate: Crate, command: Pack, weighed: Weighed) -> list[Packed]:
        if len(weighed.weights) >= 2:
            raise Refused("full", " and ".join(map(repr, weighed.weights)))
        return _decide(crate, command)

    return Boundary(
        tags=lambda *_: tags,
        initial=Weighed(),
        evolve=lambda weighed, event: Weighed((*weighed.weights, event.weight)),
        events=(Packed,),
        decide=decide,
        tagged=lambda *_: tagged,
    )


def test_a_fold_over_tags_is_of_events_as_they_will_be_read(store: SqliteEventStore) -> None:
    text = r"Decimal\('0.1'\) and Decimal\('0.1'\)"
    with writer(store, boundary=_over()) as bus:
        for crate in "ab":
            bus.execute(Pack(crate=crate, fields=({"weight": 0.1},)))
        with pytest.raises(Refused, match=text):
            bus.execute(Pack(crate="c"))
    with writer(store, boundary=_over()) as fresh, pytest.raises(Refused, match=text):
        fresh.execute(Pack(crate="c"))


def _nothing_is_carried_out(store: SqliteEventStore, boundary: Any, text: str) -> None:
    with writer(store, boundary=boundary) as bus:
        for crate in "abc":
            with pytest.raises(ConfigurationError, match=text):
                bus.execute(Pack(crate=crate, fields=({},)))
            assert store.read(f"crate-{crate}") == []


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ("yard", r"put it into a tuple, as \('yard',\)"),
        ("", r"put it into a tuple, as \('',\)"),
        (("yard", 1), "1 for Pack: tags are texts"),
        ((None,), "None for Pack: tags are texts"),
        (b"yard", "121 for Pack: tags are texts"),
    ],
)
def test_what_a_command_is_decided_over_are_texts_in_a_sequence(store: SqliteEventStore, tags: Any, text: str) -> None:
    """A text alone would be taken for its characters, and the rule over the tag that was meant would hold no more."""
    _nothing_is_carried_out(store, _over(tags=tags), f"tags gives .*{text}")


@pytest.mark.parametrize(
    ("tagged", "text"),
    [
        ("yard", r"a text for Packed: put it into a tuple, as \('yard',\)"),
        ("", r"a text for Packed: put it into a tuple, as \('',\)"),
        (("yard", 1), "1 for Packed: tags are texts"),
    ],
)
def test_the_tags_of_an_event_are_texts_in_a_sequence(store: SqliteEventStore, tagged: Any, text: str) -> None:
    _nothing_is_carried_out(store, _over(tagged=tagged), f"tagged gives .*{text}")
