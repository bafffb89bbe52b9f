"""A view is filled beside the live one, compared, put in its place, and put back; on both engines."""

import random
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from mainstem.listener.actions import make_tables
from mainstem.listener.binding import Binding
from mainstem.listener.desk import Listeners
from mainstem.listener.letters import read_letter_id
from mainstem.listener.moving import Target
from mainstem.listener.runner import Runner
from mainstem.rebuild import Progress, Rebuild, code_of
from mainstem.rebuild import filling as filling_module
from mainstem.rebuild import rebuild as rebuild_module
from mainstem.rebuild.rebuild import discard, forget
from mainstem.rebuild.versions import mark_made, versions_of
from mainstem.table import Table
from mainstem.view.port import ViewStore
from mainstem.view.projection import Fold
from mainstem.view.sqlite import SqliteViews
from mainstem.view.window import Session
from tests.mainstem.rebuild.totals import (
    ALL,
    DOUBLED,
    TOTAL,
    TOTALS,
    Counted,
    Interrupting,
    Live,
    Span,
    Total,
    doubling,
    open_log,
    prepare,
    windowed,
)


def rebuild(live: Live, binding: Binding[Any] = TOTALS, *, swap: bool = True) -> Progress:
    return Rebuild(binding, live.log, [live.views]).run(threading.Event(), swap=swap)


def count_up(live: Live, times: int = 40) -> None:
    for number in range(times):
        live.say("abcdefg"[number % 7], number)
    live.listen()


def test_the_new_version_takes_the_place_of_the_live_one(live: Live) -> None:
    """At the same offsets, with the old one kept; nothing is sent."""
    count_up(live)
    before, offsets, sent = live.rows(), live.views.offsets("totals"), live.sent()
    done = rebuild(live)
    assert (done.state, done.error, done.records, done.of) == ("done", None, 40, 40)
    assert (live.rows(), live.views.offsets("totals"), live.sent()) == (before, offsets, sent)
    assert list(live.views.scan(versions_of(TOTALS).old)) == before
    found = done.comparison
    assert found is not None
    assert (found.live_rows, found.built_rows, found.differing, found.why) == (7, 7, 0, None)
    assert found.live_checksum == found.built_checksum
    live.say("a", 1)
    live.listen()
    assert live.views.reached("totals", "a") == 7


def test_a_listener_that_was_moved_back(live: Live) -> None:
    """Its view has more than it has done since: a new version up to there would take rows away."""
    live = Live(live.log, live.views, ALL["rows"])
    make_tables(live.views)
    count_up(live)
    before, group = live.rows(), live.binding.group
    live.runner.leave()
    desk = Listeners([live.binding], live.log, live.views, clock_ms=lambda: 1)
    desk.pause(group, who="ann", why="a test")
    desk.move(group, Target(end="begin"), who="ann", why="a test")
    for swap in (True, False):
        done = rebuild(live, live.binding, swap=swap)
        assert done.state == "failed"
        assert "was moved back, and its view is further than it is" in (done.error or "")
    assert live.rows() == before
    live.listen()
    done = rebuild(live, live.binding)
    assert (done.state, done.comparison and done.comparison.differing) == ("done", 0)
    assert live.rows() == before


def test_rows_that_differ_are_told_and_replaced(live: Live) -> None:
    """One that was changed, one that is gone, one that nobody has made."""
    count_up(live)
    right = live.rows()
    with live.views.transaction() as transaction:
        transaction.put(TOTAL, [Total("a", 999, 6), Total("x", 1, 1)])
        transaction.remove(TOTAL, [("b",)])
    found = rebuild(live).comparison
    assert found is not None
    assert (found.live_rows, found.built_rows, found.differing) == (7, 7, 3)
    assert found.live_checksum != found.built_checksum
    assert {each.key: each.why for each in found.differences} == {
        "a": "differs in number",
        "b": "the live view has no such row",
        "x": "the new one has no such row",
    }
    assert found.why is not None
    assert "damaged" in found.why
    assert live.rows() == right


