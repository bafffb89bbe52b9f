"""Listeners paused, resumed, restarted and moved at run time; one that hangs is told, with the line where it is."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from mainstem.errors import ConfigurationError, InvalidQuery, Refused
from mainstem.listener.actions import ACTIONS, MEMBERS, WAITING, Action, Member, living, make_tables, new_action
from mainstem.listener.binding import Binding, RetryPolicy
from mainstem.listener.control import Control
from mainstem.listener.desk import Listeners
from mainstem.listener.moving import Target
from mainstem.listener.runner import Runner
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
from mainstem.table import Table
from mainstem.view.projection import Fold, Joined, Rows
from mainstem.view.sqlite import SqliteViews
from mainstem.view.window import Tumbling, Window, Windowed
from tests.adder import ENTRIES, SUMS, TOPIC, Count, Entry, Handlers, Sum, open_log, open_views, send, sent, sums

WHO, WHY = "ann", "a test"
_WITHIN_S = 20.0


class Process:
    """One process with one listener, whose threads run until the end of the test."""

    def __init__(self, binding: Binding[Count], log: SqliteLog, views: SqliteViews) -> None:
        make_tables(views)
        self.runner = Runner(binding, log, views)
        self.control = Control({binding.group: self.runner}, views, now_ms)
        self.control.look()
        self.desk = Listeners([binding], log, views, clock_ms=now_ms, wake=self.control.wake)
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=each, args=(self._over,)) for each in (self.runner.run, self.control.run)
        ]

    def start(self) -> "Process":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._over.set()
        self.control.wake()
        for thread in self._threads:
            thread.join(_WITHIN_S)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def eventually(what: Callable[[], object], is_: object) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while (found := what()) != is_:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


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


@pytest.fixture
def run(log: SqliteLog, views: SqliteViews) -> Iterator[Callable[[Binding[Count]], Process]]:
    running: list[Process] = []

    def begin(binding: Binding[Count]) -> Process:
        running.append(Process(binding, log, views).start())
        return running[-1]

    yield begin
    for each in running:
        each.stop()


Run = Callable[[Binding[Count]], Process]


def rows_binding() -> Binding[Count]:
    """A row for each message, and a record that is sent of it."""
    rows: Rows[Count, Entry] = Rows(ENTRIES, lambda message: [Entry(f"{message.account}-{message.add}", message.add)])
    return replace(Handlers().binding(), projection=rows)


def test_paused_and_resumed_in_every_process(log: SqliteLog, views: SqliteViews, run: Run) -> None:
    binding = Handlers().binding()
    process = run(binding)
    send(log, ("a", 1))
    eventually(lambda: sums(views), {"a": (1, 1)})
    eventually(lambda: process.desk.bindings()[0].state, "running")
    paused = process.desk.pause("adder", who=WHO, why=WHY)
    assert process.desk.seen(paused, _WITHIN_S) == 1
    assert (process.runner.status().state, process.desk.bindings()[0].state) == ("paused", "paused")
    send(log, ("a", 2))
    another = Process(binding, log, views)  # it starts later, and is paused from its begin on
    assert another.runner.status().state == "stopped"
    another.start()
    eventually(lambda: another.runner.status().state, "paused")
    another.stop()
    assert sums(views) == {"a": (1, 1)}
    process.desk.resume("adder", who=WHO, why=WHY)
    eventually(lambda: sums(views), {"a": (3, 2)})
    assert [(each.kind, each.who, each.state) for each in process.desk.actions("adder")] == [
        ("resume", WHO, "done"),
        ("pause", WHO, "done"),
    ]


def test_restarted(log: SqliteLog, views: SqliteViews, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    process = run(Handlers().binding())
    eventually(lambda: len(process.runner.places()), 2)
    eventually(lambda: len(process.desk.bindings()[0].members), 1)  # it has told of itself
    joined: list[str] = []
    real = log.consumer

    def consumer(group: str, *more: Any) -> Any:
        joined.append(group)
        return real(group, *more)

    monkeypatch.setattr(log, "consumer", consumer)
    action = process.desk.restart("adder", who=WHO, why=WHY)
    assert process.desk.seen(action, _WITHIN_S) == 1
    eventually(lambda: joined, ["adder"])
    send(log, ("a", 1))
    eventually(lambda: sums(views), {"a": (1, 1)})


def test_one_that_hangs_is_told_with_its_line(log: SqliteLog, views: SqliteViews, run: Run) -> None:
    hangs = threading.Event()

    def fold(row: Sum | None, message: Count) -> Sum:
        hangs.wait(_WITHIN_S)
        return Sum(message.account, message.add, 1)

    binding = Handlers().binding()
    process = run(replace(binding, projection=Fold(SUMS, lambda m: (m.account,), fold), slow_after_ms=50))
    try:
        send(log, ("a", 1))
        eventually(lambda: process.runner.status().state, "stuck")
        reason = process.runner.status().reason or ""
        assert "1 records from counts/" in reason
        assert f"{__file__}:" in reason
        assert reason.endswith(" in fold")
        eventually(lambda: process.desk.bindings()[0].state, "stuck")
        member = process.desk.bindings()[0].members[0]
        assert member.reason is not None
    finally:
        hangs.set()
    eventually(lambda: process.runner.status().state, "running")


class Span(Struct, frozen=True):
    """How much was added in a window of time."""

    account: str
    begin_ms: int
    end_ms: int
    add: int


SPANS = Table("spans", Span, key=("account", "begin_ms"))


def _span(message: Count, window: Window) -> Span:
    return Span(message.account, *window, message.add)


def moved(process: Process, target: Target) -> list[tuple[int, int, int]]:
    plan = process.desk.move("adder", target, who=WHO, why=WHY)
    return [(each.partition, each.before, each.after) for each in plan.partitions]


def paused(process: Process) -> None:
    eventually(lambda: len(process.desk.bindings()[0].members), 1)
    assert process.desk.seen(process.desk.pause("adder", who=WHO, why=WHY), _WITHIN_S) == 1


def test_moved_back_and_on(log: SqliteLog, views: SqliteViews, run: Run) -> None:
    process = run(rows_binding())
    send(log, ("a", 1), ("a", 2), ("a", 3))
    eventually(lambda: views.count(ENTRIES), 3)
    place = log.partition_of(TOPIC.name, "a")
    paused(process)
    before = sent(log)
    plan = process.desk.plan("adder", Target(end="begin"))
    assert ([(each.again, each.skipped) for each in plan.partitions], plan.refused) == ([(3, 0)], [])
    assert plan.notes[-1] == "what was sent is not sent again"
    assert moved(process, Target(offsets={place: 1})) == [(place, 3, 1)]
    with views.transaction() as transaction:
        transaction.remove(ENTRIES, [("a-2",)])  # as somebody's mistake would: to be filled again
    process.desk.resume("adder", who=WHO, why=WHY)
    eventually(lambda: views.count(ENTRIES), 3)
    assert sent(log) == before
    eventually(lambda: views.offsets("adder")[TOPIC.name, place], 3)
    paused(process)
    send(log, ("a", 4), ("a", 5))
    skipping = process.desk.plan("adder", Target(end="end"))
    assert skipping.notes == ["2 offsets are skipped: what their records lead to never happens"]
    assert moved(process, Target(end="end")) == [(place, 3, 5)]
    told = process.desk.actions("adder", limit=1)[0]
    assert (told.kind, told.told) == ("move", f"counts/{place}: 3 to 5")
    process.desk.resume("adder", who=WHO, why=WHY)
    send(log, ("a", 6), ("a", 7))
    eventually(lambda: views.offsets("adder")[TOPIC.name, place], 7)
    assert {row.add for row in views.scan(ENTRIES)} == {1, 2, 3, 6, 7}


def test_moved_to_a_time(log: SqliteLog, views: SqliteViews) -> None:
    process = Process(rows_binding(), log, views)
    values = [NewRecord(topic=TOPIC.name, key="a", value=b"{}", timestamp_ms=n * 10) for n in range(1_200)]
    log.append(values)
    place = log.partition_of(TOPIC.name, "a")
    for at_ms, offset in ((0, 0), (15, 2), (20, 2), (7_995, 800), (11_990, 1_199), (11_991, 1_200)):
        plan = process.desk.plan("adder", Target(at_ms=at_ms))
        assert [each.after for each in plan.partitions if each.partition == place] == ([offset] if offset else []), (
            at_ms
        )


def test_what_a_move_is_refused_for(log: SqliteLog, views: SqliteViews, run: Run) -> None:
    """And then nothing is changed."""
    handlers = Handlers()
    process = run(handlers.binding())
    send(log, ("a", 1))
    eventually(lambda: sums(views), {"a": (1, 1)})
    with pytest.raises(Refused, match="it runs: pause it first"):
        moved(process, Target(end="begin"))
    paused(process)
    with pytest.raises(Refused, match="its fold would take records into sums a second time"):
        moved(process, Target(end="begin"))
    with pytest.raises(InvalidQuery, match="counts has no partition 7"):
        process.desk.plan("adder", Target(offsets={7: 0}))
    with pytest.raises(InvalidQuery, match="holds the offsets from 0 to 1, not 2"):
        process.desk.plan("adder", Target(offsets={log.partition_of(TOPIC.name, "a"): 2}))
    only_sends = replace(handlers.binding(), projection=None)
    taken_away = replace(rows_binding(), projection=Rows(ENTRIES, lambda _: [], stays=False))
    windows = Windowed(SPANS, Tumbling(10), lambda m: (m.account,), lambda m: m.add, _span, lambda one, _: one)
    joined: Joined[Count, Entry] = Joined(
        ENTRIES, on=lambda m: (m.account,), into=Fold(SUMS, lambda _: ("a",), lambda row, _: row)
    )
    for binding, why in (
        (only_sends, "what it has sent is not sent again"),
        (taken_away, "seen to a second time"),
        (replace(handlers.binding(), projection=windows), "records into spans a second time"),
        (replace(handlers.binding(), projection=joined), "records into sums a second time"),
    ):
        desk = Listeners([binding], log, views, clock_ms=now_ms)
        assert why in desk.plan("adder", Target(end="begin")).refused[0]
    assert views.offsets("adder")[TOPIC.name, log.partition_of(TOPIC.name, "a")] == 1
    assert [each.kind for each in process.desk.actions("adder")] == ["pause"]


class _HasOne(Runner):
    """A member of which one key alone is, as where another has the other partitions."""

    def has(self, key: str) -> bool:
        return key == "own" and super().has(key)


def test_what_waits_for_another_member_holds_nothing_back(log: SqliteLog, views: SqliteViews) -> None:
    make_tables(views)
    runner = _HasOne(Handlers().binding(), log, views)
    control = Control({"adder": runner}, views, now_ms)
    runner.step()
    keys = [f"other-{number}" for number in range(250)]
    with views.transaction() as transaction:
        transaction.put(ACTIONS, [_drop(key) for key in (*keys, "own", *keys)])
    control.look()
    runner.step()
    runner.leave()
    asked = views.find(ACTIONS, {"listener": "adder"}, order=("id",), limit=1_000)
    assert [each.key for each in asked if each.state != WAITING] == ["own"]


def _drop(key: str) -> Action:
    return new_action("adder", "drop", now_ms=now_ms(), who=WHO, why=WHY, key=key)


def test_a_clock_that_is_put_back(views: SqliteViews) -> None:
    """What is asked later is done later, and who died in the future does not live."""
    make_tables(views)
    with views.transaction() as transaction:
        rows = [Member(name, "adder", "running", None, "0", 1, 0, False, "", at_ms) for name, at_ms in _TOLD_AT]
        transaction.put(MEMBERS, rows)
    assert [each.process for each in living(views, "adder", 100_000)] == ["now", "soon"]
    edited, retried = (new_action("adder", "edit", now_ms=at_ms, who=WHO, why=WHY) for at_ms in (9_000, 5_000))
    assert edited.id < retried.id
    assert retried.asked_at_ms == 5_000


_TOLD_AT = (("before", 80_000), ("now", 99_000), ("soon", 101_000), ("then", 3_700_000))


def test_a_time_after_which_it_is_slow() -> None:
    with pytest.raises(ConfigurationError, match="listener adder: slow_after_ms is 0"):
        replace(Handlers().binding(), slow_after_ms=0)


@pytest.mark.parametrize("group", ["", "a b", "a/b", "a\0", "-a", "\u00e4", "a" * 129])
def test_a_name_that_is_none(group: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name of a listener: letters, digits"):
        replace(Handlers().binding(), group=group)


def test_waits_before_another_try_double_with_jitter_and_a_limit() -> None:
    policy = RetryPolicy(first_wait_ms=20, longest_wait_ms=100)
    for attempt, longest in ((2, 20), (3, 40), (4, 80), (5, 100), (50, 100)):
        waits = {policy.wait_ms(attempt) for _ in range(50)}
        assert len(waits) > 1
        assert longest / 2 <= min(waits) <= max(waits) <= longest
    assert replace(policy, jitter=0).wait_ms(3) == 40
    for wrong in ({"attempts": 0}, {"first_wait_ms": -1}, {"jitter": 1.5}):
        with pytest.raises(ConfigurationError, match="at least one try"):
            replace(policy, **wrong)
