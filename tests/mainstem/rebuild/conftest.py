"""View stores of both engines."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mainstem.view.mysql import MysqlViews
from mainstem.view.port import ViewStore
from mainstem.view.sqlite import SqliteViews
from tests.mainstem.rebuild.totals import Live, open_log
from tests.stack import Databases


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.stack)])
def views(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ViewStore]:
    if request.param == "sqlite":
        with closing(SqliteViews(tmp_path / "views.db")) as opened:
            yield opened
    else:
        databases: Databases = request.getfixturevalue("databases")
        with closing(MysqlViews(databases(tmp_path))) as found:
            yield found


@pytest.fixture
def live(views: ViewStore, tmp_path: Path) -> Iterator[Live]:
    with closing(open_log(tmp_path)) as log:
        yield Live(log, views)
