"""The row that points to a datasource's live version, what processes know of it, and comparing by sums."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from msgspec import structs

from mainstem.errors import ConfigurationError, Fenced, StoreUnavailable
from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.rebuild.pointing import (
    HELD_S,
    LiveNames,
    Pointed,
    Pointers,
    begun,
    cancelled,
    check_declared,
    dropped,
    forgotten,
    holding,
    named,
    released,
    swapped,
    version_of,
)
from mainstem.rebuild.seen import last_rows, shows
from mainstem.rebuild.sums import SumsCompared
from mainstem.testing.contracts.olap import MISFITS, SALES, record, sale
from mainstem.view.sqlite import SqliteViews

CHECKSUM = 'CAST(hash("id", "pieces", "price_cents", "__time", "shop") % 1000000007 AS BIGINT)'


@pytest.fixture
def views(tmp_path: Path) -> Iterator[SqliteViews]:
    with closing(SqliteViews(tmp_path / "views.db")) as found:
        yield found


@pytest.fixture
def pointers(views: SqliteViews) -> Pointers:
    found = Pointers(views)
    found.create()
    return found


class Clock:
    """Seconds that pass where somebody waits."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def test_versions_have_names_of_their_own() -> None:
    """The first the datasource's own; a long name is cut, and two that begin alike stay two."""
    assert [named("sales", number) for number in (1, 2, 10)] == ["sales", "sales__2", "sales__10"]
    long = "s" * 60
    cut = [named(f"{long}{end}", 12) for end in ("aaa", "bbb")]
    assert [len(each) for each in cut] == [63, 63]
    assert cut[0] != cut[1]
    assert version_of(SALES, 2) == replace(SALES, name="sales__2")
    check_declared(["sales", "returns__2", "sales__more"])
    with pytest.raises(ConfigurationError, match="called as a version of sales"):
        check_declared(["sales", "sales__2"])


def test_a_row_is_changed_by_one_at_a_time(pointers: Pointers) -> None:
    """And not at all where the change is refused."""
    assert pointers.of("sales") == Pointed("sales")

    def count() -> None:
        for _ in range(20):
            pointers.change("sales", lambda row: structs.replace(row, latest=row.latest + 1))

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pointers.of("sales").latest == 61

    with pytest.raises(Fenced):
        pointers.change("sales", lambda row: begun(row, 2, 0))
    assert pointers.of("sales").latest == 61


def test_versions_take_each_others_places() -> None:
    """What was replaced is kept until the next, or put back; no number is given twice."""
    first = begun(Pointed("sales"), 1, 0)
    held = holding(first, 1, 2)
    second = swapped(held, 1, 2, held.held)
    assert (second.live, second.built, second.kept, second.left, second.held) == (2, 0, 1, (), 0)
    back = holding(second, 2, 1)
    third = swapped(back, 2, 1, back.held)
    assert (third.live, third.kept, third.left, third.latest) == (1, 0, (2,), 2)
    fourth = cancelled(begun(dropped(2, third), 1, 0))
    assert (fourth.built, fourth.left, fourth.latest) == (0, (3,), 3)
    another = holding(begun(second, 2, 0), 2, 3)
    assert swapped(another, 2, 3, another.held).left == (1,)
    assert (forgotten(second).kept, forgotten(second).left) == (0, (1,))
    assert begun(begun(second, 2, 0), 2, 3).left == (3,)


def test_who_comes_late_changes_nothing() -> None:
    """It was cancelled, finished by another, or its hold is over."""
    row = begun(Pointed("sales"), 1, 0)
    held = holding(row, 1, 2)
    assert released(held, held.held).held == 0
    assert released(held, held.held + 1) == held
    with pytest.raises(Fenced):
        holding(cancelled(row), 1, 2)
    for changed in (cancelled(held), released(held, held.held), holding(held, 1, 2)):
        with pytest.raises(Fenced):
            swapped(changed, 1, 2, held.held)
    with pytest.raises(Fenced):
        begun(swapped(held, 1, 2, held.held), 1, 2)


def test_a_process_looks_once_a_second(pointers: Pointers) -> None:
    clock = Clock()
    live = LiveNames(pointers, clock, clock.wait)
    assert live("sales") == "sales"
    pointers.change("sales", lambda row: structs.replace(row, live=2))
    clock.wait(0.9)
    assert live("sales") == "sales"
    clock.wait(0.2)
    assert live("sales") == "sales__2"


def test_questions_are_held_until_it_is_swapped(pointers: Pointers) -> None:
    clock = Clock()

    def wait(seconds: float) -> None:
        clock.wait(seconds)
        if clock.now_s >= 102:
            pointers.change("sales", lambda row: structs.replace(row, live=2, held=0))

    pointers.change("sales", lambda row: structs.replace(row, held=1))
    assert LiveNames(pointers, clock, wait)("sales") == "sales__2"
    assert clock.now_s == pytest.approx(102, abs=0.2)


