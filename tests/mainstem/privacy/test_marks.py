"""Marks that can work, and those that cannot: they are told where an application is declared."""

from decimal import Decimal
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct, defstruct

from mainstem import AGGREGATE, Application, Binding, Decider, Event, Personal, Rows, Table, recorded_events
from mainstem.errors import ConfigurationError
from mainstem.privacy.marks import Mark, marks_of
from tests.mainstem.privacy.shop import CUSTOMER, Address, Joined

OF = Personal(of="id")


class Plain(Struct, frozen=True):
    id: str
    name: str
    amount: Decimal = Decimal(0)


class Marked(Struct, frozen=True):
    id: str | None
    name: Annotated[str, OF]
    email: Annotated[str | None, Personal(of="id", kind="person", what="mail")] = None
    phone: Annotated[str, Personal(of=AGGREGATE)] | None = None


def test_marks_are_found_with_what_they_mean() -> None:
    assert marks_of(Plain) == ()
    assert marks_of(Marked) == (
        Mark("name", "id", "id", "name"),
        Mark("email", "id", "person", "mail"),
        Mark("phone", None, "", "phone"),
    )
    message = Marked("7", "Ada")
    assert [mark.subject(message, "customer-9") for mark in marks_of(Marked)] == ["id:7", "person:7", "customer:9"]
    assert marks_of(Marked)[0].subject(Marked(None, "Ada"), "customer-9") is None


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Annotated[int, OF], "must be a str"),
        (Annotated[str | int, OF], "must be a str"),
        (Annotated[list[str], OF], "must be a str"),
        (Annotated[str, Meta(max_length=20), OF], "without limits"),
        (Annotated[str, OF, Personal(of="id")], "must be a str"),
        (Annotated[str, Personal(of="owner")], "no unmarked text field"),
        (Annotated[str, Personal(of="count")], "no unmarked text field"),
        (Annotated[str, Personal(of="it")], "no unmarked text field"),
        (Annotated[str, Personal(of="id", kind="A person")], "no lower-case identifier"),
        (list[Annotated[str, OF]], "has a mark in it"),
        (dict[str, Annotated[str, OF]], "has a mark in it"),
        (Marked, "marked fields of Marked in it"),
        (tuple[Marked, ...] | None, "marked fields of Marked in it"),
    ],
)
def test_a_mark_that_cannot_work(kind: Any, why: str) -> None:
    struct = defstruct("Wrong", [("id", str), ("it", kind), ("count", int, 0)])
    with pytest.raises(ConfigurationError, match=why):
        marks_of(struct)


def test_it_is_told_where_the_application_is_declared() -> None:
    """Of an event, and of a view in whose key a token would be."""

    class Moved(Event, frozen=True):
        to: Annotated[str, Personal(of="nobody")]

    wrong: Decider[Any, Any, Any] = Decider(
        category="customer",
        initial=CUSTOMER.initial,
        decide=CUSTOMER.decide,
        evolve=CUSTOMER.evolve,
        target=CUSTOMER.target,
        commands=CUSTOMER.commands,
        events=(Joined, Moved),
    )
    with pytest.raises(ConfigurationError, match=r"Moved\.to is personal data of 'nobody'"):
        Application(name="shop", deciders=(wrong,))
    table = Table("address", Address, key=("id",), indexes=(("town",),))
    view = Binding(
        group="a", topic="event", decoder=recorded_events(CUSTOMER.events), projection=Rows(table, lambda _: ())
    )
    with pytest.raises(ConfigurationError, match="town of table address is personal"):
        Application(name="shop", deciders=(CUSTOMER,), listeners=(view,))
