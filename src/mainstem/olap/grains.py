"""Periods of time, all in UTC: where each begins, and the one so many before or behind it. A week begins on Monday.

A time is a naive `datetime` in UTC here, as the port's answers have it.
"""

from datetime import datetime, timedelta
from typing import Literal, get_args

from mainstem.errors import InvalidQuery

Grain = Literal["minute", "hour", "day", "week", "month"]
GRAINS: tuple[Grain, ...] = get_args(Grain)

_LENGTHS: dict[str, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_MONDAY = datetime.min  # noqa: DTZ901 - the first of January of the year 1, in UTC as all times here
_MONTHS = 12


def begin_of(grain: Grain, at: datetime) -> datetime:
    """Where the period begins that the time is in."""
    length = _LENGTHS.get(grain)
    if length is None:
        return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return at - (at - _MONDAY) % length


def behind(grain: Grain, begin: datetime, periods: int) -> datetime:
    """Where the period begins that is so many behind one, or before it. Raises InvalidQuery beyond years 1 to 9999."""
    length = _LENGTHS.get(grain)
    try:
        if length is not None:
            return begin + length * periods
        years, month = divmod(begin.month - 1 + periods, _MONTHS)
        return begin.replace(year=begin.year + years, month=month + 1)
    except (OverflowError, ValueError) as error:
        raise InvalidQuery("a period is out of range: times are of the years 1 to 9999") from error


def periods_between(grain: Grain, begin: datetime, end: datetime) -> int:
    """How many periods there are from one's begin to another's."""
    length = _LENGTHS.get(grain)
    if length is not None:
        return (end - begin) // length
    return (end.year - begin.year) * _MONTHS + end.month - begin.month
