"""Declared tables: exact decimals, rows that no table could hold, names that no engine could take."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from mainstem.errors import CodecError, ConfigurationError
from mainstem.table import Table, decimal_text, quoted


class Row(Struct, frozen=True):
    id: str
    amount: Decimal
    paid: bool = False
    count: int | None = None
    share: float = 0.0


TABLE = Table("payments", Row, key=("id",))


_MOST = Decimal("9999999999999999.99")


@given(st.decimals(-_MOST, _MOST, places=2))
def test_a_decimal_keeps_every_digit(value: Decimal) -> None:
    text = decimal_text(value, 2)
    assert Decimal(text) == value
    assert text[-3] == "."


@pytest.mark.parametrize(
    ("value", "text"), [("1", "1.00"), ("1E+3", "1000.00"), ("0E-9", "0.00"), ("-0", "-0.00"), ("1.5", "1.50")]
)
def test_a_decimal_in_another_form(value: str, text: str) -> None:
    assert decimal_text(Decimal(value), 2) == text


@pytest.mark.parametrize("value", ["0.001", "NaN", "sNaN", "Infinity", "-Infinity", "1E-5"])
def test_what_is_no_amount(value: str) -> None:
    with pytest.raises(CodecError):
        decimal_text(Decimal(value), 2)


@given(
    st.builds(
        Row,
        id=st.text(),
        amount=st.decimals(-(10**12), 10**12, places=2),
        paid=st.booleans(),
        count=st.none() | st.integers(-(2**63), 2**63 - 1),
        share=st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_a_row_round_trips(row: Row) -> None:
    TABLE.check(row)
    assert TABLE.from_values(TABLE.values(row)) == row
    assert TABLE.key_of(row) == (row.id,)


class Many(Struct, frozen=True):
    id: str
    a: int | None = None
    b: int | None = None
    c: int | None = None
    d: int | None = None
    e: int | None = None
    f: int | None = None
    g: int | None = None


class Kind(StrEnum):
    CARD = "card"


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ({"amount": 0}, ("a", "0.00", 0, None, 0.0)),
        ({"amount": -(10**15)}, ("a", "-1000000000000000.00", 0, None, 0.0)),
        ({"share": 3}, ("a", "1.00", 0, None, 3.0)),
        ({"paid": 1}, ("a", "1.00", 1, None, 0.0)),
        ({"count": True}, ("a", "1.00", 0, 1, 0.0)),
        ({"id": Kind.CARD}, ("card", "1.00", 0, None, 0.0)),
    ],
)
def test_the_same_value_of_another_type_is_taken(values: dict[str, Any], stored: tuple[Any, ...]) -> None:
    found = TABLE.values(Row(**{"id": "a", "amount": Decimal(1), **values}))
    assert found == stored
    assert list(map(type, found)) == list(map(type, stored))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount", 0.1),
        ("amount", "ab.cd"),
        ("amount", None),
        ("amount", 10**18),
        ("amount", Decimal("0.001")),
        ("count", 1.5),
        ("count", "z"),
        ("count", Decimal(1)),
        ("id", 5),
        ("id", None),
        ("id", b"a"),
        ("paid", 2),
        ("paid", "yes"),
        ("share", "0.5"),
        ("share", 2**53 + 1),
        ("share", 10**400),
        ("share", float("nan")),
    ],
)
def test_a_value_that_does_not_fit_its_column(column: str, value: Any) -> None:
    """It could not be read back, or as another: the error says where it was to stand."""
    row = Row(**{"id": "a", "amount": Decimal(1), column: value})
    for method in (TABLE.values, TABLE.check):
        with pytest.raises(CodecError, match=rf"(?s)\b{column} of payments") as found:
            method(row)
        assert str(value)[:20] in str(found.value)


@given(
    st.lists(
        st.builds(
            Row,
            id=st.text(),
            amount=st.decimals(-(10**12), 10**12, places=2) | st.integers(-(10**12), 10**12),
            paid=st.booleans(),
            count=st.none() | st.integers(-(2**63), 2**63 - 1),
            share=st.floats(allow_nan=False, allow_infinity=False),
        )
    )
)
def test_many_rows_are_as_each_alone(rows: list[Row]) -> None:
    assert TABLE.all_values(rows) == [TABLE.values(row) for row in rows]


@pytest.mark.parametrize("bad", [Row("b", Decimal("0.001")), Row("b", Decimal(1), count="z"), Many("b")])  # type: ignore[arg-type]
def test_one_of_many_rows_that_does_not_fit(bad: Any) -> None:
    with pytest.raises(CodecError) as alone:
        TABLE.values(bad)
    with pytest.raises(CodecError) as found:
        TABLE.all_values([Row("a", Decimal(1)), bad])
    assert str(found.value) == str(alone.value)


def test_rows_with_many_columns_that_may_be_none() -> None:
    table = Table("many", Many, key=("id",))
    for row in (Many("x"), Many("x", 1, None, 3), Many("x", 1, 2, 3, 4, 5, 6, 7)):
        assert table.from_values(table.values(row)) == row
    with pytest.raises(CodecError, match="'z' does not fit column g of many"):
        table.values(Many("x", g="z"))  # type: ignore[arg-type]


class Limited(Struct, frozen=True):
    id: str
    count: Annotated[int, Meta(ge=0)]


def test_a_value_beyond_the_limits_of_its_type() -> None:
    table = Table("limited", Limited, key=("id",))
    assert table.all_values([Limited("a", 0)]) == [table.values(Limited("a", 0))] == [("a", 0)]
    with pytest.raises(CodecError, match="a row of limited is not a Limited"):
        table.values(Limited("a", -1))
    with pytest.raises(CodecError, match="a row of limited is not a Limited"):
        table.all_values([Limited("a", -1)])


class Wider(Row, frozen=True):
    more: int = 0


def test_a_row_with_more_columns_than_its_table() -> None:
    with pytest.raises(CodecError, match="a row of 6 columns is no row of payments, which has 5"):
        TABLE.values(Wider("a", Decimal(1)))


@pytest.mark.parametrize("values", [(1, 2), (None, "1.00", 0, None, 0.0), ("a", "many", 0, None, 0.0)])
def test_stored_values_of_another_kind(values: tuple[Any, ...]) -> None:
    with pytest.raises((CodecError, ValueError)):
        TABLE.from_values(values)


class Odd(Struct, frozen=True):
    id: str
    tags: list[str]


class Capital(Struct, frozen=True):
    Id: str


class Either(Struct, frozen=True):
    id: str
    text: str | int


class Optional(Struct, frozen=True):
    id: str | None
    other: int | str | None = None


@pytest.mark.parametrize(
    ("name", "row", "key", "text"),
    [
        ("Payments", Row, ("id",), "lower-case identifier"),
        ("pay ments", Row, ("id",), "lower-case identifier"),
        ('x"; DROP TABLE y', Row, ("id",), "lower-case identifier"),
        ("capital", Capital, ("Id",), "lower-case identifier"),
        ("payments", Row, (), "no key"),
        ("payments", Row, ("number",), "no column 'number'"),
        ("odd", Odd, ("id",), "Odd.tags"),
        ("either", Either, ("id",), r"Either.text is str \| int; a column is one of"),
        ("optional", Optional, ("id",), "Optional.other is"),
        ("payments", Row, ("id", "id"), "names a column twice"),
        ("payments", Row, ("id", "count"), "count is in the key of table payments, and may be None"),
        ("payments", Row, ("amount",), "amount is in the key of table payments, and is a Decimal"),
    ],
)
def test_a_declaration_that_no_engine_could_hold(name: str, row: Any, key: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Table(name, row, key=key)


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ({"amount": -1}, "Row.amount has -1 places; 0 to 18 are possible"),
        ({"amount": 19}, "Row.amount has 19 places"),
        ({"count": 2}, "table payments has places for 'count', which is integer"),
    ],
)
def test_places_that_no_column_has(places: dict[str, int], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Table("payments", Row, key=("id",), places=places)


def test_names_are_quoted() -> None:
    assert quoted("order", "id") == '"order", "id"'
