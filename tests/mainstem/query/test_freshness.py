"""A query waits until the view has what its client wrote, and no longer than it may."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import InvalidQuery, NotYetThere, StoreUnavailable
from mainstem.messages import Position
from mainstem.query.cursor import cursor_token, read_cursor
from mainstem.query.freshness import Freshness
from mainstem.view.sqlite import SqliteViews


@pytest.fixture
def views(tmp_path: Path) -> Iterator[SqliteViews]:
    views = SqliteViews(tmp_path / "views.db")
    yield views
    views.close()


def _reach(views: SqliteViews, version: int) -> None:
    with views.transaction() as transaction:
        transaction.save("g", {}, [Position("k", version)])


def test_waiting_ends_with_the_commit(views: SqliteViews) -> None:
    async def story() -> None:
        freshness = Freshness(views, asyncio.get_running_loop())
        waiting = [asyncio.ensure_future(freshness.reached("g", Position("k", 3), 10)) for _ in range(5)]
        for version in (1, 2):
            await asyncio.to_thread(_reach, views, version)
        assert not any(each.done() for each in waiting)
        await asyncio.to_thread(_reach, views, 3)
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        await freshness.reached("g", Position("k", 2), 0)
        freshness.close()

    asyncio.run(story())


def test_waiting_has_an_end(views: SqliteViews) -> None:
    async def story() -> None:
        freshness = Freshness(views, asyncio.get_running_loop())
        with pytest.raises(NotYetThere, match=r"0\.05 s"):
            await freshness.reached("g", Position("k", 1), 0.0499996)
        freshness.close()

    asyncio.run(story())


class _Counting(ThreadPoolExecutor):
    """Counts what it is given to do."""

    given = 0

    def submit(self, *args: Any, **named: Any) -> Any:
        self.given += 1
        return super().submit(*args, **named)


def test_many_who_wait_do_not_ask_in_a_thread_each_whenever_something_commits(views: SqliteViews) -> None:
    """There are a dozen commits to a command: hundreds who wait would keep the machine from carrying it out."""
    queries, commits = 200, 20
    threads = _Counting(4)

    async def story() -> int:
        asyncio.get_running_loop().set_default_executor(threads)
        freshness = Freshness(views, asyncio.get_running_loop())
        waiting = [asyncio.ensure_future(freshness.reached("g", Position("k", 99), 10)) for _ in range(queries)]
        await asyncio.sleep(0.5)
        before = threads.given
        for version in range(commits):
            await asyncio.to_thread(_reach, views, version)
            await asyncio.sleep(0.01)
        after = threads.given
        await asyncio.to_thread(_reach, views, 99)
        await asyncio.wait_for(asyncio.gather(*waiting), 10)
        freshness.close()
        return after - before

    assert asyncio.run(story()) < queries * commits / 4


def test_what_a_store_says_of_itself_is_heard_by_who_waits() -> None:
    views = _Elsewhere()

    async def story() -> None:
        freshness = Freshness(views, asyncio.get_running_loop())  # type: ignore[arg-type]
        waiting = [asyncio.ensure_future(freshness.reached("g", Position("k", 1), 10)) for _ in range(3)]
        await asyncio.sleep(0.5)
        views.error = StoreUnavailable("away")
        for each in waiting:
            with pytest.raises(StoreUnavailable, match="away"):
                await asyncio.wait_for(each, 5)
        views.error, views.version = None, 1
        await freshness.reached("g", Position("k", 1), 5)
        freshness.close()

    asyncio.run(story())


class _Elsewhere:
    """Views that another process keeps: nobody here is told of a commit."""

    def __init__(self) -> None:
        self.version = 0
        self.error: Exception | None = None

    def reached(self, *_: str) -> int:
        time.sleep(0.05)
        if self.error is not None:
            raise self.error
        return self.version

    def on_commit(self, _: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


def test_a_view_of_another_process_is_looked_at_without_holding_up_the_loop() -> None:
    views = _Elsewhere()

    async def story() -> int:
        freshness = Freshness(views, asyncio.get_running_loop())  # type: ignore[arg-type]
        waiting = asyncio.ensure_future(freshness.reached("g", Position("k", 1), 10))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
            if turns == 200:
                views.version = 1
        await waiting
        return turns

    assert asyncio.run(story()) >= 200


@pytest.mark.parametrize("values", [["a"], ["ä€", 5], [2**60]])
def test_a_cursor_round_trips(values: list[str | int]) -> None:
    assert read_cursor(cursor_token(values, "/q"), [type(value) for value in values], "/q") == values


@pytest.mark.parametrize(
    "token", ["", "x", "W10", "WzEuNV0", "é", "A" * 2_000, cursor_token(["a", "b"], "/q"), cursor_token([1], "/q")]
)
def test_a_cursor_that_nobody_gave_out(token: str) -> None:
    with pytest.raises(InvalidQuery):
        read_cursor(token, [str], "/q")
