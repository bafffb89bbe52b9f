"""Where a manager begins that is added to an application with history, or renamed: what it has heard, and what not."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from mainstem import Application
from mainstem.assembly import embedded
from mainstem.assembly.stores import commands_of
from mainstem.errors import ConfigurationError
from mainstem.settings import Settings
from tests.mainstem.process.test_processes import FOLLOWER, TALLY, Add, total

WITHOUT = Application(name="small", deciders=(TALLY,))


def _with(begin: Literal["start", "now"], name: str = "follower") -> Application:
    return replace(WITHOUT, processes=(replace(FOLLOWER, name=name, begin=begin),))


def _run(folder: Path, application: Application, *numbers: int) -> int:
    """Add these to `a`, of which the manager adds the double to `b`: how much is there."""
    with embedded(application, Settings(data_dir=folder, topic_partitions=2)) as running:
        for number in numbers:
            running.commands.execute(Add(tally="a", number=number))
        assert running.settle()
        return total(running, "b")


def test_one_that_begins_at_the_start_hears_what_was_before_it(tmp_path: Path) -> None:
    _run(tmp_path, WITHOUT, 1, 2)
    assert _run(tmp_path, _with("start"), 4) == 14


def test_one_that_begins_now_hears_what_comes_from_its_first_start_on(tmp_path: Path) -> None:
    _run(tmp_path, WITHOUT, 1, 2)
    assert _run(tmp_path, _with("now"), 4) == 8
    assert _run(tmp_path, _with("now"), 8) == 24


def test_what_had_not_reached_the_log_was_before_it(tmp_path: Path) -> None:
    """As where a process was killed, or stopped, before the relay had brought all."""
    _run(tmp_path, WITHOUT, 1)
    settings = Settings(data_dir=tmp_path, topic_partitions=2)
    with commands_of(WITHOUT, settings) as commands:  # a writer alone
        for number in range(2, 30):
            commands.execute(Add(tally="a", number=number))
    assert _run(tmp_path, _with("now"), 8) == 16


def test_what_comes_while_it_is_away_is_heard_though_it_has_heard_nothing_yet(tmp_path: Path) -> None:
    _run(tmp_path, WITHOUT, 1)
    embedded(_with("now"), Settings(data_dir=tmp_path, topic_partitions=2)).stop()  # no thread has run
    _run(tmp_path, WITHOUT, 2)
    assert _run(tmp_path, _with("now")) == 4


def test_one_that_is_renamed_and_begins_now_sends_nothing_again(tmp_path: Path) -> None:
    assert _run(tmp_path, _with("start"), 1, 2) == 6
    assert _run(tmp_path, _with("now", "other"), 4) == 14


def test_once_begun_it_goes_on_where_it_was(tmp_path: Path) -> None:
    assert _run(tmp_path, _with("start"), 1) == 2
    _run(tmp_path, WITHOUT, 2)
    assert _run(tmp_path, _with("now")) == 6


def test_where_the_views_are_lost_it_goes_on_where_the_log_knows_it_to_be(tmp_path: Path) -> None:
    _run(tmp_path, WITHOUT, 1)
    assert _run(tmp_path, _with("now"), 2) == 4
    _run(tmp_path, WITHOUT, 4)
    for path in tmp_path.glob("views.db*"):
        path.unlink()
    assert _run(tmp_path, _with("now")) == 12


def test_it_begins_at_one_of_the_two() -> None:
    with pytest.raises(ConfigurationError, match="begins at 'latest'; 'start' or 'now' are possible"):
        replace(FOLLOWER, begin="latest")  # type: ignore[arg-type]
