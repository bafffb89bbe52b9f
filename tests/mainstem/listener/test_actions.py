"""Actions on dead letters: on record, carried out by the member that has the key, once, in the order of each key."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.errors import Refused, StoreFull
from mainstem.listener.actions import Action, make_tables
from mainstem.listener.binding import Binding
from mainstem.listener.control import Control
from mainstem.listener.desk import Listeners, place_of
from mainstem.listener.runner import Runner
from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.view.sqlite import SqliteViews
from tests.mainstem.listener.test_dead_letters import BAD, SUMS, Add, Handler, drain, full, orders, runner, send, sent

WHO, WHY = "ann", "a test"


class Desk:
    """One listener in one process, stepped by the test, and the desk that people ask."""

    def __init__(self, folder: Path, *, emits: bool = True, batch_max: int = 100) -> None:
        self.log, self.views, self.handler = SqliteLog(folder / "log.db"), SqliteViews(folder / "views.db"), Handler()
        self.log.create(Topic("adds", partitions=2))
        self.log.create(Topic("out", partitions=1))
        self.views.create(SUMS)
        make_tables(self.views)
        self._emits, self._batch_max = emits, batch_max
        self.begin()

    def begin(self) -> None:
        """As after a start: whatever the process had in memory is gone."""
        self.runner: Runner = runner(self.handler, self.log, self.views, self._batch_max, emits=self._emits)
        binding: Binding[Any] = self.runner.binding
        self.control = Control({"g": self.runner}, self.views, lambda: 1_000)
        self.asked = Listeners([binding], self.log, self.views, clock_ms=lambda: 1_000)

    def turn(self) -> None:
        """What a second brings: a look, and all that is there."""
        self.control.look()
        drain(self.runner)

    def done(self, actions: list[Action]) -> list[tuple[str, int, str]]:
        """What has become of them."""
        self.turn()
        return [(each.state, each.count, each.told) for each in self.asked.ended(actions, 0)]

    def close(self) -> None:
        """Give all back."""
        self.runner.leave()
        self.log.close()
        self.views.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


def value(key: str, n: int) -> bytes:
    return msgspec.json.encode(Add(key, n))


def test_listed_in_pages_and_shown_in_full(desk: Desk) -> None:
    send(desk.log, "a", 1, BAD, 2)
    send(desk.log, "b", BAD)
    desk.turn()
    first = desk.asked.dead_letters(limit=2)
    assert [(each.listener, each.key, each.reason) for each in first] == [("g", "a", "failed"), ("g", "a", "behind")]
    (last,) = desk.asked.dead_letters(limit=2, after=place_of(first[-1]))
    assert (last.key, last.cause) == ("b", "ValueError: thirteen")
    assert desk.asked.dead_letters("g", "b") == [last]
    assert desk.asked.dead_letters("g", "nobody") == []
    whole = desk.asked.dead_letter("g", last.id)
    assert (whole.record.value, whole.edits) == (value("b", BAD), ())
    assert whole.traceback.splitlines()[-1] == "ValueError: thirteen"
    with pytest.raises(Refused, match="No dead letter 0-99 of g waits"):
        desk.asked.dead_letter("g", "0-99")
    with pytest.raises(Refused, match="known are g"):
        desk.asked.dead_letters("h")


def test_a_key_is_tried_again_by_its_member_and_that_is_on_record(desk: Desk) -> None:
    send(desk.log, "a", 1, BAD, 2)
    desk.turn()
    desk.handler.mended = True
    actions = desk.asked.retry("g", key="a", who=WHO, why=WHY)
    assert desk.asked.ended(actions, 0)[0].state == "waiting"
    assert desk.done(actions) == [("done", 2, "")]
    send(desk.log, "a", 3)
    desk.turn()
    assert (orders(desk.views), desk.views.parked("g")) == ({"a": "1 13 2 3"}, {})
    (action,) = desk.asked.actions("g")
    assert (action.kind, action.key, action.who, action.why, action.done_at_ms) == ("retry", "a", WHO, WHY, 1_000)


def test_what_fails_again_says_so(desk: Desk) -> None:
    send(desk.log, "a", BAD, 2)
    desk.turn()
    told = "0 dead letters are done, the next fails: ValueError: thirteen"
    assert desk.done(desk.asked.retry("g", key="a", who=WHO, why=WHY)) == [("failed", 0, told)]
    assert len(desk.asked.dead_letters()) == 2


def test_all_keys(desk: Desk) -> None:
    for key in "abc":
        send(desk.log, key, BAD, 1)
    desk.turn()
    desk.handler.mended = True
    assert desk.done(desk.asked.retry("g", who=WHO, why=WHY)) == [("done", 2, "")] * 3
    assert orders(desk.views) == dict.fromkeys("abc", "13 1")


def test_one_letter_and_only_the_first(desk: Desk) -> None:
    send(desk.log, "a", 1, BAD, 2, 3)
    desk.turn()
    first, second, third = desk.asked.dead_letters()
    with pytest.raises(Refused, match=f"{second.id} waits behind {first.id}"):
        desk.asked.retry("g", letter=second.id, who=WHO, why=WHY)
    desk.handler.mended = True
    assert desk.done(desk.asked.retry("g", letter=first.id, who=WHO, why=WHY)) == [("done", 1, "")]
    assert orders(desk.views) == {"a": "1 13"}
    send(desk.log, "a", 4)
    desk.turn()
    assert [each.id for each in desk.asked.dead_letters()][:2] == [second.id, third.id]
    assert desk.done(desk.asked.drop("g", letter=second.id, who=WHO, why=WHY)) == [("done", 1, "")]
    assert desk.done(desk.asked.retry("g", key="a", who=WHO, why=WHY)) == [("done", 2, "")]
    assert orders(desk.views) == {"a": "1 13 3 4"}
    assert sent(desk.log) == [("a", n) for n in (1, BAD, 3, 4)]


def test_an_edited_letter_is_handled_as_it_was_edited(desk: Desk) -> None:
    send(desk.log, "a", 1, BAD, 2)
    desk.turn()
    letter = desk.asked.dead_letters()[0].id
    with pytest.raises(Refused, match="is no message of adds"):
        desk.asked.edit("g", letter, b'{"key": "a"}', who=WHO, why=WHY)
    for n in (11, 12):
        assert desk.done(desk.asked.edit("g", letter, value("a", n), who=WHO, why=f"to {n}")) == [("done", 1, "")]
    assert [each.edited for each in desk.asked.dead_letters()] == [True, False]
    whole = desk.asked.dead_letter("g", letter)
    assert whole.record.value == value("a", BAD)
    assert [(each.value, each.by, each.why) for each in whole.edits][-1] == (value("a", 12), WHO, "to 12")
    assert desk.done(desk.asked.retry("g", key="a", who=WHO, why=WHY)) == [("done", 2, "")]
    assert (orders(desk.views), sent(desk.log)) == ({"a": "1 12 2"}, [("a", 1), ("a", 12), ("a", 2)])


def test_dropped_with_who_and_why_in_the_topic(desk: Desk) -> None:
    send(desk.log, "a", BAD, 2)
    desk.turn()
    assert desk.done(desk.asked.drop("g", key="a", who=WHO, why=WHY)) == [("done", 2, "")]
    last = desk.log.read("adds.g.dead", desk.log.partition_of("adds.g.dead", "a"), 0, 10)[-1]
    assert (last.header("dead-letter-by"), last.header("dead-letter-cause")) == (WHO.encode(), WHY.encode())
    with pytest.raises(Refused, match="does not wait behind a dead letter"):
        desk.asked.drop("g", key="a", who=WHO, why=WHY)


def test_the_record_of_a_listener_that_is_declared_no_more(desk: Desk) -> None:
    desk.asked.pause("g", who=WHO, why=WHY)
    others = Listeners([], desk.log, desk.views, clock_ms=lambda: 1_000)
    assert [each.why for each in others.actions("g")] == [WHY]
    with pytest.raises(Refused, match="There is no listener 'nobody'"):
        others.actions("nobody")


@pytest.mark.parametrize("kind", ["retry", "drop"])
def test_an_action_that_dies_before_its_transaction_is_done_by_the_next_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    send(desk.log, "a", 1, BAD, 2)
    desk.turn()
    desk.handler.mended = True
    ask: Callable[..., list[Action]] = getattr(desk.asked, kind)
    actions = ask("g", key="a", who=WHO, why=WHY)
    with monkeypatch.context() as patched:
        desk.control.look()
        patched.setattr(desk.views, "transaction", full)
        with pytest.raises(StoreFull):
            desk.runner.step()
    assert desk.asked.ended(actions, 0)[0].state == "waiting"
    desk.begin()
    assert desk.done(actions) == [("done", 2, "")]
    expected = [1, BAD, 2] if kind == "retry" else [1]
    assert orders(desk.views) == {"a": " ".join(map(str, expected))}
    assert sent(desk.log) == [("a", n) for n in expected]


def test_an_action_is_carried_out_once(desk: Desk) -> None:
    """By two that both take themselves for the key's member: the second finds that it is done."""
    send(desk.log, "a", BAD)
    desk.turn()
    desk.handler.mended = True
    other = Control({"g": desk.runner}, desk.views, lambda: 2_000)
    actions = desk.asked.retry("g", key="a", who=WHO, why=WHY)
    other.look()
    desk.control.look()
    for control in (desk.control, other):
        control._turn("g", desk.runner)
    (action,) = desk.asked.ended(actions, 0)
    assert (action.state, action.count, action.done_at_ms) == ("done", 1, 1_000)
    assert sent(desk.log) == [("a", BAD)]


