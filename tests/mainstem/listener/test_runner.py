"""Listeners: the effect is exactly once whatever dies when, and a key's order holds behind a dead letter."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.codec import Decoder
from mainstem.errors import ConfigurationError, Fenced, ListenerError, StoreFull
from mainstem.listener.binding import Binding
from mainstem.listener.letters import described, origin_of
from mainstem.listener.runner import Runner, _Lingering
from mainstem.log.lag import Lag
from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
from mainstem.view.projection import Rows
from mainstem.view.sqlite import SqliteViews
from tests.adder import (
    ENTRIES,
    FLAKY,
    POISON,
    QUICK,
    SUMS,
    Count,
    Entry,
    Handlers,
    drain,
    open_log,
    open_views,
    send,
    sent,
    sums,
)


def test_rows_positions_offsets_and_messages(log: SqliteLog, views: SqliteViews) -> None:
    send(log, ("a", 1), ("b", 2), ("a", 3))
    runner = Runner(Handlers().binding(), log, views)
    drain(runner)
    assert sums(views) == {"a": (4, 2), "b": (2, 1)}
    assert sorted(sent(log)) == [("a", 1), ("a", 1), ("a", 3), ("a", 3), ("b", 2), ("b", 2)]
    assert (views.reached("adder", "a"), views.reached("adder", "b")) == (3, 2)
    assert runner.status().handled == 3
    assert runner.lag(now_ms=10) == Lag(0, 0.0)
    send(log, ("a", 1))
    assert runner.lag(now_ms=1_005) == Lag(1, 1.0)
    assert sum(views.offsets("adder").values()) == 3
    assert sum(log.committed("adder").values()) == 3


class Dies(BaseException):
    """The process dies here: nothing behind this point runs, and no handler of errors either."""


def _dying(real: Callable[..., Any], when: int, *, before: bool) -> Callable[..., Any]:
    calls = 0

    def call(*values: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == when:
            raise Dies
        found = real(*values, **named)
        if calls == when:
            raise Dies
        return found

    return call


@pytest.mark.parametrize("step", ["send", "transaction"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("when", [1, 2])
def test_dying_before_or_after_any_step_of_a_batch(
    log: SqliteLog, views: SqliteViews, step: str, before: bool, when: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [("abc"[number % 3], number) for number in range(20)]
    send(log, *messages)
    runner = Runner(Handlers().binding(), log, views)
    owner: Any = {"send": log, "transaction": views}[step]
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, _dying(getattr(owner, step), when, before=before))
        with pytest.raises(Dies):
            drain(runner)
    drain(Runner(Handlers().binding(batch_max=7), log, views))
    _once_each(log, views, messages)


def _once_each(log: SqliteLog, views: SqliteViews, messages: Sequence[tuple[str, int]]) -> None:
    expected: dict[str, tuple[int, int]] = {}
    for account, add in messages:
        total, count = expected.get(account, (0, 0))
        expected[account] = (total + add, count + 1)
    assert sums(views) == expected
    assert sorted(sent(log)) == sorted([*messages, *messages])


_DEATHS, _WHAT = ("send", "transaction", "append"), ("poison", "mend", "retry", "refill")
_script = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("abc"), st.one_of(st.integers(0, 100), st.just(POISON))),
        st.tuples(st.sampled_from(_DEATHS), st.booleans()),
        st.tuples(st.sampled_from(_WHAT), st.none()),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(script=_script, batch_max=st.integers(1, 8))
def test_any_script_of_messages_deaths_faults_and_retries(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, Any]], batch_max: int
) -> None:
    """Each death meets the next step of its kind; in the end all is mended; each message counts and is sent once."""
    folder = tmp_path_factory.mktemp("script")
    log, views, handlers = open_log(folder), open_views(folder), Handlers()
    messages = []
    for first, second in script:
        if first in _DEATHS:
            with pytest.MonkeyPatch.context() as patched:
                owner: Any = views if first == "transaction" else log
                patched.setattr(owner, first, _dying(getattr(owner, first), 1, before=second))
                with suppress(Dies):
                    _retry_all(Runner(handlers.binding(batch_max), log, views), views)
        elif first in _WHAT:
            _do(first, handlers, log, views)
        else:
            messages.append((first, second))
            send(log, (first, second))
    handlers.poisoned = False
    _retry_all(Runner(handlers.binding(batch_max), log, views), views)
    _once_each(log, views, messages)
    log.close()
    views.close()


def _do(what: str, handlers: Handlers, log: SqliteLog, views: SqliteViews) -> None:
    if what == "refill":
        views.drop(SUMS, "adder")
        views.create(SUMS)
    elif what == "retry":
        _retry_all(Runner(handlers.binding(), log, views), views)
    else:
        handlers.poisoned = what == "poison"


def _retry_all(runner: Runner, views: SqliteViews) -> None:
    drain(runner)
    for key in views.parked("adder"):
        with suppress(ListenerError):
            runner.retry(key)
    drain(runner)


def test_a_dead_letter_keeps_its_keys_order_behind_it(log: SqliteLog, views: SqliteViews) -> None:
    """Also after a restart; other keys flow."""
    send(log, ("a", 1), ("a", POISON), ("b", 5), ("a", 3))
    drain(Runner(Handlers().binding(), log, views))
    send(log, ("a", 4), ("b", 6))
    runner = Runner(Handlers().binding(), log, views)
    drain(runner)
    assert sums(views) == {"a": (1, 1), "b": (11, 2)}
    dead = [each for n in log.ranges("counts.adder.dead") for each in log.read("counts.adder.dead", n, 0, 100)]
    assert [msgspec.json.decode(each.value or b"")["add"] for each in dead] == [POISON, 3, 4]
    assert [described(each)["reason"] for each in dead] == ["failed", "behind", "behind"]
    assert {each.key for each in dead} == {"a"}
    first = described(dead[0])
    assert (first["exception"], first["cause"], first["group"]) == ("ValueError", "poison", "adder")
    assert "raise ValueError" in first["traceback"]
    partition = log.partition_of("counts", "a")
    origins = [origin_of(each) for each in dead]
    stored = {each.offset: each for each in log.read("counts", partition, 0, 100)}
    assert [stored[each.offset] for each in origins] == origins
    assert runner.status().parked == 1
    assert views.parked("adder")["a"].startswith("ValueError")
    assert sorted(sent(log)) == sorted([("a", 1), ("b", 5), ("b", 6)] * 2)


@pytest.mark.parametrize("value", [None, b"", b"no JSON", b'{"account":"a"}', b'{"account":"a","add":"x"}', b"1,2"])
def test_what_cannot_be_decoded_is_a_dead_letter(log: SqliteLog, views: SqliteViews, value: bytes | None) -> None:
    log.append([NewRecord(topic="counts", key="bad", value=value, timestamp_ms=0)])
    send(log, ("a", 1))
    runner = Runner(Handlers().binding(), log, views)
    drain(runner)
    assert sums(views) == {"a": (1, 1)}
    assert runner.status().dead == 1


def test_a_transient_failure_is_tried_again(log: SqliteLog, views: SqliteViews) -> None:
    send(log, ("a", 1), ("a", FLAKY), ("a", 2))
    drain(Runner(Handlers(flaky=3).binding(), log, views))  # once with the whole batch, then twice of three tries
    assert sums(views) == {"a": (1 + FLAKY + 2, 3)}


def test_a_failure_that_stays_is_a_dead_letter_after_the_last_try(log: SqliteLog, views: SqliteViews) -> None:
    send(log, ("a", FLAKY), ("b", 1))
    handlers = Handlers(flaky=100)
    drain(Runner(handlers.binding(), log, views))
    assert sums(views) == {"b": (1, 1)}
    assert handlers.flaky == 100 - 1 - QUICK.attempts


def test_a_row_that_the_table_cannot_hold_is_a_dead_letter(log: SqliteLog, views: SqliteViews) -> None:
    send(log, ("a", 1), ("b", 2**62), ("b", 2**62))
    drain(Runner(Handlers().binding(), log, views))
    assert sums(views) == {"a": (1, 1), "b": (2**62, 1)}


def test_a_store_that_fails_stalls_the_listener_and_dead_letters_nothing(
    log: SqliteLog, views: SqliteViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(log, ("a", 1))
    runner = Runner(Handlers().binding(), log, views)
    stop = threading.Event()

    def full() -> Any:
        raise StoreFull("no space left for views.db")

    with monkeypatch.context() as patched:
        patched.setattr(views, "transaction", full)
        running = threading.Thread(target=runner.run, args=(stop,))
        running.start()
        _eventually(lambda: runner.status().state == "stalled")
        assert "no space left" in str(runner.status().reason)
    _eventually(lambda: sums(views) == {"a": (1, 1)})
    _eventually(lambda: runner.status().state == "running")
    stop.set()
    running.join(10)
    assert (runner.status().state, runner.status().dead) == ("stopped", 0)


def test_what_was_removed_before_it_was_read_is_never_skipped_silently(log: SqliteLog, views: SqliteViews) -> None:
    """Nor where it was the first of its partition."""
    Runner(Handlers().binding(), log, views).step()
    send(log, ("a", 1), ("a", 2))
    log.create(Topic("counts", partitions=2, retention_ms=1))
    log.apply_retention(10_000)
    runner = Runner(Handlers().binding(), log, views)
    stop = threading.Event()
    running = threading.Thread(target=runner.run, args=(stop,))
    running.start()
    _eventually(lambda: runner.status().state == "stalled")
    stop.set()
    running.join(10)
    assert "holds the offsets from 2 to 2, not 0" in str(runner.status().reason)


def test_one_that_was_overtaken_writes_nothing_and_goes_on_behind_the_other(log: SqliteLog, views: SqliteViews) -> None:
    """A member that slept while another did its work."""
    slow, quick = (Runner(Handlers().binding(), log, views) for _ in range(2))
    slow.step()
    send(log, ("a", 1), ("b", 2))
    drain(quick)
    with pytest.raises(Fenced):
        slow.step()
    send(log, ("a", 3))
    drain(slow)
    assert sums(views) == {"a": (4, 2), "b": (2, 1)}


class _Gate:
    """Views that call `before` ahead of their first transaction."""

    def __init__(self, views: SqliteViews, before: Callable[[], None]) -> None:
        self._views = views
        self._before: Callable[[], None] | None = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._views, name)

    def transaction(self) -> Any:
        before, self._before = self._before, None
        if before is not None:
            before()
        return self._views.transaction()


def test_one_that_takes_over_does_not_move_back_what_the_overtaken_still_commits(
    log: SqliteLog, views: SqliteViews
) -> None:
    """The one sleeps between sending and writing; its write comes between the other's reading and parking."""
    Runner(Handlers().binding(), log, views).step()
    send(log, ("a", 1), ("b", 2), ("c", POISON))
    asleep, awake = threading.Event(), threading.Event()

    def sleep() -> None:
        asleep.set()
        assert awake.wait(10)

    slow = Runner(Handlers().binding(), log, _Gate(views, sleep))
    working = threading.Thread(target=drain, args=(slow,))
    working.start()
    assert asleep.wait(10)

    def wake() -> None:
        awake.set()
        working.join(10)

    quick = Runner(Handlers().binding(), log, _Gate(views, wake))
    with pytest.raises(Fenced):
        drain(quick)
    assert not working.is_alive()
    drain(quick)
    assert sums(views) == {"a": (1, 1), "b": (2, 1)}
    assert list(views.parked("adder")) == ["c"]


