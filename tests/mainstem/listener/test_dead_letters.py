"""Dead letters: listed, tried again, dropped with a reason; nothing twice, nothing lost, and in the key's order."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from mainstem.codec import Decoder
from mainstem.errors import ListenerError, StoreFull
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
BAD, OTHER = 13, 14


class Handler:
    """Fails for the bad numbers until it is mended, and for the number 1 if it is told to."""

    mended = others = first = False

    def fold(self, row: Sum | None, message: Add) -> Sum:
        """The row after the message."""
        if message.n == BAD and not self.mended:
            raise ValueError("thirteen")
        if (message.n == OTHER and not self.others) or (message.n == 1 and self.first):
            raise ValueError("other")
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


def runner(handler: Handler, log: SqliteLog, views: SqliteViews, batch_max: int = 100, *, emits: bool = True) -> Runner:
    """A runner that has taken its first look."""
    binding: Binding[Add] = Binding(
        group="g",
        topic="adds",
        decoder=Decoder(Add),
        projection=Fold(SUMS, lambda message: (message.key,), handler.fold),
        emit=handler.emit if emits else None,
        out=(Topic("out", partitions=1),) if emits else (),
        batch_max=batch_max,
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
    with pytest.raises(ListenerError, match="0 dead letters of 'a' are done, the next fails: ValueError: thirteen"):
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


def test_a_retry_goes_as_far_as_it_can(log: SqliteLog, views: SqliteViews) -> None:
    handler = Handler()
    send(log, "a", 1, BAD, 2, OTHER, 3)
    running = runner(handler, log, views)
    handler.mended = True
    with pytest.raises(ListenerError, match="2 dead letters of 'a' are done, the next fails: ValueError: other"):
        running.retry("a")
    assert orders(views) == {"a": "1 13 2"}
    assert views.parked("g") == {"a": "ValueError: other"}
    assert [each.origin[-2:] for each in running.dead_letters()] == ["@3", "@4"]
    handler.others = True
    assert running.retry("a") == 2
    assert sent(log) == [("a", n) for n in (1, BAD, 2, OTHER, 3)]


@pytest.mark.parametrize("count", [3, 6, 7])
def test_many_letters_are_handled_in_batches(log: SqliteLog, views: SqliteViews, count: int) -> None:
    handler = Handler()
    send(log, "a", BAD, *range(100, 100 + count - 1))
    running = runner(handler, log, views, batch_max=3)
    handler.mended = True
    assert running.retry("a") == count
    send(log, "a", 7)
    drain(running)
    assert orders(views)["a"].split() == [str(n) for n in (BAD, *range(100, 100 + count - 1), 7)]
    assert (views.parked("g"), running.status().parked) == ({}, 0)


def full() -> None:
    """What a full disk does to a transaction."""
    raise StoreFull("no space left")


def test_a_letter_written_before_its_batch_was_lost_is_handled_once(
    log: SqliteLog, views: SqliteViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in its topic, but the view knows nothing of it yet."""
    handler = Handler()
    send(log, "a", 1, BAD)
    running = runner(handler, log, views)
    send(log, "a", 5)
    with monkeypatch.context() as patched:
        patched.setattr(views, "transaction", full)
        with pytest.raises(StoreFull):
            running.step()
    handler.mended = True
    assert running.retry("a") == 1
    drain(running)
    assert views.parked_since("g") == {"a": 2}  # what it leads to was not sent, so it waits for a retry of its own
    assert running.retry("a") == 1
    assert orders(views) == {"a": "1 13 5"}
    assert sent(log) == [("a", 1), ("a", 13), ("a", 5)]