def test_what_was_built_may_wait_to_be_swapped(live: Live) -> None:
    """It is seen and compared; the next run goes on with it."""
    count_up(live)
    with live.views.transaction() as transaction:
        transaction.put(TOTAL, [Total("a", 999, 6)])
    built = rebuild(live, swap=False)
    assert (built.state, built.comparison and built.comparison.differing) == ("built", 1)
    assert Total("a", 999, 6) in live.rows()
    count_up(live, 7)
    done = rebuild(live)
    assert (done.state, done.resumed, done.records) == ("done", 40, 47)
    assert Total("a", 999, 6) not in live.rows()


def test_other_code_makes_the_view_stale_until_it_is_rebuilt(live: Live) -> None:
    """And what the old code had built beside it is begun anew."""
    wrong = Live(live.log, live.views, DOUBLED)
    mark_made(live.views, DOUBLED)
    count_up(wrong)
    assert rebuild(live, DOUBLED, swap=False).state == "built"
    assert code_of(TOTALS) != code_of(DOUBLED)
    done = rebuild(live, TOTALS)
    assert (done.state, done.resumed) == ("done", 0)
    assert done.comparison is not None
    assert (done.comparison.differing, done.comparison.why) == (7, "the live view was made by other code")
    assert live.views.made_by("totals") == code_of(TOTALS)
    assert sum(row.number for row in live.rows()) == sum(range(40))


def test_it_never_goes_beyond_what_the_listener_has_done(live: Live) -> None:
    """Else what the listener would have sent then would never be sent."""
    count_up(live)
    for number in range(10):
        live.say("a", number)
    done = rebuild(live)
    assert (done.state, done.records) == ("done", 40)
    told = sum(live.sent()[0])
    live.listen()
    assert sum(live.sent()[0]) == told + 10


def test_rolled_back_with_what_has_come_since(live: Live) -> None:
    """The rows that were replaced stand again, and go on."""
    count_up(live)
    with live.views.transaction() as transaction:
        transaction.put(TOTAL, [Total("a", 999, 6)])
    assert rebuild(live).state == "done"
    live.say("a", 1)
    live.say("b", 1)
    live.listen()
    offsets = live.views.offsets("totals")
    back = Rebuild(TOTALS, live.log, [live.views]).roll_back(threading.Event())
    assert (back.state, back.error) == ("done", None)
    rows = {row.thing: row.number for row in live.rows()}
    assert (rows["a"], rows["b"], live.views.offsets("totals")) == (1000, sum(range(1, 40, 7)) + 1, offsets)
    again = Rebuild(TOTALS, live.log, [live.views]).roll_back(threading.Event())
    assert (again.state, "no version of total is kept" in str(again.error)) == ("failed", True)


def test_what_is_kept_can_be_dropped_and_what_is_built_discarded(live: Live) -> None:
    count_up(live)
    rebuild(live)
    assert forget(TOTALS, live.views)
    assert not forget(TOTALS, live.views)
    rebuild(live, swap=False)
    assert discard(TOTALS, live.views)
    assert not discard(TOTALS, live.views)
    assert rebuild(live).resumed == 0


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few records are many steps."""
    monkeypatch.setattr(rebuild_module, "_PAGE", 2)
    monkeypatch.setattr(rebuild_module, "_PAGES", 2)
    monkeypatch.setattr(rebuild_module, "_HELD", 4)
    monkeypatch.setattr(rebuild_module, "_CLOSE", 4)
    monkeypatch.setattr(rebuild_module, "_TOUCHED_MAX", 5)


def test_a_page_has_a_bound_in_bytes(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of some forty bytes, two to a page once that is known."""
    monkeypatch.setattr(filling_module, "_FIRST", 1)
    monkeypatch.setattr(filling_module, "_BYTES", 100)
    monkeypatch.setattr(rebuild_module, "_PAGES", 1)
    count_up(live)
    pages = [0]

    def before() -> None:
        pages[0] += 1

    store: Any = Interrupting(live.views, before)
    done = Rebuild(TOTALS, live.log, [store]).run(threading.Event(), swap=False)
    assert (done.state, done.records) == ("built", 40)
    assert 18 <= pages[0] <= 25


