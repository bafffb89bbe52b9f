"""One question at a time is under way, whoever gives up."""

import threading
import time
from functools import partial

import pytest

from mainstem.errors import StoreUnavailable
from mainstem.olap.druid_waiting import OneAtATime


def test_an_answer_and_an_error_are_those_of_the_question() -> None:
    asking = OneAtATime("Druid")
    assert asking.ask("a", lambda: 7, 5.0) == 7

    def fails() -> int:
        raise KeyError("b")

    with pytest.raises(KeyError, match="b"):
        asking.ask("a", fails, 5.0)


def test_while_one_is_not_answered_no_other_is_asked() -> None:
    asking, go_on, asked = OneAtATime("Druid"), threading.Event(), list[int]()

    def question(number: int) -> int:
        asked.append(number)
        go_on.wait(20)
        return number

    for number in range(5):
        with pytest.raises(StoreUnavailable, match="has not answered within"):
            asking.ask("a", partial(question, number), 0.05)
    assert asked == [0]
    assert asking.ask("b", lambda: 1, 5.0) == 1  # others have turns of their own
    go_on.set()
    deadline = time.monotonic() + 5
    while len(asked) == 1:
        assert time.monotonic() < deadline
        assert asking.ask("a", lambda: question(9), 5.0) == 9  # never what an earlier one was answered
    assert asked == [0, 9]