def test_a_letter_whose_record_was_handled_after_all_is_not_handled_again(
    log: SqliteLog, views: SqliteViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler()
    runner(handler, log, views, emits=False)
    send(log, "a", BAD)
    with monkeypatch.context() as patched:
        patched.setattr(views, "transaction", full)
        with pytest.raises(StoreFull):
            runner(handler, log, views, emits=False)
    handler.mended = True
    running = runner(handler, log, views, emits=False)
    handler.mended = False
    send(log, "a", 2, BAD)
    drain(running)
    handler.mended = True
    assert running.retry("a") == 1
    assert orders(views) == {"a": "13 2 13"}


def test_a_letter_sent_before_its_batch_was_lost_waits_although_it_could_be_handled_by_now(
    log: SqliteLog, views: SqliteViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it leads to was not sent: only a retry sends that."""
    handler = Handler()
    runner(handler, log, views)
    send(log, "a", 1, BAD, 2)
    with monkeypatch.context() as patched:
        patched.setattr(views, "transaction", full)
        with pytest.raises(StoreFull):
            runner(handler, log, views)
    handler.mended = True
    running = runner(handler, log, views)
    assert (orders(views), views.parked_since("g")) == ({"a": "1"}, {"a": 1})
    assert running.retry("a") == 2
    assert orders(views) == {"a": "1 13 2"}
    assert sent(log) == [("a", 1), ("a", 13), ("a", 2)]


def test_a_record_sent_before_its_batch_was_lost_that_fails_by_now_is_not_sent_again(
    log: SqliteLog, views: SqliteViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler()
    handler.mended = True
    runner(handler, log, views)
    send(log, "a", 1, BAD, 2)
    with monkeypatch.context() as patched:
        patched.setattr(views, "transaction", full)
        with pytest.raises(StoreFull):
            runner(handler, log, views)
    handler.mended = False
    running = runner(handler, log, views)
    send(log, "a", 3)
    drain(running)
    handler.mended = True
    assert running.retry("a") == 3
    assert orders(views) == {"a": "1 13 2 3"}
    assert sent(log) == [("a", 1), ("a", 13), ("a", 2), ("a", 3)]


def test_what_fails_again_after_the_view_was_filled_again_waits_again(log: SqliteLog, views: SqliteViews) -> None:
    """Its letter is in the topic already, and was dropped once; and now an earlier record fails too, that was sent."""
    handler = Handler()
    send(log, "a", 1, BAD, 2)
    runner(handler, log, views).drop("a", "not needed")
    views.drop(SUMS, "g")
    views.create(SUMS)
    handler.first = True
    running = runner(handler, log, views)
    assert [each.origin[-2:] for each in running.dead_letters()] == ["@0", "@1", "@2"]
    handler.first, handler.mended = False, True
    assert running.retry("a") == 3
    assert orders(views) == {"a": "1 13 2"}
    assert sent(log) == [("a", 1), ("a", 13), ("a", 2)]


def test_an_earlier_record_that_fails_when_the_view_is_filled_again_waits_too(
    log: SqliteLog, views: SqliteViews
) -> None:
    """Before the one that waits already."""
    handler = Handler()
    send(log, "a", 1, BAD)
    runner(handler, log, views)
    views.drop(SUMS, "g")
    views.create(SUMS)
    handler.first = True
    running = runner(handler, log, views)
    assert views.parked_since("g") == {"a": 0}
    handler.first, handler.mended = False, True
    assert running.retry("a") == 2
    assert (orders(views), sent(log)) == ({"a": "1 13"}, [("a", 1), ("a", 13)])


def test_letters_still_wait_after_their_view_was_filled_again(log: SqliteLog, views: SqliteViews) -> None:
    """And what was retried before is sent no second time."""
    handler = Handler()
    send(log, "a", 1, BAD)
    running = runner(handler, log, views)
    handler.mended = True
    running.retry("a")
    handler.mended = False
    send(log, "a", 2, OTHER, 3)
    drain(running)
    views.drop(SUMS, "g")
    views.create(SUMS)
    handler.mended = True
    running = runner(handler, log, views)
    assert (orders(views), views.parked_since("g")) == ({"a": "1 13 2"}, {"a": 3})
    handler.others = True
    assert running.retry("a") == 2
    assert sent(log) == [("a", n) for n in (1, BAD, 2, OTHER, 3)]


def test_a_drop_that_dies_before_its_transaction_leaves_the_letters_open(
    log: SqliteLog, views: SqliteViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler()
    send(log, "a", 1, BAD, 2)
    running = runner(handler, log, views)
    with monkeypatch.context() as patched:
        patched.setattr(views, "transaction", full)
        with pytest.raises(StoreFull):
            running.drop("a", "not needed")
    assert len(running.dead_letters()) == 2
    handler.mended = True
    assert running.retry("a") == 2
    assert orders(views) == {"a": "1 13 2"}


def test_a_key_released_by_another_process_parks_again(log: SqliteLog, views: SqliteViews) -> None:
    """This runner still believes that it waits, and puts its next record aside: that must not be lost."""
    handler = Handler()
    send(log, "a", BAD)
    running = runner(handler, log, views)
    runner(handler, log, views).drop("a", "by another")
    send(log, "a", 2)
    drain(running)
    assert views.parked_since("g") == {"a": 1}
    assert running.retry("a") == 1
    assert orders(views) == {"a": "2"}
