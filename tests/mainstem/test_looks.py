"""Up to when a stage has everything, by looks at all stages on the way."""

from collections.abc import Callable
from typing import Any

import pytest

from bank.main import application
from mainstem import Application, Binding, Decoder, Topic
from mainstem.assembly.flow import stages_before
from mainstem.health import Seen
from mainstem.looks import Looks

_BEFORE = {"capture": (), "view": ("capture",), "olap": ("view",)}


class Clock:
    """Moved by the looks themselves: each takes ten milliseconds, unless it says otherwise."""

    def __init__(self) -> None:
        self.now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms

    def look(self, seen: Seen, takes_ms: int = 10) -> Callable[[], Seen]:
        def look() -> Seen:
            self.now_ms += takes_ms
            return seen

        return look


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def looks(clock: Clock) -> Looks:
    return Looks(_BEFORE, clock)


def test_nothing_is_known_before_every_stage_was_looked_at(looks: Looks, clock: Clock) -> None:
    assert looks.has_up_to("view") is None
    looks.take("capture", clock.look(Seen()))
    assert looks.has_up_to("view") is None
    looks.take("view", clock.look(Seen()))
    assert looks.has_up_to("view") == 1_000
    assert looks.has_up_to("olap") is None


def test_a_stage_that_has_lost_what_it_had_has_it_no_longer(looks: Looks, clock: Clock) -> None:
    for stage in _BEFORE:
        looks.take(stage, clock.look(Seen()))
    looks.take("view", clock.look(Seen("away", lag=None, lag_s=None)))
    assert looks.has_up_to("view") is not None
    looks.take("view", clock.look(Seen("lost", holds=False)))
    assert looks.has_up_to("view") is None
    looks.take("view", clock.look(Seen()))
    assert looks.has_up_to("view") == 1_000


def test_what_waits_at_any_stage_counts(looks: Looks, clock: Clock) -> None:
    looks.take("capture", clock.look(Seen(lag=2, lag_s=0.25)))
    looks.take("view", clock.look(Seen()))
    assert looks.has_up_to("view") == 750
    looks.take("capture", clock.look(Seen()))
    looks.take("view", clock.look(Seen(lag=1, lag_s=0.1)))
    assert looks.has_up_to("view") == 1_030 - 100


def test_a_look_counts_where_it_had_ended_before_the_next_stage_was_looked_at(looks: Looks, clock: Clock) -> None:
    """A fact that is captured after the view was looked at is in neither lag."""
    looks.take("capture", clock.look(Seen()))
    clock.now_ms = 2_000
    looks.take("view", clock.look(Seen()))
    clock.now_ms = 3_000
    looks.take("capture", clock.look(Seen()))
    assert looks.has_up_to("view") == 1_000
    looks.take("view", clock.look(Seen()))
    assert looks.has_up_to("view") == 3_000


def test_a_stage_that_does_not_work_tells_nothing(looks: Looks, clock: Clock) -> None:
    looks.take("capture", clock.look(Seen()))
    looks.take("view", clock.look(Seen()))
    clock.now_ms = 5_000
    looks.take("capture", clock.look(Seen("failed")))
    looks.take("view", clock.look(Seen(lag_s=None)))
    assert looks.has_up_to("view") == 1_000


def test_what_is_known_is_never_taken_back(looks: Looks, clock: Clock) -> None:
    looks.take("capture", clock.look(Seen()))
    looks.take("view", clock.look(Seen()))
    for _ in range(100):
        looks.take("capture", clock.look(Seen(lag=1, lag_s=3.0)))
    assert looks.has_up_to("view") == 1_000
    looks.take("view", clock.look(Seen(lag=1, lag_s=5.0)))
    assert looks.has_up_to("view") == 1_000


def test_a_look_that_takes_long_counts_what_was_known_when_it_began(looks: Looks, clock: Clock) -> None:
    looks.take("capture", clock.look(Seen()))

    def slow() -> Seen:
        looks.take("capture", clock.look(Seen(), takes_ms=5_000))
        return Seen()

    looks.take("view", slow)
    assert looks.has_up_to("view") == 1_000


def test_the_stages_before_those_of_the_bank() -> None:
    before = stages_before(application, "relay")
    assert before["relay"] == ()
    assert before["card-balance"] == before["process"] == ("relay",)
    assert before["mini-statement"] == ("relay",)
    assert before["olap-bankapp"] == ("mini-statement",)
    assert before.keys() - {"relay"} == {each.group for each in application.all_listeners()} | {"olap-bankapp"}


def test_what_is_looked_at_for_a_stage() -> None:
    looks = Looks(stages_before(application, "relay"))
    assert looks.up_to("card-balance") == ("relay", "card-balance")
    assert looks.up_to("olap-bankapp") == ("relay", "mini-statement", "olap-bankapp")


def test_listeners_that_hear_each_other_do_not_wait_for_each_other() -> None:
    ping, pong = Topic("ping"), Topic("pong")

    def listener(hears: Topic, says: Topic) -> Binding[Any]:
        return Binding(group=f"of-{hears.name}", topic=hears.name, decoder=Decoder(Any), emit=lambda _: [], out=(says,))

    both = (listener(ping, pong), listener(pong, ping))
    before = stages_before(Application(name="table", deciders=(), listeners=both, topics=(ping, pong)), "relay")
    assert (before["of-ping"], before["of-pong"]) == ((), ())
