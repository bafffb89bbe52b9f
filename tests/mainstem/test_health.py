"""Since when something does not work."""

from mainstem.health import Memory, Seen, Trouble, hop_of, trouble_of


def test_since_is_the_first_look_that_found_it_so() -> None:
    memory = Memory()
    assert memory.since("kafka", True, 1_000) is None
    assert memory.since("kafka", False, 60_000) == "1970-01-01T00:01:00Z"
    assert memory.since("kafka", False, 90_000) == "1970-01-01T00:01:00Z"
    assert memory.since("mysql", True, 90_000) is None
    assert memory.since("kafka", True, 95_000) is None
    assert memory.since("kafka", False, 120_000) == "1970-01-01T00:02:00Z"


def test_a_pause_is_no_trouble() -> None:
    assert [Seen(state).works for state in ("running", "paused", "stalled")] == [True, True, False]


def test_a_trouble_without_words_is_its_state() -> None:
    assert trouble_of(hop_of("relay", Seen("stopped"), "1970-01-01T00:02:00Z")) == Trouble(
        "stopped", "1970-01-01T00:02:00Z"
    )
