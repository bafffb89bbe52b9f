"""The log and the views that the listener's tests work on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.log.sqlite import SqliteLog
from mainstem.view.sqlite import SqliteViews
from tests.adder import open_log, open_views


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = open_log(tmp_path)
    yield log
    log.close()


@pytest.fixture
def views(tmp_path: Path) -> Iterator[SqliteViews]:
    views = open_views(tmp_path)
    yield views
    views.close()
