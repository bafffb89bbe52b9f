"""Upcaster chains: declared, checked, applied to one event at a time and to a stream."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.errors import CodecError, ConfigurationError, UnknownEvent
from mainstem.eventstore.port import StoredEvent
from mainstem.eventstore.reader import EventReader
from mainstem.evolution import (
    EventData,
    default_field,
    drop_event,
    evolved,
    merge,
    rename_event,
    rename_field,
    split,
    upcast,
)
from mainstem.messages import AsOf, Event


def _halves(data: dict[str, Any]) -> Sequence[EventData]:
    return [EventData("Priced", 3, {"amount": data["amount"], "currency": "EUR"}), EventData("Noted", 1, data["note"])]


@evolved(
    3,
    rename_field("Priced", 1, "price", "amount"),
    default_field("Priced", 2, "currency", "EUR"),
    rename_event("PriceSet", 1, "Priced", 1),
    merge(("AmountSet", 1), ("CurrencySet", 1), lambda one, two: {**one, **two}, into=("Priced", 3)),
    split("PricedAndNoted", 1, _halves, into=[("Priced", 3), ("Noted", 1)]),
    drop_event("Looked", 1),
)
class Priced(Event, frozen=True):
    amount: Decimal
    currency: str


class Noted(Event, frozen=True):
    text: str


EVENTS: list[type[Event]] = [Priced, Noted]
READER = EventReader(EVENTS)
EUR = Priced(amount=Decimal("1.50"), currency="EUR")


def stored(version: int, name: str, schema_version: int = 1, /, **data: Any) -> StoredEvent:
    payload = msgspec.json.encode({"type": name, **data})
    return StoredEvent("item-1", version, name, payload, version, version, "a", None, schema_version)


AMOUNT = ("AmountSet", 1)
OLD: list[tuple[StoredEvent, list[Event]]] = [
    (stored(1, "Priced", 1, price="1.50"), [EUR]),
    (stored(1, "Priced", 2, amount="1.50"), [EUR]),
    (stored(1, "Priced", 2, amount="1.50", currency="USD"), [Priced(amount=Decimal("1.50"), currency="USD")]),
    (stored(1, "Priced", 3, amount="1.50", currency="EUR"), [EUR]),
    (stored(1, "PriceSet", 1, price="1.50"), [EUR]),
    (stored(1, "PricedAndNoted", 1, amount="1.50", note={"text": "dear"}), [EUR, Noted(text="dear")]),
    (stored(1, "Looked", 1, at=5), []),
    (stored(1, "Noted", 1, text="dear"), [Noted(text="dear")]),
]


@pytest.mark.parametrize(("old", "today"), OLD, ids=[f"{old.type} {old.schema_version}" for old, _ in OLD])
def test_an_older_event_is_read_as_todays(old: StoredEvent, today: list[Event]) -> None:
    assert READER.of_stream([old]) == today
    assert READER.one(old) == today
    assert READER.each([old]) == [(old, event) for event in today]


PAIR = (stored(2, "AmountSet", 1, amount="1.50"), stored(3, "CurrencySet", 1, currency="EUR"))


def test_two_events_beside_each_other_are_merged() -> None:
    """Whatever stands before and behind them."""
    before, behind = stored(1, "Noted", 1, text="a"), stored(4, "Priced", 1, price="1.50")
    assert READER.of_stream([before, *PAIR, behind]) == [Noted(text="a"), EUR, EUR]


@pytest.mark.parametrize(
    "between", [(PAIR[0],), (PAIR[1],), (PAIR[0], stored(3, "Noted", 1, text="a"), PAIR[1]), (PAIR[1], PAIR[0])]
)
def test_what_is_merged_only_cannot_stand_alone(between: tuple[StoredEvent, ...]) -> None:
    with pytest.raises(UnknownEvent, match=r"(AmountSet|CurrencySet) 1 at version \d of item-1 is merged only"):
        READER.of_stream(between)
    with pytest.raises(UnknownEvent, match="merged only"):
        READER.one(between[0])
    with pytest.raises(ConfigurationError, match="AmountSet 1, CurrencySet 1: merged only"):
        READER.check_alone()


@evolved(
    2,
    merge(("Low", 1), ("High", 1), lambda low, high: {"low": low["at"], "high": high["at"]}, into=("Range", 1)),
    merge(("Range", 1), ("Unit", 1), lambda span, unit: {**span, **unit}, into=("Range", 2)),
    default_field("Range", 1, "unit", "m"),
    upcast("Low", 1, lambda data: {"low": data["at"], "high": None}, into=("Range", 1)),
    drop_event("Unit", 1),
)
class Range(Event, frozen=True):
    low: int
    high: int | None
    unit: str


RANGES: EventReader[Event] = EventReader([Range, Noted])


def test_what_was_merged_is_merged_again() -> None:
    low, high, unit = stored(1, "Low", 1, at=1), stored(2, "High", 1, at=9), stored(3, "Unit", 1, unit="km")
    assert RANGES.of_stream([low, high, unit]) == [Range(low=1, high=9, unit="km")]
    assert RANGES.of_stream([low, high]) == [Range(low=1, high=9, unit="m")]


def test_where_the_other_is_missing_each_goes_its_own_way() -> None:
    """And so it goes one way with its neighbour, as another event of its own way would."""
    low, noted, unit = stored(1, "Low", 1, at=1), stored(2, "Noted", 1, text="a"), stored(3, "Unit", 1, unit="km")
    alone = Range(low=1, high=None, unit="m")
    assert RANGES.of_stream([low, noted, unit]) == [alone, Noted(text="a")]
    assert RANGES.of_stream([low, unit]) == [Range(low=1, high=None, unit="km")]
    assert RANGES.one(low) == [alone]
    assert RANGES.one(unit) == []


class Pages:
    """A stream in memory."""

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self._events = events

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
        return [each for each in self._events if each.stream == stream and each.version > after][:limit]


_KINDS: list[tuple[str, int, dict[str, Any]]] = [
    ("Low", 1, {"at": 1}),
    ("Unit", 1, {"unit": "km"}),
    ("Range", 1, {"low": 2, "high": 3}),
    ("Range", 2, {"low": 2, "high": 3, "unit": "km"}),
    ("Noted", 1, {"text": "a"}),
]
_STREAMS = st.lists(st.sampled_from(_KINDS), max_size=12).map(
    lambda kinds: [stored(n, name, version, **data) for n, (name, version, data) in enumerate(kinds, 1)]
)


@settings(deadline=None)
@given(events=_STREAMS, page=st.integers(1, 5))
def test_pages_do_not_matter(events: list[StoredEvent], page: int) -> None:
    """However a history is cut, what is merged is the same; each event has the place of a stored one, in order."""
    found = list(RANGES.history(Pages(events), "item-1", page=page))
    assert [event for _, event in found] == RANGES.of_stream(events)
    versions = [place.version for place, _ in found]
    assert versions == sorted(versions)
    assert {place.version for place, _ in found} <= {each.version for each in events}


@settings(deadline=None)
@given(events=_STREAMS, until=st.integers(0, 13))
def test_a_history_up_to_a_version_is_that_of_the_stream_at_that_time(events: list[StoredEvent], until: int) -> None:
    """By version and by event time, which are the same here."""
    expected = RANGES.of_stream(events[:until])
    assert [event for _, event in RANGES.history(Pages(events), "item-1", AsOf(version=until), page=3)] == expected
    assert [event for _, event in RANGES.history(Pages(events), "item-1", AsOf(at_ms=until), page=3)] == expected


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from("abcd")
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rename"), _FIELDS, _FIELDS),
        st.tuples(st.just("default"), _FIELDS, _JSON),
        st.tuples(st.just("event"), st.sampled_from(("A", "B")), st.none()),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(steps=_STEPS, data=st.dictionaries(_FIELDS, _JSON), begin=st.integers(0, 6))
def test_a_chain_is_its_steps_one_after_another(
    steps: list[tuple[str, str, Any]], data: dict[str, Any], begin: int
) -> None:
    """From wherever in it an event was stored; what is in its fields comes through to the letter."""
    name, version, expected, names, chain = "A", 1, dict(data), [("A", 1)], []
    for number, (kind, first, second) in enumerate(steps):
        old = (name, version)
        version += 1
        if kind == "rename":
            chain.append(rename_field(*old, first, second))
        elif kind == "default":
            chain.append(default_field(*old, first, second))
        else:
            name = first
            chain.append(rename_event(*old, name, version))
        names.append((name, version))
        if number >= begin:
            if kind == "rename" and first in expected:
                value = expected.pop(first)
                expected[second] = value
            elif kind == "default":
                expected = {first: second, **expected}
    reader: EventReader[Any] = EventReader([evolved(version, *chain)(_event(name, "abcd"))])
    first_name, first_version = names[min(begin, len(steps))]
    (found,) = reader.of_stream([stored(1, first_name, first_version, **data)])
    assert {field: getattr(found, field) for field in expected} == expected


def _event(name: str, fields: str = "") -> type[Event]:
    """A class for events of that name, whose fields may hold anything."""
    optional = [(field, Any, None) for field in fields]
    made: Any = msgspec.defstruct("Made", optional, bases=(Event,), tag=name, frozen=True, kw_only=True)
    return cast(type[Event], made)


def declared(version: int, *upcasters: Any) -> EventReader[Any]:
    return EventReader([evolved(version, *upcasters)(_event("A"))])


def test_declarations_that_cannot_work() -> None:
    """Each with what is wrong."""

    def same(data: dict[str, Any]) -> dict[str, Any]:
        return data

    for upcasters, what in (
        ((upcast("A", 2, same),), "leads from A 2, which is what is stored today"),
        ((upcast("A", 1, same), rename_event("A", 1, "A", 2)), "two upcasters lead from A 1"),
        ((rename_event("B", 1, "C"),), "from B 1 leads nowhere: C 1"),
        ((rename_event("B", 1, "C"), rename_event("C", 1, "B")), "in a circle: B 1, C 1, B 1"),
        ((split("B", 1, lambda _: [], into=[("A", 2), ("C", 4)]),), "leads nowhere: C 4"),
    ):
        with pytest.raises(ConfigurationError, match=what):
            declared(2, *upcasters)
    with pytest.raises(ConfigurationError, match="count from 1"):
        evolved(0)
    with pytest.raises(ConfigurationError, match="share a name"):
        EventReader([*EVENTS, _event("Noted")])


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (stored(7, "Priced", 4, amount="1"), r"Priced 4 at version 7 of item-1 has no path .*today's is 3"),
        (stored(7, "Sold", 1), r"Sold 1 at version 7 of item-1 has no path .*no event of today's has the name"),
    ],
)
def test_an_event_without_a_path_is_named_with_its_place(event: StoredEvent, what: str) -> None:
    """A newer version too: what it means is not known here."""
    for read in (READER.of_stream, READER.each):
        with pytest.raises(UnknownEvent, match=what):
            read([event])


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (stored(7, "PricedAndNoted", 1), "from PricedAndNoted 1, at version 7 of item-1, failed: KeyError"),
        (stored(7, "PricedAndNoted", 1, amount={}, note={}), "Priced 3, made of version 7 of item-1, does not fit"),
        (stored(7, "Priced", 2, amount="much"), "Priced 3, made of version 7 of item-1, does not fit"),
    ],
)
def test_what_an_upcaster_cannot_take_is_told(event: StoredEvent, what: str) -> None:
    with pytest.raises(CodecError, match=what):
        READER.of_stream([event])


def test_an_upcaster_leads_only_where_it_says() -> None:
    reader = declared(2, split("A", 1, lambda _: [EventData("B", 1, {})], into=[("A", 2)]))
    with pytest.raises(CodecError, match="led to B 1, which it does not name"):
        reader.of_stream([stored(1, "A", 1)])


def test_numbers_keep_every_digit() -> None:
    """A number with a fraction is no float on its way."""

    @evolved(2, upcast("Measured", 1, lambda data: data))
    class Measured(Event, frozen=True):
        at: Decimal
        count: int

    reader: EventReader[Any] = EventReader([Measured])
    payload = b'{"type":"Measured","at":0.1000000000000000055511151231257827,"count":9007199254740993}'
    (found,) = reader.of_stream([StoredEvent("m-1", 1, "Measured", payload, 1, 1, "a", None)])
    assert found == Measured(at=Decimal("0.1000000000000000055511151231257827"), count=9007199254740993)


def test_a_class_that_inherits_has_a_version_of_its_own() -> None:
    class Sub(Priced, frozen=True, tag="Sub"):
        pass

    assert EventReader([Sub]).stamp(Sub(amount=Decimal(1), currency="EUR")) == ("Sub", 1)
    with pytest.raises(ConfigurationError, match="Priced is not declared"):
        EventReader([Noted]).stamp(EUR)  # type: ignore[arg-type]
