"""Wrong wiring fails where the application is declared, and names the line to fix."""

import inspect
from dataclasses import replace
from typing import Any

import pytest

from bank.balance import BALANCE
from bank.main import application
from mainstem import Application, Binding
from mainstem.errors import ConfigurationError


def with_listener(binding: Binding[Any]) -> Application:
    return replace(application, listeners=(*application.listeners, binding))


def line() -> int:
    """The line that calls."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_a_topic_that_nobody_makes() -> None:
    wrong, at = replace(BALANCE, group="mine", topic="evnt", projection=None, emit=lambda _: []), line()
    with pytest.raises(ConfigurationError, match="nobody makes the topic 'evnt' that mine hears") as found:
        with_listener(wrong)
    assert f"declared at {__file__}:{at};" in str(found.value)


def test_two_owners_of_one_view() -> None:
    wrong, at = replace(BALANCE, group="mine"), line()
    with pytest.raises(ConfigurationError, match="two of one name: view card_balance, declared at ") as found:
        with_listener(wrong)
    assert f" and at {__file__}:{at}" in str(found.value)
    assert "bank/balance.py:" in str(found.value)


def test_two_listeners_of_one_name() -> None:
    with pytest.raises(ConfigurationError, match=r"two of one name: listener card-balance, declared at .*balance\.py:"):
        with_listener(BALANCE)
