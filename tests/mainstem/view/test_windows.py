"""Windows: whatever order, batches and repetitions the messages come in, the rows are those of a simple model."""

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from mainstem.errors import CodecError, ConfigurationError
from mainstem.table import Table
from mainstem.testing.contracts.windows import (
    SPENT,
    Paid,
    Spent,
    WindowKind,
    apply,
    expected,
    windowed,
)
from mainstem.view.apply import working
from mainstem.view.sqlite import SqliteViews
from mainstem.view.window import Session, Sliding, Tumbling, Window, Windowed

_KINDS: tuple[WindowKind, ...] = (Tumbling(10), Sliding(12, 4), Session(5))
_kinds = st.sampled_from(_KINDS)
_paid = st.tuples(st.sampled_from("ab"), st.integers(-40, 90), st.integers(0, 9))
_sizes = st.lists(st.integers(1, 6), max_size=30)
_keeps = st.sampled_from([None, 7, 30])


def _messages(made: Sequence[tuple[str, int, int]]) -> list[Paid]:
    """Each with the version that it has within its account."""
    versions = dict.fromkeys("ab", 0)
    found = []
    for account, at_ms, amount in made:
        versions[account] += 1
        found.append(Paid(account, at_ms, amount, versions[account]))
    return found


def _batches(messages: Sequence[Paid], sizes: Sequence[int]) -> Iterator[Sequence[Paid]]:
    at = 0
    for size in [*sizes, *([5] * len(messages))]:
        if messages[at : at + size]:
            yield messages[at : at + size]
        at += size


@pytest.fixture(scope="module")
def views() -> Iterator[SqliteViews]:
    with TemporaryDirectory() as name:
        views = SqliteViews(Path(name) / "views.db")
        yield views
        views.close()


def _anew(views: SqliteViews) -> None:
    views.drop(SPENT)
    views.create(SPENT)


@settings(max_examples=150, deadline=None)
@given(_kinds, st.lists(_paid, max_size=25), st.randoms(use_true_random=False), _sizes)
def test_any_order_leads_to_the_same_windows(
    views: SqliteViews, kind: WindowKind, made: list[tuple[str, int, int]], shuffle: random.Random, sizes: list[int]
) -> None:
    messages = _messages(made)
    shuffled = list(messages)
    shuffle.shuffle(shuffled)
    _anew(views)
    for batch in _batches(shuffled, sizes):
        apply(views, windowed(kind, once=False), batch)
    assert list(views.scan(SPENT)) == expected(kind, messages)


@settings(max_examples=150, deadline=None)
@given(_kinds, st.lists(_paid, max_size=25), st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25))), _sizes)
def test_what_a_capture_sends_again_changes_nothing(
    views: SqliteViews,
    kind: WindowKind,
    made: list[tuple[str, int, int]],
    again: list[tuple[int, int]],
    sizes: list[int],
) -> None:
    """It goes back to any place and comes from there again, in the order of before, with late events in it."""
    messages = _messages(made)
    sent, reached = list[Paid](), 0
    for begin, end in [*again, (0, len(messages))]:
        sent += messages[min(begin, reached) : end]
        reached = max(reached, end)
    _anew(views)
    for batch in _batches(sent, sizes):
        apply(views, windowed(kind, once=True), batch)
    assert list(views.scan(SPENT)) == expected(kind, messages)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_KINDS[:2]), st.lists(_paid, max_size=25), st.randoms(use_true_random=False), _sizes, _keeps)
def test_windows_that_are_no_longer_kept_go_in_any_order(
    views: SqliteViews,
    kind: WindowKind,
    made: list[tuple[str, int, int]],
    shuffle: random.Random,
    sizes: list[int],
    keep_ms: int | None,
) -> None:
    messages = _messages(made)
    shuffled = list(messages)
    shuffle.shuffle(shuffled)
    _anew(views)
    for batch in _batches(shuffled, sizes):
        apply(views, windowed(kind, once=False, keep_ms=keep_ms), batch)
    assert list(views.scan(SPENT)) == expected(kind, messages, keep_ms)


def test_sessions_that_are_no_longer_kept_go(views: SqliteViews) -> None:
    """In the order of time: what would have joined two of them comes too late behind that."""
    messages = _messages([("a", 0, 1), ("a", 3, 1), ("a", 100, 1), ("a", 4, 1), ("a", 103, 1), ("b", 1, 1)])
    projection = windowed(Session(5), once=True, keep_ms=50)
    _anew(views)
    for message in messages:
        apply(views, projection, [message])
    assert list(views.scan(SPENT)) == [Spent("a", 100, 108, 2, 2, 5), Spent("b", 1, 6, 1, 1, 1)]


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_record_of_several_messages_is_taken_once(views: SqliteViews, kind: WindowKind, one_by_one: bool) -> None:
    """An event of an older form may be several today, which have one version."""
    parts = [Paid("a", 1, 5, 1), Paid("a", 2, 6, 1)]
    _anew(views)
    for _ in range(2):
        work = working(windowed(kind, once=True), views.get, views.find_each)
        for _ in range(2):
            if one_by_one:
                work.handle(parts)
            else:
                work.handle_all(parts, [0, 0])
        with views.transaction() as transaction:
            work.write(transaction)
    assert list(views.scan(SPENT)) == expected(kind, parts)


