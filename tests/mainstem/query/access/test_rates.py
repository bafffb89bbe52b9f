"""Each caller has a bucket; it fills with time; the number of buckets is bounded."""

import pytest

from mainstem.errors import TooManyRequests
from mainstem.query.access.caller import network_of
from mainstem.query.access.rates import Rates


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills() -> None:
    clock = Clock()
    rates = Rates(60, 2, clock_s=clock)
    rates.take("a")
    rates.take("a")
    with pytest.raises(TooManyRequests) as caught:
        rates.take("a")
    assert caught.value.retry_after_s == 1
    rates.take("b")
    clock.now += 1
    rates.take("a")
    with pytest.raises(TooManyRequests):
        rates.take("a")
    clock.now += 3600
    rates.take("a")
    rates.take("a")
    with pytest.raises(TooManyRequests):
        rates.take("a")


def test_one_who_keeps_asking_is_let_in_as_often_as_allowed() -> None:
    clock = Clock()
    rates = Rates(60, 1, clock_s=clock)
    let_in = 0
    for _ in range(800):
        clock.now += 0.125
        try:
            rates.take("a")
        except TooManyRequests:
            continue
        let_in += 1
    assert 99 <= let_in <= 101


def test_few_callers_are_remembered() -> None:
    clock = Clock()
    rates = Rates(1, 1, callers_max=2, clock_s=clock)
    rates.take("a")
    rates.take("b")
    with pytest.raises(TooManyRequests):
        rates.take("a")  # now the last that has asked
    rates.take("c")
    with pytest.raises(TooManyRequests):
        rates.take("a")
    rates.take("b")  # was forgotten


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a name", "a name"),
    ],
)
def test_a_site_is_one_caller(address: str, counted: str) -> None:
    """Of IPv6 it has so many addresses that each request could come from another."""
    assert network_of({"client": (address, 1)}) == counted


def test_one_whose_address_is_not_known_is_counted_too() -> None:
    assert network_of({"client": None}) == "unknown"
