"""What no table, topic or view can hold parks its key alone: the listener goes on, and nothing of it is lost."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
from msgspec import Struct

from mainstem.errors import StoreBusy, UnknownTopic
from mainstem.listener.runner import Runner
from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.log.sqlite_consumer import SqliteConsumer
from mainstem.messages import NewRecord, Position
from mainstem.table import Table
from mainstem.view.batched import Batched
from mainstem.view.projection import Fold, Projection, Rows
from mainstem.view.sqlite import SqliteViews
from tests.adder import SUMS, Count, Entry, Handlers, Sum, drain, send, sent, sums


def _out(key: str, value: bytes = b"1", timestamp_ms: int = 0) -> NewRecord:
    return NewRecord(topic="out", key=key, value=value, timestamp_ms=timestamp_ms)


@pytest.mark.parametrize(
    "poison",
    [
        _out("a", b"x" * 2_000_000),
        _out("\ud800"),
        _out("a", timestamp_ms=2**63),
        _out("a", timestamp_ms=-1),
        _out("a", timestamp_ms=cast(int, 1.5)),
        _out("a", timestamp_ms=cast(int, None)),
        _out("a", cast(bytes, "text")),
        _out(cast(str, None)),
        _out(cast(str, 5)),
        msgspec.structs.replace(_out("a"), identity=5),
        msgspec.structs.replace(_out("a"), headers=(("a", "text"),)),
        msgspec.structs.replace(_out("a"), topic="elsewhere"),
        msgspec.structs.replace(_out("a"), topic="counts"),
        msgspec.structs.replace(_out("a"), topic="counts.adder.dead"),
        msgspec.structs.replace(_out("a"), topic=None),
        cast(NewRecord, {"topic": "out"}),
        cast(NewRecord, None),
    ],
    ids=[
        *("too large", "half a character", "too late", "too early", "half a millisecond", "no time", "a text"),
        *("no key", "a number for a key", "a number for an identity", "a text in the headers"),
        *("a topic elsewhere", "the topic heard", "the dead letters", "no topic", "a dict", "nothing"),
    ],
)
def test_a_record_that_no_topic_takes(log: SqliteLog, views: SqliteViews, poison: NewRecord) -> None:
    """It is too large, or no record, or for a topic that its listener does not speak on."""

    def emit(message: Count) -> Sequence[NewRecord]:
        return [poison if message.account == "a" else _out(message.account)]

    send(log, ("a", 1), ("b", 2))
    drain(Runner(replace(Handlers().binding(), emit=emit), log, views))
    assert sums(views) == {"b": (2, 1)}
    assert sent(log) == [("b", 1)]
    assert list(views.parked("adder")) == ["a"]


@pytest.mark.parametrize(
    ("poison", "why"),
    [
        (_out("a", cast(bytes, "x")), "a record for out has the value 'x': it is str, and a record has bytes"),
        (_out("a", timestamp_ms=cast(int, 1.5)), "the timestamp_ms 1.5: it is float, and a record has int"),
        (msgspec.structs.replace(_out("a"), headers=(1,)), "the headers (1,): a record has pairs of str and bytes"),
        (cast(NewRecord, "out"), "adder emits a str, which is no NewRecord"),
        (
            msgspec.structs.replace(_out("a"), topic="counts"),
            "adder emits a record for the topic 'counts', and its `out` has out",
        ),
    ],
    ids=["value", "time", "headers", "no record", "topic"],
)
def test_why_no_topic_takes_it(log: SqliteLog, views: SqliteViews, poison: NewRecord, why: str) -> None:
    send(log, ("a", 1))
    drain(Runner(replace(Handlers().binding(), emit=lambda _: [poison]), log, views))
    assert why in views.parked("adder")["a"]


@pytest.mark.parametrize("position", [Position("a", 2**63), Position("\ud800", 1)])
def test_a_position_that_no_view_holds(log: SqliteLog, views: SqliteViews, position: Position) -> None:
    binding = replace(Handlers().binding(), position=lambda message: position if message.account == "a" else None)
    send(log, ("a", 1), ("b", 2))
    drain(Runner(binding, log, views))
    assert sums(views) == {"b": (2, 1)}
    assert list(views.parked("adder")) == ["a"]


@pytest.mark.parametrize("made", [Entry("a", 1), {"account": "a"}, "a"], ids=["another row", "a dict", "a text"])
def test_a_fold_that_returns_no_row_of_its_table(log: SqliteLog, views: SqliteViews, made: Any) -> None:
    handlers = Handlers()

    def fold(row: Sum | None, message: Count) -> Sum:
        return made if message.account == "a" else handlers.fold(row, message)

    binding = replace(handlers.binding(), projection=Fold(SUMS, lambda message: (message.account,), fold))
    send(log, ("a", 1), ("b", 2))
    drain(Runner(binding, log, views))
    assert sums(views) == {"b": (2, 1)}
    assert "is no row of sums, whose rows are Sum" in views.parked("adder")["a"]


class Paid(Struct, frozen=True):
    account: str
    amount: Decimal
    count: int


def _total(_: Paid | None, message: Count) -> Paid:
    made: tuple[Any, Any] = {666: (0.1, 1), 667: ("ab.cd", 1), 668: (1, 1.5), 669: (1, "z")}.get(message.add, (0, 1))
    return Paid(message.account, *made)


def _key(message: Count) -> tuple[str]:
    return (message.account,)


PAID = Table("paid", Paid, key=("account",))


@pytest.mark.parametrize(
    "projection",
    [
        Fold(PAID, _key, _total),
        Rows(PAID, lambda message: [_total(None, message)]),
        Batched(PAID, _key, lambda _, messages: {_key(each): _total(None, each) for each in messages}),
    ],
    ids=["fold", "rows", "batched"],
)
@pytest.mark.parametrize(
    ("add", "why"),
    [
        (666, "0.1 does not fit column amount of paid: it is float, and the column Decimal"),
        (667, "'ab.cd' does not fit column amount of paid"),
        (668, "1.5 does not fit column count of paid: it is float, and the column int"),
        (669, "'z' does not fit column count of paid"),
    ],
)
def test_a_row_with_a_value_of_another_type(
    log: SqliteLog, views: SqliteViews, projection: Projection[Count], add: int, why: str
) -> None:
    """A whole number is exact in a Decimal column, what a sum of nothing is; all else could not be read back."""
    views.create(PAID)
    send(log, ("a", 1), ("a", add), ("b", 2))
    drain(Runner(replace(Handlers().binding(), projection=projection, emit=None), log, views))
    assert list(views.scan(PAID)) == [Paid("a", Decimal(0), 1), Paid("b", Decimal(0), 1)]
    assert why in views.parked("adder")["a"]


@pytest.mark.parametrize(
    "key",
    ["a", "ab", ("a", 1), (), (None,), (1,), None, [1]],
    ids=["a letter", "a text", "too many", "none", "nothing", "another type", "no tuple", "a list"],
)
def test_a_key_that_no_row_has(log: SqliteLog, views: SqliteViews, key: Any) -> None:
    """A text is a sequence of letters, too, and a row of another type of key is not found again."""
    handlers = Handlers()
    projection = Fold(SUMS, lambda message: key if message.account == "a" else (message.account,), handlers.fold)
    send(log, ("a", 1), ("b", 2), ("a", 3))
    drain(Runner(replace(handlers.binding(), projection=projection, emit=None), log, views))
    assert sums(views) == {"b": (2, 1)}
    assert list(views.parked("adder")) == ["a"]


def test_a_row_of_another_key_than_its_messages(log: SqliteLog, views: SqliteViews) -> None:
    """It would not be found by the next message, and counted from the begin."""
    handlers = Handlers()

    def fold(row: Sum | None, message: Count) -> Sum:
        made = handlers.fold(row, message)
        return msgspec.structs.replace(made, account="z") if message.account == "a" else made

    projection = Fold(SUMS, lambda message: (message.account,), fold)
    send(log, ("a", 1), ("b", 2), ("a", 3))
    drain(Runner(replace(handlers.binding(), projection=projection, emit=None), log, views))
    assert sums(views) == {"b": (2, 1)}
    assert list(views.parked("adder")) == ["a"]
    assert "has the key ('z',)" in views.parked("adder")["a"]


def test_a_cause_that_is_no_text(log: SqliteLog, views: SqliteViews) -> None:
    def fold(row: Sum | None, message: Count) -> Sum:
        raise ValueError("half \ud800 a character")

    binding = replace(Handlers().binding(), projection=Fold(SUMS, lambda message: (message.account,), fold))
    send(log, ("a", 1))
    drain(Runner(binding, log, views))
    assert views.parked("adder") == {"a": "ValueError: half ? a character"}


def test_a_record_as_large_as_its_topic_takes(log: SqliteLog, views: SqliteViews) -> None:
    """Its dead letter is larger, and has its place."""
    log.append([NewRecord(topic="counts", key="a", value=b"x" * (1_048_576 - 1), timestamp_ms=0)])
    runner = Runner(Handlers().binding(), log, views)
    drain(runner)
    assert [(each.key, each.reason) for each in runner.dead_letters()] == [("a", "failed")]


def test_the_retention_declared_of_a_dead_letter_topic_stays(log: SqliteLog, views: SqliteViews) -> None:
    log.create(Topic("counts.adder.dead", partitions=2, retention_ms=5))
    drain(Runner(Handlers().binding(), log, views))
    assert log.topics()["counts.adder.dead"].retention_ms == 5


def test_a_topic_that_is_not_there_yet_stalls_and_parks_nothing(log: SqliteLog, views: SqliteViews) -> None:
    """Somebody has to make it; then it goes on."""
    record = NewRecord(topic="later", key="k", value=b"1", timestamp_ms=0)
    later = replace(Handlers().binding(), emit=lambda _: [record], out=(Topic("later", partitions=1),))
    send(log, ("a", 1))
    runner = Runner(later, log, views)
    with pytest.raises(UnknownTopic):
        drain(runner)
    assert views.parked("adder") == {}
    log.create(Topic("later", partitions=1))
    drain(runner)
    assert (sums(views), sent(log, "later")) == ({"a": (1, 1)}, [("k", 1)])


def test_a_runner_that_cannot_begin_leaves_nothing_behind(
    log: SqliteLog, views: SqliteViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer of each try that failed would be woken for ever."""

    def busy(group: str) -> dict[str, str]:
        raise StoreBusy("later")

    closed: list[SqliteConsumer] = []
    real = SqliteConsumer.close

    def close(self: SqliteConsumer) -> None:
        closed.append(self)
        real(self)

    monkeypatch.setattr(SqliteConsumer, "close", close)
    runner = Runner(Handlers().binding(), log, views)
    with monkeypatch.context() as patched:
        patched.setattr(views, "parked_since", busy)
        with pytest.raises(StoreBusy):
            runner.step()
    assert len(closed) == 1


def test_a_runner_paused_before_it_runs_says_so(log: SqliteLog, views: SqliteViews) -> None:
    runner = Runner(Handlers().binding(), log, views)
    runner.pause()
    stop = threading.Event()
    running = threading.Thread(target=runner.run, args=(stop,))
    running.start()
    try:
        while runner.status().state == "stopped" and running.is_alive():
            threading.Event().wait(0.001)
        assert runner.status().state == "paused"
    finally:
        stop.set()
        running.join(10)
    assert runner.status().state == "stopped"


def test_a_listener_that_is_told_to_exit_is_stalled_and_says_so(log: SqliteLog, views: SqliteViews) -> None:
    """Its thread does not end without a word."""

    def emit(_: Count) -> Sequence[NewRecord]:
        raise SystemExit(3)

    runner = Runner(replace(Handlers().binding(), emit=emit), log, views)
    send(log, ("a", 1))
    stop = threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 30
    while runner.status().reason is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (runner.status().state, runner.status().reason) == ("stalled", "SystemExit: 3")
    stop.set()
    thread.join(30)