_STEP: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("send"), st.sampled_from("ab"), st.lists(st.sampled_from([1, 2, BAD]), min_size=1, max_size=4)),
    st.tuples(st.sampled_from(["first", "key", "drop", "edit", "crash"]), st.sampled_from("ab"), st.just([])),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(_STEP, max_size=14), batch_max=st.sampled_from([1, 2, 100]))
def test_the_order_of_a_key_is_kept_whatever_is_done(steps: list[tuple[str, str, list[int]]], batch_max: int) -> None:
    """Against a model: of each key what was handled, and what waits, where the first that waits is a bad one or any."""
    handled: dict[str, list[int]] = {"a": [], "b": []}
    waiting: dict[str, list[int]] = {"a": [], "b": []}
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder), batch_max=batch_max)
        try:
            for what, key, numbers in steps:
                if what == "send":
                    send(desk.log, key, *numbers)
                    for n in numbers:
                        (waiting if n == BAD or waiting[key] else handled)[key].append(n)
                elif what == "crash":
                    desk.runner.leave()
                    desk.begin()
                elif waiting[key]:
                    _act(desk, what, key, handled, waiting)
                desk.turn()
                assert orders(desk.views) == {k: " ".join(map(str, each)) for k, each in handled.items() if each}
                for k, each in waiting.items():
                    found = desk.asked.dead_letters("g", k)
                    assert len(found) == len(each), (k, each)
            assert {k: [n for key, n in sent(desk.log) if key == k] for k in "ab"} == handled
        finally:
            desk.close()


def _act(desk: Desk, what: str, key: str, handled: dict[str, list[int]], waiting: dict[str, list[int]]) -> None:
    first = desk.asked.dead_letters("g", key, limit=1)[0].id
    if what == "first":
        desk.asked.retry("g", letter=first, who=WHO, why=WHY)
        if waiting[key][0] != BAD:
            handled[key].append(waiting[key].pop(0))
    elif what == "key":
        desk.asked.retry("g", key=key, who=WHO, why=WHY)
        while waiting[key] and waiting[key][0] != BAD:
            handled[key].append(waiting[key].pop(0))
    elif what == "drop":
        desk.asked.drop("g", letter=first, who=WHO, why=WHY)
        waiting[key].pop(0)
    else:
        desk.asked.edit("g", first, value(key, 7), who=WHO, why=WHY)
        waiting[key][0] = 7


def test_what_is_asked_within_a_millisecond_keeps_its_order(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    asked = [f"reason {number}" for number in range(50)]
    for why in asked:
        desk.asked.pause("g", who=WHO, why=why)
    assert [each.why for each in reversed(desk.asked.actions("g"))] == asked
    desk.close()
