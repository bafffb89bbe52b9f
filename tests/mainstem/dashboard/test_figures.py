"""Rates out of counters."""

import pytest

from mainstem.dashboard.figures import Point, commands, handled, lag, per_second, rate, rates


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], None),
        ([(1.0, 5.0)], None),
        ([(1.0, 5.0), (2.0, 8.0)], 3.0),
        ([(0.0, 0.0), (1.0, 100.0), (6.0, 110.0)], 2.0),  # of the last five seconds alone
        ([(0.0, 0.0), (60.0, 120.0)], 2.0),  # there is no closer look
        ([(1.0, 500.0), (2.0, 4.0)], 4.0),  # the process began anew
    ],
)
def test_a_rate_is_the_growth_in_a_second(points: list[Point], expected: float | None) -> None:
    assert rate(points) == expected


def test_the_rates_of_every_look() -> None:
    assert rates([(0.0, 0.0), (1.0, 2.0), (2.0, 2.0)], over_s=1.0) == [2.0, 0.0]


def test_what_stages_have_handled() -> None:
    """A stage of an application of before tells nothing."""
    assert handled([{"name": "a", "handled": 5}, {"name": "b", "handled": None}, {"name": "c"}]) == {"a": 5.0}


def test_counters_of_the_writer() -> None:
    text = (
        'mainstem_commands_total{outcome="accepted"} 3.0\nmainstem_commands_total{outcome="refused"} 1.0\n'
        "mainstem_command_batches_total 2.0\nmainstem_commands_waiting 0.0\nother_total 9.0\n"
    )
    assert commands(text) == {"accepted": 3.0, "refused": 1.0, "batches": 2.0, "waiting": 0.0}


def test_in_words() -> None:
    assert [per_second(value) for value in (None, 0.0, 0.25, 1234.5)] == ["… /s", "0 /s", "0.2 /s", "1,234 /s"]
    assert [lag(None, None), lag(0, 0.0), lag(1200, 2.5)] == ["lag unknown", "no lag", "1,200 behind, 2.5 s"]