def test_a_paused_listener_goes_on_when_it_is_resumed(log: SqliteLog, views: SqliteViews) -> None:
    runner = Runner(Handlers().binding(), log, views)
    runner.pause()
    stop = threading.Event()
    running = threading.Thread(target=runner.run, args=(stop,))
    running.start()
    send(log, ("a", 1))
    assert sums(views) == {}
    runner.resume()
    _eventually(lambda: sums(views) == {"a": (1, 1)})
    stop.set()
    running.join(10)
    assert not running.is_alive()


def test_rows_of_each_message_are_added_once(log: SqliteLog, views: SqliteViews) -> None:
    """Also when the view's offsets were lost with their file's last commits."""
    binding: Binding[Count] = Binding(
        group="entries",
        topic="counts",
        decoder=Decoder(Count),
        projection=Rows(ENTRIES, lambda message: [Entry(f"{message.account}-{message.version}", message.add)]),
    )
    send(log, ("a", 1), ("b", 2))
    drain(Runner(binding, log, views))
    with views.transaction() as transaction:
        transaction.save("entries", {("counts", 0): 0, ("counts", 1): 0}, [])
    drain(Runner(binding, log, views))
    assert sorted(row.add for row in views.scan(ENTRIES)) == [1, 2]


def test_a_binding_that_does_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="neither keeps a view nor emits"):
        Binding(group="idle", topic="counts", decoder=Decoder(Count))


