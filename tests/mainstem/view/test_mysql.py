"""Views in MySQL that several processes write, each with connections of its own."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path

import pytest

from mainstem.errors import CodecError, Fenced
from mainstem.messages import Position
from mainstem.mysql import MysqlServer
from mainstem.table import Table
from mainstem.testing.contracts.view import BUILT, LINE, Line, line
from mainstem.view import mysql_swap
from mainstem.view.mysql import MysqlViews
from tests.stack import Databases

pytestmark = pytest.mark.stack

KEPT = Table("line__old", Line, key=LINE.key, indexes=LINE.indexes)


@pytest.fixture
def server(databases: Databases, tmp_path: Path) -> MysqlServer:
    return databases(tmp_path)


@pytest.fixture
def members(server: MysqlServer) -> Iterator[tuple[MysqlViews, MysqlViews]]:
    with closing(MysqlViews(server)) as one, closing(MysqlViews(server)) as two:
        one.create(LINE)
        yield one, two


@pytest.mark.parametrize("long", [Line(1, "k" * 256, Decimal(1)), Line(1, "é" * 256, Decimal(1))])
def test_text_of_an_index_has_a_limit(members: tuple[MysqlViews, MysqlViews], long: Line) -> None:
    """Of characters, not of bytes."""
    one, _ = members
    with pytest.raises(CodecError), one.transaction() as transaction:
        transaction.add(LINE, [long])
    with one.transaction() as transaction:
        transaction.add(LINE, [Line(1, long.account[:255], Decimal(1))])


class Died(BaseException):
    """What ends a process in a test, at a step."""


@pytest.mark.parametrize("step", ["_exchange", "_account", "execute"])
@pytest.mark.parametrize("done", [False, True])
def test_an_exchange_is_finished_whatever_dies(
    members: tuple[MysqlViews, MysqlViews], server: MysqlServer, monkeypatch: pytest.MonkeyPatch, step: str, done: bool
) -> None:
    """At any step, before or after it was taken; until it is finished no member of the group can write."""
    one, _ = members
    _fill(one)
    with monkeypatch.context() as patch:
        patch.setattr(mysql_swap, step, _dying(getattr(mysql_swap, step), done, step == "execute"))
        with suppress(Died):
            _swap(one)
    with pytest.raises(Fenced), one.transaction() as transaction:
        transaction.check("g", {("t", 0): 9})
    with closing(MysqlViews(server)) as again:
        again.create(LINE)
        assert [row.id for row in again.scan(LINE)] == [2, 3]
        assert (again.offsets("g"), again.reached("g", "k"), again.parked("g")) == ({("t", 0): 7}, 9, {})
        assert [row.id for row in again.scan(KEPT)] == [1]
        assert (again.offsets(KEPT.name), again.made_by("g")) == ({("t", 0): 7}, "new")


def test_an_exchange_that_was_left_is_finished_by_whoever_needs_it(
    members: tuple[MysqlViews, MysqlViews], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that asks where its group stands."""
    one, two = members
    _fill(one)
    with monkeypatch.context() as patch:
        patch.setattr("mainstem.view.mysql.finish_swaps", lambda _server: None)
        _swap(one)
    assert two.offsets("g") == {("t", 0): 7}
    assert [row.id for row in two.scan(LINE)] == [2, 3]


def _fill(views: MysqlViews) -> None:
    views.create(BUILT)
    with views.transaction() as transaction:
        transaction.add(LINE, [line(1)])
        transaction.save("g", {("t", 0): 9}, [Position("k", 9)])
        transaction.add(BUILT, [line(2), line(3)])
        transaction.save(BUILT.name, {("t", 0): 7}, [Position("k", 5)])
        transaction.mark(BUILT.name, "new")


def _swap(views: MysqlViews) -> None:
    with views.transaction() as transaction:
        transaction.swap(LINE, BUILT, "g", KEPT)


def _dying(step: Callable[..., object], done: bool, only_drops: bool) -> Callable[..., object]:
    def die(*arguments: object) -> object:
        if only_drops and not str(arguments[1]).startswith("DROP"):
            return step(*arguments)
        if done:
            step(*arguments)
        raise Died

    return die
