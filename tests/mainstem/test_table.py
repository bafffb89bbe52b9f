"""Declared tables: exact decimals, rows that no table could hold, names that no engine could take."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

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


@pytest.mark.parametrize("values", [(1, 2), (None, "1.00", 0, None, 0.0), ("a", "many", 0, None, 0.0)])
def test_stored_values_of_another_kind(values: tuple[Any, ...]) -> None:
    with pytest.raises((CodecError, ValueError)):
        TABLE.from_values(values)


class Odd(Struct, frozen=True):
    id: str
    tags: list[str]


class Capital(Struct, frozen=True):
    Id: str


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
    ],
)
def test_a_declaration_that_no_engine_could_hold(name: str, row: Any, key: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Table(name, row, key=key)


def test_names_are_quoted() -> None:
    assert quoted("order", "id") == '"order", "id"'
