"""Processes of a small application: heard events, time, failing commands, operators, lost views."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Struct
from msgspec.structs import replace
from typer.testing import CliRunner

from mainstem import (
    EVENT_TOPIC,
    Accepted,
    Application,
    Cancelled,
    Command,
    Decider,
    Declined,
    Event,
    Hearing,
    ProcessManager,
    Reaction,
    Recorded,
    Refused,
    Resumed,
    RetryPolicy,
    TimedOut,
    heard_event,
    log_lines,
    recorded_events,
)
from mainstem.assembly import Embedded, embedded
from mainstem.cli import app
from mainstem.errors import ConfigurationError
from mainstem.settings import Settings
from mainstem.testing import FakeClock

_WITHIN_S = 20.0


class Tally(Struct, frozen=True):
    total: int = 0


class Added(Event, frozen=True):
    number: int


class Add(Command, frozen=True):
    tally: str
    number: int


class Broken(Exception):
    """Of the program."""


class Faults:
    """Whether adding to the tally `fragile` fails at the moment, and how often it was tried."""

    failing = False
    tries = 0


def _decide(_tally: Tally, command: Add) -> list[Added]:
    if command.tally == "fragile":
        Faults.tries += 1
        if Faults.failing:
            raise Broken("not now")
    if command.number > 100:
        raise Refused("too-much", "That is too much")
    return [Added(number=command.number)]


TALLY: Decider[Add, Added, Tally] = Decider(
    category="tally",
    initial=Tally(),
    decide=_decide,
    evolve=lambda tally, event: Tally(tally.total + event.number),
    target=lambda command: command.tally,
    commands=(Add,),
    events=(Added,),
)


class Noted(Struct, frozen=True):
    """What a process was told."""

    told: tuple[str, ...] = ()


class Went(Struct, frozen=True, tag=True):
    """What is heard: so much was added to a tally."""

    tally: str
    number: int


_UNFIT: list[Reaction[Any]] = [
    Reaction(Noted(), timeout_ms=cast(int, 1.5)),
    Reaction(5),
    Reaction(Noted(cast(Any, (5,)))),
    Reaction(Noted(), send=(Add(tally="b", number=cast(int, "many")),)),
    Reaction(Noted(), stuck=cast(str, 5)),
]
_WHY = [
    "Expected `int | null`, got `float` - at `$.due_at_ms`",
    "Expected `object`, got `int` - at `$.state`",
    "Expected `str`, got `int` - at `$.state.told[0]`",
    "Expected `int`, got `str` - at `$.pending[0].command.number`",
    "Expected `str`, got `int` - at `$.why`",
]


def _react(noted: Noted, message: Any, _now_ms: int) -> Reaction[Noted]:
    """Of what is added to `a` twice as much is added to `b`; to `slow` nothing comes until the time is over."""
    after = replace(noted, told=(*noted.told, type(message).__name__))
    match message:
        case Went(tally="a"):
            return Reaction(after, send=(Add(tally="b", number=2 * message.number),))
        case Went(tally="c"):
            return Reaction(after, send=(Add(tally="fragile", number=1),), timeout_ms=3_600_000)
        case Went(tally="slow"):
            return Reaction(after, timeout_ms=60_000)
        case Went(tally="bad"):
            raise Broken("react")
        case Went(tally="unfit"):
            return _UNFIT[message.number]
        case TimedOut():
            return Reaction(after, send=(Add(tally="late", number=1),), revoke=True)
        case Cancelled():
            return Reaction(after, revoke=True)
        case Accepted() | Declined() | Resumed():
            return Reaction(after)
    return Reaction(after)


def _heard(recorded: Recorded[Added]) -> Any:
    tally = recorded.aggregate_id
    return heard_event(recorded, tally, Went(tally, recorded.payload.number)) if tally != "b" else None


FOLLOWER = ProcessManager(
    name="follower",
    initial=Noted(),
    react=_react,
    messages=(Went,),
    commands=(Add,),
    hears=(Hearing(EVENT_TOPIC, recorded_events([Added], categories=["tally"]), _heard),),
    retry=RetryPolicy(attempts=3, first_wait_ms=1, longest_wait_ms=5),
)
APPLICATION = Application(name="small", deciders=(TALLY,), processes=(FOLLOWER,))


@pytest.fixture(autouse=True)
def _plain_log() -> None:
    """Faults are logged as lines: drawing each with what its frames hold takes seconds."""
    log_lines.configure("error", json=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def running(tmp_path: Path, clock: FakeClock) -> Iterator[Embedded]:
    Faults.failing, Faults.tries = False, 0
    with embedded(APPLICATION, Settings(data_dir=tmp_path, topic_partitions=2), clock_ms=clock) as found:
        yield found


def total(running: Embedded, tally: str) -> int:
    return sum(int(each.payload.split(b'"number":')[1].rstrip(b"}")) for each in running.events.read(f"tally-{tally}"))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


def step(running: Embedded, process: str) -> Any:
    return running.processes.find("follower", process)


def test_events_are_heard_and_answered_once(running: Embedded) -> None:
    for number in range(1, 11):
        running.commands.execute(Add(tally="a", number=number))
    assert running.settle()
    assert total(running, "b") == 110
    last = running.events.read("tally-b")[-1]
    assert (last.actor, last.correlation_id) == ("process:follower", "follower-a")
    causes = {each.causation_id for each in running.events.read("follower-a")}
    assert causes >= {f"tally-{tally}:{version}" for tally in "ab" for version in range(1, 11)}


def test_a_lost_view_brings_nothing_twice(running: Embedded, tmp_path: Path, clock: FakeClock) -> None:
    """All is heard again, also when the answers are forgotten."""
    running.commands.execute(Add(tally="a", number=1))
    assert running.settle()
    running.stop()
    for path in tmp_path.glob("views.db*"):
        path.unlink()
    clock.advance(s=30 * 24 * 3600)
    with embedded(APPLICATION, Settings(data_dir=tmp_path, topic_partitions=2), clock_ms=clock) as again:
        again.events.forget_answers(clock())
        assert again.settle()
        assert total(again, "b") == 2
        assert [each.id for each in again.processes.list()] == ["a"]


def test_time_is_over_when_the_clock_says_so(running: Embedded, clock: FakeClock) -> None:
    running.commands.execute(Add(tally="slow", number=1))
    assert running.settle()
    clock.advance(s=59)
    assert running.settle()
    assert step(running, "slow").state.told == ("Went",)
    clock.advance(s=1)
    until(lambda: total(running, "late") == 1)
    assert running.settle()
    assert step(running, "slow").state.told == ("Went", "TimedOut", "Accepted")


def test_a_command_that_keeps_failing_makes_its_process_stuck_and_no_other(running: Embedded) -> None:
    Faults.failing = True
    running.commands.execute(Add(tally="c", number=1))
    running.commands.execute(Add(tally="a", number=1))
    until(lambda: [each.id for each in running.processes.list(status="stuck")] == ["c"])
    (stuck,) = running.processes.list(status="stuck")
    assert (stuck.why, stuck.pending) == ("Broken: not now", 1)
    assert 3 <= Faults.tries <= 6  # the writer tries a command that failed in a batch once more by itself
    assert running.settle()
    assert total(running, "b") == 2
    (hop,) = (each for each in running.hops() if each.name == "process-driver")
    assert hop.trouble is not None
    assert "1 processes are stuck" in hop.trouble
    Faults.failing = False
    assert running.processes.resume("follower", "c").status == "running"
    until(lambda: total(running, "fragile") == 1)
    with pytest.raises(Refused, match="is not stuck"):
        running.processes.resume("follower", "c")


def test_a_cancelled_command_is_never_carried_out(running: Embedded) -> None:
    Faults.failing = True
    running.commands.execute(Add(tally="c", number=1))
    until(lambda: bool(running.processes.list(status="stuck")))
    Faults.failing = False
    running.processes.cancel("follower", "c", "asked for")
    until(lambda: not step(running, "c").pending)
    assert step(running, "c").state.told == ("Went", "Cancelled", "Declined")
    assert step(running, "c").message.reason == "revoked"
    with pytest.raises(Refused, match="revoked"):
        running.commands.execute(Add(tally="fragile", number=1), key="process follower-c:1")
    assert total(running, "fragile") == 0


def test_a_command_is_revoked_only_where_it_was_not_carried_out(running: Embedded) -> None:
    first = running.commands.execute(Add(tally="x", number=1), key="k")
    again = running.commands.revoke(Add(tally="x", number=1), key="k")
    assert (again.version, again.replayed) == (first.version, True)
    for _ in range(2):
        with pytest.raises(Refused, match="revoked"):
            running.commands.revoke(Add(tally="x", number=2), key="other")
    assert total(running, "x") == 1


def test_a_message_that_cannot_be_reacted_to_makes_the_process_stuck(running: Embedded) -> None:
    running.commands.execute(Add(tally="bad", number=1))
    until(lambda: [each.id for each in running.processes.list(status="stuck")] == ["bad"])
    assert step(running, "bad").why == "Broken: react"
    assert running.settle()


@pytest.mark.parametrize("number", range(len(_UNFIT)))
def test_a_reaction_that_is_no_step_makes_the_process_stuck(running: Embedded, number: int) -> None:
    """The step would be stored and never read again."""
    running.commands.execute(Add(tally="unfit", number=number))
    until(lambda: [each.id for each in running.processes.list(status="stuck")] == ["unfit"])
    found = step(running, "unfit")
    why = f"an event FollowerStepped does not fit its class: not the message expected: {_WHY[number]}"
    assert (found.why, found.state, found.pending) == (f"ConfigurationError: {why}", Noted(), ())
    assert running.settle()
    assert total(running, "b") == 0


@pytest.mark.parametrize("words", [("resume",), ("cancel", "--reason", "a test")], ids=["resume", "cancel"])
def test_the_command_line_says_as_json_how_a_process_stands_that_was_helped(
    running: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    Faults.failing = True
    running.commands.execute(Add(tally="c", number=1))
    until(lambda: bool(running.processes.list(status="stuck")))
    running.stop()
    monkeypatch.setenv("MAINSTEM_APP", f"{__name__}:APPLICATION")
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MAINSTEM_TOPIC_PARTITIONS", "2")
    monkeypatch.setenv("MAINSTEM_LOG_LEVEL", "error")
    asked = ["processes", words[0], "follower", "c", *words[1:], "--json"]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0, (told.output, told.exception)
    assert json.loads(told.stdout) == {"manager": "follower", "id": "c", "status": "running"}


def test_processes_that_are_not_there(running: Embedded) -> None:
    with pytest.raises(Refused, match="has not begun"):
        running.processes.resume("follower", "x")
    with pytest.raises(Refused, match="known are follower"):
        running.processes.cancel("other", "x", "")
    assert running.processes.find("follower", "x") is None


def test_declarations_that_cannot_work() -> None:
    class Untagged(Struct, frozen=True):
        pass

    with pytest.raises(ConfigurationError, match="need tags"):
        ProcessManager("x", Noted(), _react, (Untagged,), (Add,))
    with pytest.raises(ConfigurationError, match="no messages"):
        ProcessManager("x", Noted(), _react, (), (Add,))
    with pytest.raises(ConfigurationError, match="not an identifier"):
        ProcessManager("x-y", Noted(), _react, (Went,), (Add,))
