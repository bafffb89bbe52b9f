"""What a caller prefers: read as RFC 7240 says, and told where it was honoured."""

import pytest

from mainstem.query.preferences import wanted
from mainstem.query.problems import InvalidInput


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [
        ("wait=3", 3.0),
        ("Wait = 3", 3.0),
        ('wait="3"', 3.0),
        ("respond-async, wait=0; more=1, wait=9", 0.0),
        ("wait=3.5", None),
        ("wait=-1", None),
        ("waits=3", None),
        ("wait", None),
        ("wait=99999999999999999999", None),
        ("", None),
        (None, None),
    ],
)
def test_the_first_wait_that_can_be_read(prefer: str | None, wait_s: float | None) -> None:
    assert wanted((), prefer, None).wait_s == wait_s


def test_what_was_honoured() -> None:
    assert wanted((None, "p"), "wait=3", None).applied(5) == {"Preference-Applied": "wait=3"}
    assert wanted((), "wait=30", "2").applied(5) == {"Preference-Applied": "wait=5"}
    assert wanted((), "wait=3", None).applied(5) == {}
    assert wanted(("p",), None, None).applied(5) == {}
    assert wanted(("p", "q"), None, None).patience_s(5) == 5


@pytest.mark.parametrize("age", ["", "-1", "1.5", "soon", "9999999999", "³"])
def test_an_age_that_is_none(age: str) -> None:
    with pytest.raises(InvalidInput, match="a whole number from 0"):
        wanted((), None, age)