@pytest.mark.usefixtures("small_pages")
def test_stopped_and_gone_on_with(live: Live) -> None:
    """At the offsets that are kept with the rows."""
    count_up(live)
    stop, left = threading.Event(), [5]

    def before() -> None:
        left[0] -= 1
        if not left[0]:
            stop.set()

    store: Any = Interrupting(live.views, before)
    stopped = Rebuild(TOTALS, live.log, [store]).run(stop)
    assert stopped.state == "stopped"
    assert 0 < stopped.records < 40
    done = rebuild(live)
    assert (done.state, done.resumed, done.records) == ("done", stopped.records, 40)
    assert done.comparison is not None
    assert done.comparison.differing == 0


def test_records_that_are_gone_leave_the_view_as_it_is(live: Live) -> None:
    count_up(live)
    live.log.create(replace(live.log.topics()["counted"], retention_bytes=1))
    live.log.apply_retention(10**15)  # type: ignore[attr-defined]
    before = live.rows()
    done = rebuild(live)
    assert (done.state, live.rows()) == ("failed", before)
    assert "retention has removed" in str(done.error)


def test_a_record_that_today_cannot_be_handled_is_named(live: Live) -> None:
    """The live view, which other code has made, goes on."""
    wrong = Live(live.log, live.views, DOUBLED)
    for number in (1, -1, 2):
        wrong.say("a", number)
    wrong.listen()
    sent = live.sent()
    done = rebuild(live, TOTALS)
    assert done.state == "failed"
    assert "@1, key 'a' cannot be handled, and is no dead letter: ValueError: nobody counts so" in str(done.error)
    assert (live.rows(), live.sent()) == ([Total("a", 4, 3)], sent)
    assert live.views.made_by(versions_of(TOTALS).built.name) == code_of(TOTALS)


def _with_a_dead_letter(live: Live) -> None:
    for thing, number in (("a", 1), ("b", 5), ("a", -1), ("a", 2), ("b", 6)):
        live.say(thing, number)
    live.listen()
    assert live.views.parked_since("totals").keys() == {"a"}


def test_keys_behind_dead_letters_wait_in_the_new_version_too(live: Live) -> None:
    """And are retried there as they would have been."""
    _with_a_dead_letter(live)
    before, since, why = live.rows(), live.views.parked_since("totals"), live.views.parked("totals")
    sent = live.sent()
    done = rebuild(live)
    assert (done.state, done.error) == ("done", None)
    assert (live.rows(), live.views.parked_since("totals"), live.views.parked("totals")) == (before, since, why)
    assert live.sent() == sent
    mended = Runner(replace(TOTALS, projection=Fold(TOTAL, lambda m: (m.thing,), doubling)), live.log, live.views)
    mended.step()
    assert mended.retry("a") == 2
    assert {row.thing: row.times for row in live.rows()} == {"a": 3, "b": 2}


def test_dropped_dead_letters_stay_out(live: Live) -> None:
    _with_a_dead_letter(live)
    live.runner.drop("a", "nobody counts so")
    live.say("a", 4)
    live.listen()
    before = live.rows()
    done = rebuild(live)
    assert (done.state, done.comparison and done.comparison.differing, live.rows()) == ("done", 0, before)
    assert Total("a", 5, 4) in before


_AS_FIVE = msgspec.json.encode(Counted("a", 5, 2))


def edit(live: Live, value: bytes = _AS_FIVE) -> None:
    """The first letter of a."""
    first = live.runner.dead_letters("a")[0]
    live.runner.letters.edit(*read_letter_id(first.id), value, "a slip", "ann")


def _rebuilt_as(live: Live, before: list[Any]) -> None:
    """A rebuild makes what stood before."""
    done = rebuild(live)
    assert (done.state, done.error) == ("done", None)
    assert (done.comparison and done.comparison.differing, live.rows()) == (0, before)


def test_an_edited_letter_is_taken_as_it_was_edited(live: Live) -> None:
    """The last edit before it was retried holds."""
    _with_a_dead_letter(live)
    edit(live, msgspec.json.encode(Counted("a", 4, 2)))
    edit(live)
    assert live.runner.retry("a") == 2
    before = live.rows()
    assert Total("a", 8, 3) in before
    _rebuilt_as(live, before)