@pytest.mark.parametrize("kind", _KINDS)
def test_what_fails_leaves_no_trace(views: SqliteViews, kind: WindowKind) -> None:
    good, bad = [Paid("a", 1, 5, 1), Paid("a", 30, 6, 2)], [Paid("a", 3, 5, 3), Paid("a", 31, -1, 4)]
    _anew(views)
    work = working(windowed(kind, once=True, keep_ms=1_000), views.get, views.find_each)
    work.handle_all(good, range(2))
    with pytest.raises(ValueError, match="nobody pays so"):
        work.handle_all(bad, range(2))
    with pytest.raises(ValueError, match="nobody pays so"):
        work.handle(bad)
    with pytest.raises(CodecError):
        work.handle([Paid("a", 2, 2**63, 3)])
    with views.transaction() as transaction:
        work.write(transaction)
    assert list(views.scan(SPENT)) == expected(kind, good)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize(
    "changed",
    [
        {"make": lambda message, window: Spent("z", window.begin_ms, window.end_ms, 1, 1, message.version)},
        {"merge": lambda one, other: replace(one, account="z", payments=one.payments + other.payments)},
        {"key": lambda message: message.account * 2},
        {"key": lambda message: (message.account, 1)},
        {"key": lambda message: (message.version,)},
    ],
    ids=["a row of another key", "a merged one", "a text", "too many", "another type"],
)
def test_a_row_that_would_not_be_found_again(
    views: SqliteViews, kind: WindowKind, one_by_one: bool, changed: dict[str, Any]
) -> None:
    _anew(views)
    wrong = dataclasses.replace(windowed(kind, once=False), **changed)
    work = working(wrong, views.get, views.find_each)

    def take() -> None:
        with views.transaction() as transaction:
            for message in (Paid("a", 1, 5, 1), Paid("a", 1, 5, 2)):
                work.handle([message]) if one_by_one else work.handle_all([message], range(1))
            work.write(transaction)

    with pytest.raises(CodecError, match=" key "):
        take()
    assert list(views.scan(SPENT)) == []


@pytest.mark.parametrize("one_by_one", [False, True])
def test_what_a_message_makes_is_asked_once(views: SqliteViews, one_by_one: bool) -> None:
    """About the last of its windows; it counts for the same in all."""
    asked = list[Window]()
    whole = windowed(Sliding(12, 4), once=True)

    def make(message: Paid, window: Window) -> Spent | None:
        asked.append(window)
        return whole.make(message, window)

    messages = _messages([("a", 9, 1), ("a", 10, 2), ("a", 13, 3)])
    _anew(views)
    work = working(dataclasses.replace(whole, make=make), views.get, views.find_each)
    if one_by_one:
        for message in messages:
            work.handle([message])
    else:
        work.handle_all(messages, range(len(messages)))
    with views.transaction() as transaction:
        work.write(transaction)
    assert asked == [Window(8, 20), Window(8, 20), Window(12, 24)]
    assert list(views.scan(SPENT)) == expected(Sliding(12, 4), messages)


def test_windows_begin_at_multiples_of_their_size() -> None:
    assert Tumbling(10).of(-1) == (Window(-10, 0),)
    assert Tumbling(10).of(10) == (Window(10, 20),)
    assert Sliding(12, 4).of(13) == (Window(4, 16), Window(8, 20), Window(12, 24))


class _Without(Struct, frozen=True):
    account: str
    begin_ms: int


@pytest.mark.parametrize(
    "made",
    [lambda: Tumbling(0), lambda: Sliding(10, 3), lambda: Session(-1), lambda: Sliding(101, 1), lambda: Session(1.5)],  # type: ignore[arg-type]
)
def test_what_can_be_no_window(made: Callable[[], WindowKind]) -> None:
    with pytest.raises(ConfigurationError):
        made()


def test_a_table_that_holds_no_windows() -> None:
    def declare(table: Table[Spent], keep_ms: int | None = None) -> None:
        whole = windowed(Tumbling(10))
        Windowed(table, whole.window, whole.key, whole.at_ms, whole.make, whole.merge, keep_ms=keep_ms)

    for table in (Table("w", _Without, key=("account", "begin_ms")), Table("spent", Spent, key=("account",))):
        with pytest.raises(ConfigurationError):
            declare(table)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="keep_ms"):
        declare(SPENT, 0)
    with pytest.raises(TypeError, match="order"):
        working(windowed(Tumbling(10)), lambda _, __: {})
