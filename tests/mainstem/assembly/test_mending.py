"""Which of Druid's tasks are ended, and when: `tests/faults/test_druid_asked.py` has what the real one tells."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from bank.main import application
from mainstem.assembly.mending import Mending
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.rebuild.pointing import Pointers
from mainstem.settings import Settings
from mainstem.view.sqlite import SqliteViews


class _Told:
    """What is lost, as a test says, and what was ended."""

    def __init__(self) -> None:
        self.lost: dict[str, set[str]] = {}
        self.ended: list[str] = []

    def lost_tasks(self, name: str) -> frozenset[str]:
        return frozenset(self.lost.get(name, ()))

    def end_task(self, task: str) -> None:
        self.ended.append(task)


@pytest.fixture
def views(tmp_path: Path) -> Iterator[SqliteViews]:
    with closing(SqliteViews(tmp_path / "views.db")) as views:
        Pointers(views).create()
        yield views


def test_a_task_is_ended_that_is_lost_for_long_and_without_a_break(views: SqliteViews) -> None:
    told, mending = _Told(), Mending(application, Settings(), views)
    supervisors = cast(Supervisors, cast(Any, told))
    told.lost = {"bankapp": {"a", "b"}, "of another": {"c"}}
    for now in (0.0, 10.0, 39.9):
        mending.look(supervisors, now)
    assert told.ended == []
    told.lost = {"bankapp": {"b"}}  # Druid has seen to the other by itself
    mending.look(supervisors, 40.0)
    assert told.ended == ["b"]
    told.lost = {"bankapp": {"a"}}
    mending.look(supervisors, 50.0)
    mending.look(supervisors, 89.9)
    assert told.ended == ["b"]
    mending.look(supervisors, 90.0)
    assert told.ended == ["b", "a"]