def test_questions_go_on_where_whoever_swaps_has_died(pointers: Pointers) -> None:
    """Each hold holds once."""
    clock = Clock()
    live = LiveNames(pointers, clock, clock.wait)
    for hold in (1, 2):
        pointers.change("sales", lambda row, hold=hold: structs.replace(row, held=hold))  # type: ignore[misc]
        clock.wait(1)
        began_s = clock.now_s
        assert live("sales") == "sales"
        assert clock.now_s - began_s == pytest.approx(HELD_S, abs=0.2)
        began_s = clock.now_s
        assert live("sales") == "sales"
        assert clock.now_s == began_s


def test_what_was_known_holds_while_nobody_can_be_asked(pointers: Pointers, views: SqliteViews) -> None:
    clock = Clock()
    live = LiveNames(pointers, clock, clock.wait)
    pointers.change("sales", lambda row: structs.replace(row, live=2))
    assert live("sales") == "sales__2"
    views.close()
    clock.wait(2)
    assert live("sales") == "sales__2"
    with pytest.raises(StoreUnavailable):
        LiveNames(pointers, clock, clock.wait)("sales")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[DuckdbOlap, DuckdbOlap]]:
    """Two stores with the same sales, of two days."""
    with (
        closing(DuckdbOlap(tmp_path / "live.duckdb")) as live,
        closing(DuckdbOlap(tmp_path / "built.duckdb")) as built,
    ):
        for each in (live, built):
            each.create(SALES)
            each.ingest(SALES, [sale(number) for number in range(5)])
            each.ingest(SALES, [sale(5, at="2026-02-01T00:00:00Z")])
        yield live, built


def test_equal_sums_are_equal_rows(two: tuple[DuckdbOlap, DuckdbOlap]) -> None:
    found = SumsCompared(SALES, CHECKSUM, *two).compared(lambda: None, lambda: None)
    assert (found.live_rows, found.built_rows, found.differing, found.why) == (6, 6, 0, None)
    assert found.live_checksum == found.built_checksum != "0" * 16


def test_rows_that_differ_are_told_and_those_on_their_way_are_not(two: tuple[DuckdbOlap, DuckdbOlap]) -> None:
    """Each store has a record that the other has not read yet; the live one has a row doubled, and one is lost."""
    live, built = two
    late = [sale(10, partition=1, price="1.00"), sale(11, partition=1, price="2.00")]
    live.ingest(SALES, [structs.replace(sale(3), partition=7, offset=0)])  # read a second time
    built.ingest(SALES, [sale(6, at="2026-02-01T12:00:00Z")])
    live.ingest(SALES, late)
    waits = list[int]()

    def both_read() -> None:
        waits.append(1)
        if len(waits) == 2:
            built.ingest(SALES, late)

    found = SumsCompared(SALES, CHECKSUM, live, built).compared(both_read, lambda: None)
    assert (found.live_rows, found.built_rows, found.differing, len(waits)) == (7, 7, 2, 2)
    assert [(each.key, each.why) for each in found.differences] == [
        ("0-3", "the live one has it once more than the new one"),
        ("0-6", "the new one has it once more than the live one"),
    ]
    assert "price_cents 1000" in str(found.differences[0].live)
    assert found.live_checksum != found.built_checksum


def test_a_version_shows_what_is_on_the_topic(tmp_path: Path, two: tuple[DuckdbOlap, DuckdbOlap]) -> None:
    """By the last row of each partition and day, from the offsets on that it is known to have read."""
    _, built = two
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        log.create(Topic(SALES.topic, 1))
        sold = [*(sale(number) for number in range(5)), sale(5, at="2026-02-01T02:00:00+02:00")]
        # a number that is too small for a double is 0, as it is to Druid
        unfit = [value for value in MISFITS if b"1E-999999999" not in (value or b"")]
        misfits = [record(6 + number, value) for number, value in enumerate(unfit)]
        log.append([NewRecord(topic=SALES.topic, key="k", value=each.value, timestamp_ms=1) for each in sold + misfits])
        rows = last_rows(SALES, log, {})
        assert [row[:2] for row in rows] == [
            (datetime.fromisoformat("2026-01-31T09:30:00.125"), "0-4"),
            (datetime.fromisoformat("2026-02-01T00:00:00"), "0-5"),
        ]
        assert shows(SALES, built, rows, 10)
        log.append([NewRecord(topic=SALES.topic, key="k", value=sale(99).value, timestamp_ms=1)])
        rows = last_rows(SALES, log, {(SALES.topic, 0): 6 + len(misfits)})
        assert [row[1] for row in rows] == ["0-99"]
        assert not shows(SALES, built, rows, 10)
        built.ingest(SALES, [sale(99)])
        assert shows(SALES, built, rows, 10)
