"""What the charts of spending show: every period has its place, whether something was withdrawn in it or not."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bank.dashboard.spending import periods

_DAY, _FORM = timedelta(days=1), "%Y-%m-%d"


def test_a_period_without_a_withdrawal_has_its_place() -> None:
    found = periods({"2024-03-01": 3, "2024-02-27": 1.5}, _FORM, _DAY, 31)
    assert list(found.items()) == [("2024-02-27", 1.5), ("2024-02-28", 0), ("2024-02-29", 0), ("2024-03-01", 3)]


def test_the_last_are_shown_of_more() -> None:
    hours = {"2026-01-01T00:00:00Z": 9, "2026-03-01T22:00:00Z": 1, "2026-03-02T01:00:00Z": 2}
    found = periods(hours, "%Y-%m-%dT%H:%M:%SZ", timedelta(hours=1), 4)
    assert list(found.values()) == [1, 0, 0, 2]
    assert periods({}, _FORM, _DAY, 31) == {}


@given(st.dictionaries(st.dates(date(2000, 1, 1)), st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 60))
def test_they_follow_each_other_up_to_the_last(days: dict[object, int], most: int) -> None:
    amounts = {str(day): amount for day, amount in days.items()}
    found = periods(amounts, _FORM, _DAY, most)
    assert len(found) <= most
    assert list(found) == sorted(found)
    assert max(amounts) == list(found)[-1]
    assert all(amounts.get(name, 0) == amount for name, amount in found.items())
