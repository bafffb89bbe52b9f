"""Processes in flight that another release cannot read: they alone are held up, and go on when they can be read."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from mainstem import (
    EVENT_TOPIC,
    Application,
    Command,
    Decider,
    Hearing,
    ProcessManager,
    Reaction,
    Recorded,
    RetryPolicy,
    heard_event,
    recorded_events,
)
from mainstem.assembly import Embedded, embedded
from mainstem.settings import Settings
from tests.mainstem.process.test_processes import Add, Added, Broken, Tally, Went, total, until


class Told(Struct, frozen=True):
    """So many messages came."""

    count: int = 0


class Named(Struct, frozen=True):
    """The same with a field more, which steps of before do not have."""

    name: str
    count: int = 0


def _note(field: str) -> Any:
    """The command that is sent, which has had a field of another name."""
    return msgspec.defstruct("Note", [("tally", str), (field, int)], bases=(Command,), frozen=True, tag="Note")


_MORE = 70
"""More messages than are looked at together."""

FIRST = (Told(), _note("number"))
RENAMED = (Told(), _note("amount"))
GROWN = (Named("x"), _note("number"))


def _release(initial: Any, note: Any, *, failing: bool = False) -> Application:
    """Of each addition to a tally `of…` 1 is noted, where noting does not fail."""

    def decide(_tally: Tally, command: Any) -> list[Added]:
        if isinstance(command, Add):
            return [Added(number=command.number)]
        if failing:
            raise Broken("not now")
        return [Added(number=1)]

    def react(state: Any, message: Any, _now_ms: int) -> Reaction[Any]:
        after = replace(state, count=state.count + 1)
        return Reaction(after, send=(note("noted", 1),) if isinstance(message, Went) else ())

    def heard(recorded: Recorded[Added]) -> Any:
        tally = recorded.aggregate_id
        return heard_event(recorded, tally, Went(tally, recorded.payload.number)) if tally.startswith("of") else None

    tally: Decider[Any, Added, Tally] = Decider(
        category="tally",
        initial=Tally(),
        decide=decide,
        evolve=lambda tally, event: Tally(tally.total + event.number),
        target=lambda command: command.tally,
        commands=(Add, note),
        events=(Added,),
    )
    noting: ProcessManager[Any] = ProcessManager(
        name="noting",
        initial=initial,
        react=react,
        messages=(Went,),
        commands=(note,),
        hears=(Hearing(EVENT_TOPIC, recorded_events([Added], categories=["tally"]), heard),),
        retry=RetryPolicy(attempts=10_000 if failing else 3, first_wait_ms=1, longest_wait_ms=5),
    )
    return Application(name="noting", deciders=(tally,), processes=(noting,))


def _stuck(running: Embedded) -> list[str]:
    return [each.id for each in running.processes.list(status="stuck")]


@pytest.mark.parametrize("second", [RENAMED, GROWN], ids=["a command's field is renamed", "the state has a field more"])
def test_one_that_cannot_be_read_holds_up_no_other_and_goes_on_when_it_can(tmp_path: Path, second: Any) -> None:
    settings = Settings(data_dir=tmp_path, topic_partitions=2, log_level="error", log_json=True)
    with embedded(_release(*FIRST, failing=True), settings) as running:
        running.commands.execute(Add(tally="of-a", number=1))
        until(lambda: [each.id for each in running.processes.list()] == ["of-a"])

    with embedded(_release(*second), settings) as running:
        running.commands.execute(Add(tally="of-b", number=1))
        for number in range(2, _MORE + 2):
            running.commands.execute(Add(tally="of-a", number=number))  # what the process is told now waits too
        until(lambda: total(running, "noted") == 1)
        until(lambda: _stuck(running) == ["of-a"])
        assert running.settle(120)  # each message is tried some times
        (stuck,) = running.processes.list(status="stuck")
        assert "Error" in stuck.why or "Corrupt" in stuck.why
        (hop,) = (each for each in running.hops() if each.name == "process-driver")
        assert (hop.state, hop.lag) == ("running", 0)
        assert "1 processes are stuck" in (hop.trouble or "")

    with embedded(_release(*FIRST), settings) as running:
        until(lambda: total(running, "noted") == 2 + _MORE)
        assert running.settle()
        assert _stuck(running) == []
        step = running.processes.find("noting", "of-a")
        assert step is not None
        assert (step.pending, step.state) == ((), Told(2 + 2 * _MORE))
