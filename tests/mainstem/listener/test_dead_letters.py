"""Dead letters: listed, tried again all or none, dropped with a reason; nothing twice, and in the key's order."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from mainstem.codec import Decoder
from mainstem.errors import ListenerError
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.port import Topic
from mainstem.log.sqlite import SqliteLog
from mainstem.messages import NewRecord
from mainstem.table import Table
from mainstem.view.projection import Fold
from mainstem.view.sqlite import SqliteViews


class Add(Struct, frozen=True):
    """A message."""

    key: str
    n: int


class Sum(Struct, frozen=True):
    """What was added, in its order."""

    key: str
    order: str


SUMS = Table("sums", Sum, key=("key",))
BAD = 13


class Handler:
    """Fails for the bad number until it is mended."""

    mended = False

    def fold(self, row: Sum | None, message: Add) -> Sum:
        """The row after the message."""
        if message.n == BAD and not self.mended:
            raise ValueError("thirteen")
        return Sum(message.key, f"{row.order if row else ''} {message.n}")

    def emit(self, message: Add) -> list[NewRecord]:
        """One record for each message."""
        return [NewRecord(topic="out", key=message.key, value=b"%d" % message.n, timestamp_ms=0)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db")
    log.create(Topic("adds", partitions=2))
    log.create(Topic("out", partitions=1))
    yield log
    log.close()


@pytest.fixture
def views(tmp_path: Path) -> Iterator[SqliteViews]:
    views = SqliteViews(tmp_path / "views.db")
    views.create(SUMS)
    yield views
    views.close()


def runner(handler: Handler, log: SqliteLog, views: SqliteViews) -> Runner:
    """A runner that has taken its first look."""
    binding: Binding[Add] = Binding(
        group="g",
        topic="adds",
        decoder=Decoder(Add),
        projection=Fold(SUMS, lambda message: (message.key,), handler.fold),
        emit=handler.emit,
    )
    made = Runner(binding, log, views)
    drain(made)
    return made


def drain(running: Runner) -> None:
    """Step until nothing is left."""
    while running.step():
        pass


def send(log: SqliteLog, key: str, *numbers: int) -> None:
    """Append messages of one key."""
    values = [msgspec.json.encode(Add(key, n)) for n in numbers]
    log.append([NewRecord(topic="adds", key=key, value=value, timestamp_ms=9) for value in values])


def orders(views: SqliteViews) -> dict[str, str]:
    """What was handled for each key, in order."""
    return {row.key: row.order.strip() for row in views.scan(SUMS)}


def sent(log: SqliteLog) -> list[tuple[str, int]]:
    """What was emitted."""
    return [(each.key, int(each.value or b"")) for each in log.read("out", 0, 0, 1_000)]


def test_listed_with_cause_and_origin(log: SqliteLog, views: SqliteViews) -> None:
    send(log, "a", 1, BAD, 2)
    send(log, "b", BAD)
    running = runner(Handler(), log, views)
    found = running.dead_letters()
    assert [(each.key, each.reason) for each in found] == [("a", "failed"), ("a", "behind"), ("b", "failed")]
    assert found[0].cause == "ValueError: thirteen"
    assert found[0].origin == f"adds/{log.partition_of('adds', 'a')}@1"
    assert [each.key for each in running.dead_letters("b")] == ["b"]
    assert len(running.dead_letters(limit=2)) == 2


def test_a_retry_takes_all_in_order_and_the_key_flows_again(log: SqliteLog, views: SqliteViews) -> None:
    handler = Handler()
    send(log, "a", 1, BAD, 2)
    running = runner(handler, log, views)
    handler.mended = True
    assert running.retry("a") == 2
    assert views.parked("g") == {}
    assert running.status().parked == 0
    send(log, "a", 3)
    drain(running)
    assert orders(views) == {"a": "1 13 2 3"}
    assert sent(log) == [("a", 1), ("a", BAD), ("a", 2), ("a", 3)]


def test_a_retry_that_fails_again_changes_nothing(log: SqliteLog, views: SqliteViews) -> None:
    send(log, "a", 1, BAD, 2)
    running = runner(Handler(), log, views)
    with pytest.raises(ListenerError, match="fails again: ValueError: thirteen"):
        running.retry("a")
    assert orders(views) == {"a": "1"}
    assert sent(log) == [("a", 1)]
    assert len(running.dead_letters()) == 2


def test_a_retry_that_dies_before_its_transaction_repeats_nothing(
    log: SqliteLog, views: SqliteViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler()
    send(log, "a", 1, BAD, 2)
    running = runner(handler, log, views)
    handler.mended = True

    def dies() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(views, "transaction", dies)
        with pytest.raises(KeyboardInterrupt):
            running.retry("a")
    again = runner(handler, log, views)
    assert again.retry("a") == 2
    assert orders(views) == {"a": "1 13 2"}
    assert sent(log) == [("a", 1), ("a", BAD), ("a", 2)]


def test_dropped_letters_stay_on_record_and_the_key_flows_again(log: SqliteLog, views: SqliteViews) -> None:
    send(log, "a", 1, BAD)
    running = runner(Handler(), log, views)
    assert running.drop("a", "a test message") == 1
    send(log, "a", 2)
    drain(running)
    assert orders(views) == {"a": "1 2"}
    partition = log.partition_of("adds.g.dead", "a")
    last = log.read("adds.g.dead", partition, 0, 10)[-1]
    assert last.header("dead-letter-reason") == b"dropped"
    assert last.header("dead-letter-cause") == b"a test message"


def test_a_key_that_fails_a_second_time_has_only_its_new_letters(log: SqliteLog, views: SqliteViews) -> None:
    handler = Handler()
    send(log, "a", BAD)
    running = runner(handler, log, views)
    running.drop("a", "first")
    send(log, "a", 1, BAD, 2)
    drain(running)
    assert [each.reason for each in running.dead_letters("a")] == ["failed", "behind"]
    handler.mended = True
    assert running.retry("a") == 2
    assert orders(views) == {"a": "1 13 2"}


def test_a_key_that_does_not_wait(log: SqliteLog, views: SqliteViews) -> None:
    running = runner(Handler(), log, views)
    for ask in (running.retry, running.dead_letters, lambda key: running.drop(key, "x")):
        with pytest.raises(ListenerError, match="does not wait"):
            ask("a")
