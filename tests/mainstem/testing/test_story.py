"""The kit says what is other, and finds what no decider may do."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from msgspec import Struct

from bank.card import CARD, Card, CardBlocked, CardOpened, LimitChanged, MoneyWithdrawn, OpenCard, Withdraw
from mainstem import Command, Decider, Event, Refused
from mainstem.testing import FakeClock, FakeIds, given

OPENED = CardOpened(limit=Decimal("100.00"))
ASKED = Withdraw(card="anna", amount=Decimal(30))
SPENT = MoneyWithdrawn(amount=Decimal("30.00"))


def fails(check: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as caught:
        check()
    return str(caught.value)


def test_what_holds_passes() -> None:
    given(CARD, OPENED).when(ASKED).then(SPENT).then_state(Card("active", Decimal(100), Decimal(30)))
    refused = given(CARD, OPENED, CardBlocked(note="lost")).when(ASKED)
    refused.then(Refused("card-blocked", "")).then(Refused("card-blocked", "Card anna is blocked"))
    refused.then_refused("card-blocked").then_state(Card("blocked", Decimal(100), Decimal(0)))


def test_other_events_are_told_field_by_field() -> None:
    text = fails(lambda: given(CARD, OPENED).when(ASKED).then(MoneyWithdrawn(amount=Decimal("31.00"))))
    assert text == (
        "Withdraw(card='anna', amount=Decimal('30')) led to other than expected (- expected, + found):\n"
        "    MoneyWithdrawn(\n"
        "  -     amount=Decimal('31.00'),\n"
        "  +     amount=Decimal('30.00'),\n"
        "        transfer=None,\n"
        "        merchant=None,\n"
        "        reference=None,\n"
        "    )\n"
        "decided on Card(status='active', limit=Decimal('100.00'), used=Decimal('0.00'), held={}, customer=None,"
        " holder=None)"
    )


def test_one_event_too_many_and_none_at_all() -> None:
    assert "  + MoneyWithdrawn(" in fails(lambda: given(CARD, OPENED).when(ASKED).then())
    assert "  - (nothing)" in fails(lambda: given(CARD, OPENED).when(ASKED).then())
    more = fails(lambda: given(CARD, OPENED).when(ASKED).then(SPENT, LimitChanged(limit=Decimal(1))))
    assert "  - LimitChanged(\n" in more


def test_a_refusal_is_told_by_reason_and_text() -> None:
    decision = given(CARD, OPENED, CardBlocked(note="lost")).when(ASKED)
    assert "  +     reason='card-blocked'," in fails(lambda: decision.then(SPENT))
    assert "  -     reason='card-closed'," in fails(lambda: decision.then_refused("card-closed"))
    assert "  -     text='Sorry'," in fails(lambda: decision.then(Refused("card-blocked", "Sorry")))
    assert "was to be refused" in fails(lambda: given(CARD, OPENED).when(ASKED).then_refused("card-blocked"))
    with pytest.raises(TypeError):
        decision.then(SPENT, Refused("card-blocked", ""))


def test_another_state_is_told() -> None:
    text = fails(lambda: given(CARD, OPENED).when(ASKED).then_state(Card("active", Decimal(100), Decimal(31))))
    assert "  -     used=Decimal('31'),\n  +     used=Decimal('30.00'),\n" in text


class Basket(Struct):
    """Not frozen deep down."""

    things: list[str] = []


class Put(Command, frozen=True):
    thing: str


class WasPut(Event, frozen=True):
    thing: Any
    number: int = 0


class Undeclared(Event, frozen=True):
    pass


def basket(decide: Callable[[Basket, Put], Sequence[Event]]) -> Decider[Put, Event, Basket]:
    return Decider(
        category="basket",
        initial=Basket(),
        decide=decide,
        evolve=lambda state, event: Basket([*state.things, str(getattr(event, "thing", ""))]),
        target=lambda command: command.thing,
        commands=(Put,),
        events=(WasPut,),
    )


def _mutating(state: Basket, command: Put) -> list[Event]:
    state.things.append(command.thing)
    return [WasPut(thing=command.thing)]


def _counting(numbers: Iterator[int]) -> Callable[[Basket, Put], Sequence[Event]]:
    return lambda _state, command: [WasPut(thing=command.thing, number=next(numbers))]


@pytest.mark.parametrize(
    ("decide", "text"),
    [
        (_mutating, "has changed the state"),
        (_counting(count()), "decide must be pure"),
        (lambda _state, _command: [Undeclared()], "Undeclared is not among the events of basket"),
        (lambda _state, _command: [WasPut(thing=(1, 2))], "comes back from the store as another"),
        (lambda _state, _command: [WasPut(thing=1j)], "does not come back from the store"),
    ],
)
def test_what_no_decider_may_do_is_found(decide: Callable[[Basket, Put], Sequence[Event]], text: str) -> None:
    assert text in fails(lambda: given(basket(decide), WasPut(thing="a")).when(Put(thing="b")))


def test_events_and_commands_of_others_are_found() -> None:
    pure = basket(lambda _state, _command: [])
    assert "Undeclared is not among the events" in fails(lambda: given(pure, Undeclared()).when(Put(thing="b")))
    assert "OpenCard is not among the commands" in fails(
        lambda: given(pure).when(OpenCard(card="anna", limit=Decimal(1)))
    )


def test_a_clock_that_stands_and_names_in_their_order() -> None:
    clock, ids = FakeClock(5_000), FakeIds("card")
    assert (clock(), clock.advance(s=1.5), clock.advance(ms=-1), clock()) == (5_000, 6_500, 6_499, 6_499)
    assert [ids(), ids()] == ["card-1", "card-2"]