def test_a_letter_that_was_edited_and_dropped_stays_out(live: Live) -> None:
    _with_a_dead_letter(live)
    edit(live)
    live.runner.drop("a", "nobody counts so")
    live.say("a", 4)
    live.listen()
    before = live.rows()
    assert Total("a", 5, 4) in before
    _rebuilt_as(live, before)


class _Dead(Exception):
    """The process dies."""


def _die(*_: object) -> None:
    raise _Dead


@pytest.mark.parametrize("first", ["retry", "drop"])
@pytest.mark.parametrize("then", ["retry", "drop"])
def test_what_a_crash_has_left_open_is_settled_by_what_follows(live: Live, first: str, then: str) -> None:
    """The log had closed the letters before; the views had not."""
    _with_a_dead_letter(live)
    edit(live, msgspec.json.encode(Counted("a", 4, 2)))
    letters = live.runner.letters
    with pytest.raises(_Dead):
        letters.retry("a", threading.Event().wait, _die) if first == "retry" else letters.drop("a", "x", also=_die)
    assert live.views.parked_since("totals").keys() == {"a"}
    edit(live)
    live.runner.retry("a") if then == "retry" else live.runner.drop("a", "nobody counts so")
    before = live.rows()
    assert Total("a", *((8, 3) if then == "retry" else (1, 1))) in before
    _rebuilt_as(live, before)


def test_a_letter_that_was_dropped_and_later_retried(live: Live) -> None:
    """The view was lost in between, and filled from the begin: what was dropped failed anew."""
    _with_a_dead_letter(live)
    live.runner.drop("a", "nobody counts so")
    live.runner.leave()
    live.views.drop(TOTAL, "totals")
    again = Live(live.log, live.views)
    again.listen()
    edit(again)
    assert again.runner.retry("a") == 2
    before = again.rows()
    assert Total("a", 8, 3) in before
    _rebuilt_as(again, before)


def test_a_key_that_is_dropped_meanwhile(live: Live) -> None:
    """What has left it out for another reason is begun anew."""
    _with_a_dead_letter(live)
    told = [False]

    def after() -> None:
        if not told[0] and live.views.parked(versions_of(TOTALS).built.name):
            told[0] = True
            live.runner.drop("a", "nobody counts so")
            live.say("a", 4)
            live.listen()

    store: Any = Interrupting(live.views, lambda: None, after)
    done = Rebuild(TOTALS, live.log, [store]).run(threading.Event())
    assert (done.state, told, live.views.parked("totals")) == ("done", [True], {})
    assert Total("a", 5, 4) in live.rows()


def test_a_view_of_other_columns(live: Live) -> None:
    """Nothing to compare; no way back without the code of before."""

    class Wide(Struct, frozen=True):
        thing: str
        number: int
        times: int
        least: int

    def widest(row: Wide | None, message: Counted) -> Wide:
        before = row or Wide(message.thing, 0, 0, message.number)
        least = min(before.least, message.number)
        return Wide(message.thing, before.number + message.number, message.times, least)

    count_up(live)
    table = Table("total", Wide, key=("thing",))
    wide: Binding[Any] = replace(TOTALS, projection=Fold(table, lambda message: (message.thing,), widest))
    done = rebuild(live, wide)
    assert (done.state, done.error, done.comparison) == ("done", None, None)
    live.views.create(table)
    assert [row.least for row in live.views.scan(table)] == list(range(7))
    back = Rebuild(wide, live.log, [live.views]).roll_back(threading.Event())
    assert (back.state, "ConfigurationError" in str(back.error)) == ("failed", True)
    assert [row.least for row in live.views.scan(table)] == list(range(7))


_Act = Callable[[Live], None]