_RUNNING = """
import sys
from pathlib import Path
from mainstem.listener.runner import Runner
from tests.adder import Handlers, open_log, open_views
folder = Path(sys.argv[1])
runner = Runner(Handlers().binding(batch_max=5), open_log(folder), open_views(folder))
while True:
    if not runner.step(0.05):
        print("drained", flush=True)
    else:
        print("step", flush=True)
"""


def test_killed_with_9_again_and_again(log: SqliteLog, views: SqliteViews, tmp_path: Path) -> None:
    messages = [("abcd"[number % 4], number) for number in range(600)]
    send(log, *messages)
    for _ in range(5):
        words = [sys.executable, "-c", _RUNNING, str(tmp_path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
            assert process.stdout is not None
            for _ in range(12):
                process.stdout.readline()
            process.kill()
    drain(Runner(Handlers().binding(), log, views))
    _once_each(log, views, messages)


def _eventually(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("not within ten seconds")


def test_under_load_messages_gather_for_the_linger(log: SqliteLog, views: SqliteViews) -> None:
    """After many at once, the next batch begins that much later, and has all that came; after a few, at once."""
    linger_ms = 400
    runner = Runner(replace(Handlers().binding(), linger_ms=linger_ms, batch_max=100), log, views)
    many = [(key, number) for number in range(1, 21) for key in "ab"]
    send(log, *many)
    began = time.monotonic()
    assert runner.step() == len(many)
    send(log, ("a", 21))
    send(log, ("a", 22))
    assert runner.step() == 2
    assert time.monotonic() - began >= linger_ms / 1000
    assert sums(views)["a"] == (sum(range(1, 23)), 22)


@given(
    linger_ms=st.integers(1, 500),
    batches=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 40)), min_size=1, max_size=20),
)
def test_who_lingers_waits_no_longer_than_that(linger_ms: int, batches: list[tuple[int, int]]) -> None:
    """And not at all where few come, nor where nothing has come for as long."""
    lingering, now, recent = _Lingering(linger_ms / 1000), 100.0, 0
    for pause_ms, records in batches:
        lingering.took(records, now)
        recent += records
        left = lingering.left_s(now)
        assert 0 <= left <= linger_ms / 1000 + 1e-9
        assert left == 0 or recent > 8
        assert lingering.left_s(now + linger_ms / 1000) == 0
        now += pause_ms / 1000
        recent = 0 if pause_ms >= linger_ms else recent


@pytest.mark.parametrize("linger_ms", [-1, 501])
def test_a_linger_that_is_too_long(linger_ms: int) -> None:
    with pytest.raises(ConfigurationError, match="0 to 500"):
        replace(Handlers().binding(), linger_ms=linger_ms)