class _Traffic:
    """Says, listens and asks at random moments. What is asked never goes backwards."""

    def __init__(self, live: Live, seed: int) -> None:
        self._live = live
        self._choice = random.Random(seed)
        self._seen: dict[str, int] = {}
        self.left = 60

    def __call__(self) -> None:
        for _ in range(self._choice.randrange(6)):
            if self.left:
                self.left -= 1
                self._live.say(self._choice.choice("abcdefgh"), self._choice.randrange(100))
        if self._choice.random() < 0.7:
            for _ in range(self._choice.randrange(4)):
                self._live.runner.step()
        self.ask()

    def ask(self) -> None:
        live = self._live
        seen: dict[str, int] = {}
        for row in live.views.find(live.table, {}, limit=10_000):
            seen[row.thing] = seen.get(row.thing, 0) + row.number
        for thing, number in self._seen.items():
            assert seen.get(thing, 0) >= number, thing
        self._seen = seen


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("binding", ALL.values(), ids=ALL)
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), ahead=st.integers(0, 30), back=st.booleans())
def test_at_random_moments_of_traffic(binding: Binding[Any], seed: int, ahead: int, back: bool) -> None:
    """The swapped view is what a listener makes that begins now, every message went out once, nothing went back."""
    with (
        TemporaryDirectory() as name,
        closing(open_log(Path(name))) as log,
        closing(SqliteViews(Path(name) / "views.db")) as views,
    ):
        live = Live(log, views, binding)
        traffic = _Traffic(live, seed)
        count_up(live, ahead)
        store: Any = Interrupting(views, traffic, traffic.ask)
        done = Rebuild(binding, log, [store]).run(threading.Event())
        assert (done.state, done.error) == ("done", None)
        assert done.comparison is not None
        assert done.comparison.differing == 0
        if back:
            traffic.left = 20
            assert Rebuild(binding, log, [store]).roll_back(threading.Event()).state == "done"
        live.listen()
        _check_against_anew(live, Path(name))


def _check_against_anew(live: Live, folder: Path) -> None:
    told = live.ends("told")
    with closing(SqliteViews(folder / "anew.db")) as views:
        prepare(views, live.binding)
        silent = Runner(replace(live.binding, emit=None, group="anew"), live.log, views)
        while silent.step():
            continue
        assert list(views.scan(live.table)) == live.rows()
        assert views.offsets("anew") == live.views.offsets(live.binding.group)
    assert sum(told) == sum(live.ends("counted"))


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("binding", ALL.values(), ids=ALL)
def test_under_traffic_on_either_engine(live: Live, binding: Binding[Any], tmp_path: Path) -> None:
    """As at random moments, with one seed."""
    live = Live(live.log, live.views, binding)
    seed = random.SystemRandom().randrange(1_000_000)
    traffic = _Traffic(live, seed)
    count_up(live, 20)
    store: Any = Interrupting(live.views, traffic, traffic.ask)
    done = Rebuild(binding, live.log, [store]).run(threading.Event())
    assert (done.state, done.error) == ("done", None), f"seed {seed}"
    assert (done.comparison and done.comparison.differing) == 0, f"seed {seed}"
    live.listen()
    assert live.rows()
    _check_against_anew(live, tmp_path)


def test_a_window_that_differs_is_told(live: Live) -> None:
    """One that was changed, and one that nobody has made."""
    binding = windowed(Session(4))
    live = Live(live.log, live.views, binding)
    count_up(live)
    right = live.rows()
    with live.views.transaction() as transaction:
        transaction.put(live.table, [msgspec.structs.replace(right[0], counted=99), Span("x", 1, 5, 1, 1, 1)])
    found = rebuild(live, binding).comparison
    assert found is not None
    assert {each.key: each.why for each in found.differences} == {
        f"{right[0].thing} {right[0].begin_ms}": "differs in counted",
        "x 1": "the new one has no such row",
    }
    assert live.rows() == right


def test_two_at_once_are_told_apart(live: Live) -> None:
    """The second fills what the first has begun; whoever comes too late changes nothing."""
    count_up(live)
    other = Rebuild(TOTALS, live.log, [live.views])
    once = [True]

    def before() -> None:
        if once[0] and live.views.offsets(versions_of(TOTALS).built.name):
            once[0] = False
            assert other.run(threading.Event()).state == "done"

    store: Any = Interrupting(live.views, before)
    first = Rebuild(TOTALS, live.log, [store]).run(threading.Event())
    assert first.state == "failed"
    assert "finished by another" in str(first.error)
    assert sum(row.number for row in live.rows()) == sum(range(40))


def test_partitions_are_shared_out_among_stores(live: Live, views: ViewStore) -> None:
    count_up(live)
    done = Rebuild(TOTALS, live.log, [views, views, views]).run(threading.Event())
    assert (done.state, done.comparison and done.comparison.differing) == ("done", 0)
