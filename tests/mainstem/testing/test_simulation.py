"""The simulator finds what is wrong, says how to see it again, and is the same again; and the bank holds."""

import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bank.simulation import commands, simulation
from mainstem import Binding, Fold, Sides
from mainstem.cdc.relay import Relay
from mainstem.command.handler import Handler
from mainstem.eventstore.archive import Archive
from mainstem.listener.batch import Outcome
from mainstem.listener.runner import Runner
from mainstem.log.sqlite import SqliteLog
from mainstem.privacy.sqlite import _Rows
from mainstem.privacy.vault import Vault
from mainstem.testing.simulation import (
    Fault,
    Planned,
    Run,
    Simulation,
    SimulationFailed,
    script,
    shrunk,
    simulate,
)
from mainstem.testing.simulation.mishaps import FILES
from mainstem.testing.simulation.statements import Moment
from mainstem.testing.simulation.virtual import VirtualStop, VirtualTime
from mainstem.view.sqlite import _Transaction

pytestmark = pytest.mark.slow

_SEEDS = 20
_BUG_SEEDS = 12


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """What continuous integration runs each time."""
    return [simulate(simulation, seed) for seed in range(_SEEDS)]


def test_the_bank_holds_whatever_goes_wrong(runs: list[Run]) -> None:
    assert [run.seed for run in runs] == list(range(_SEEDS))
    assert all(run.events > 50 for run in runs)


def test_every_fault_comes_to_something(runs: list[Run]) -> None:
    """Else the seeds would hold because nothing happens."""
    text = "\n".join(line for run in runs for line in run.trace)
    for moment in ("begin", "write", "commit", "committed"):
        assert re.search(rf"dies: {moment} of (events|log|views)\.db", text), moment
    for sign in (
        "dies at its start",
        "of analytics.duckdb",
        "of a process's command",
        "is slow to commit",
        "another member of",
        "is fenced",
        "finds no room",
        "changes behind position",
        "rebuild: ",
    ):
        assert sign in text, sign
    for work in ("archive", "forgetting"):
        assert re.search(rf"ms  {work}: [1-9]", text), work
    assert {planned.fault for run in runs for planned in run.faults} == set(Fault)


def test_a_seed_is_the_same_again_and_another_is_not(runs: list[Run]) -> None:
    again = simulate(simulation, 3)
    assert again.trace == runs[3].trace
    assert again.digest == runs[3].digest
    assert len({run.digest for run in runs}) == _SEEDS


@pytest.mark.parametrize("hashing", ["1", "2"])
def test_a_seed_is_the_same_in_another_process(runs: list[Run], hashing: str) -> None:
    """Whatever order sets have there."""
    done = _command("--seed", "3", PYTHONHASHSEED=hashing)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith(f"all held, digest {runs[3].digest}")


def _command(*words: str, what: str = "bank.simulation:simulation", **environment: str) -> Any:
    command = [sys.executable, "-m", "mainstem.testing.simulation", what, *words]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


def _found(faulty: Simulation, *, kinds: tuple[Fault, ...]) -> SimulationFailed:
    """By one of a few seeds."""
    for seed in range(_BUG_SEEDS):
        try:
            simulate(replace(faulty, faults=kinds), seed)
        except SimulationFailed as failed:
            return failed
    raise AssertionError("nobody has found it")


def test_a_fold_that_counts_twice_is_found_and_shrunk_to_what_it_takes() -> None:
    """It does not look whether its row has the event already."""
    faulty = _careless().of(120)
    failed = _found(faulty, kinds=(Fault.DUPLICATE, Fault.STALL, Fault.REORDER, Fault.UNANSWERED))
    assert any(each.startswith("view card_balance has") for each in failed.wrong)
    fewest = shrunk(faulty, failed)
    assert [each.fault for each in fewest.faults] == [Fault.DUPLICATE]
    assert f"seed {failed.seed}:" in str(fewest)
    assert str(fewest.faults[0]) in str(fewest)
    with pytest.raises(SimulationFailed) as again:
        simulate(faulty, fewest.seed, fewest.faults)
    assert again.value.trace == fewest.trace


def test_offsets_that_are_kept_apart_from_the_rows_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies between the two transactions does what it has done once more."""

    def commit(self: Any, outcome: Outcome, offsets: Any) -> None:
        if outcome.outgoing:
            self._consumer.send(outcome.outgoing, offsets)
        with self._views.transaction() as transaction:
            self._write(outcome, transaction)
        with self._views.transaction() as transaction:
            transaction.save(self.binding.group, offsets)

    monkeypatch.setattr(Runner, "_commit", commit)
    committed = tuple(Moment).index(Moment.COMMITTED)
    faults = [Planned(step, Fault.CRASH, where=committed, much=1 + step % 5) for step in range(10, 250, 4)]
    wrong = list[str]()
    for seed in range(1, _BUG_SEEDS):  # one may come upon what the ledgers tell before
        with pytest.raises(SimulationFailed) as caught:
            simulate(_careless(), seed, faults)
        wrong += caught.value.wrong
        if any(each.startswith("view ") for each in caught.value.wrong):
            return
    raise AssertionError(f"no view was held against its fold: {wrong}")


def _careless() -> Simulation:
    """Its folds take whatever comes for news."""
    listeners = tuple(map(_without_done, simulation.application.listeners))
    return replace(simulation, application=replace(simulation.application, listeners=listeners))


def _without_done(binding: Binding[Any]) -> Binding[Any]:
    fold = binding.projection
    return replace(binding, projection=replace(fold, done=None)) if isinstance(fold, Fold) else binding


def test_a_view_that_fences_nobody_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Transaction, "check", lambda *_: None)
    failed = _found(simulation, kinds=(Fault.REBALANCE,))
    assert any("was not fenced" in each for each in failed.wrong)


def test_a_writer_that_forgets_its_keys_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not answered is asked for again, and carried out again."""

    def once(self: Any, transaction: Any, aggregates: Any, request: Any, _key: str) -> Any:
        return self._decide(transaction, aggregates, request)

    monkeypatch.setattr(Handler, "_once", once)
    _found(simulation, kinds=(Fault.UNANSWERED,))


def test_a_log_that_takes_a_batch_of_the_capture_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its position would have to be in the transaction of the records."""
    monkeypatch.setattr(SqliteLog, "last_sequence", lambda *_: 0)
    monkeypatch.setattr(SqliteLog, "_next_sequence", lambda *_: True)
    failed = _found(simulation, kinds=(Fault.CRASH,))
    assert any("the log has" in each for each in failed.wrong)


def test_a_relay_that_is_ahead_of_what_it_has_appended_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the log had no room for is not read again."""

    def step(self: Any) -> int:
        batch = self._capture.read(self._position, self._batch_max)
        self._position = batch.position
        return int(self._log.append(batch.records, producer=self._name, sequence=batch.position))

    monkeypatch.setattr(Relay, "step", step)
    faults = [Planned(step, Fault.FULL_DISK, where=FILES.index("log.db"), much=20) for step in range(20, 120, 20)]
    with pytest.raises(SimulationFailed) as caught:
        simulate(simulation.of(120), 1, faults)
    assert any("the log has" in each or "in the log" in each for each in caught.value.wrong)


def test_an_archive_whose_streams_begin_with_their_rows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def before(_: Any, _stream: str, _after: int, rows: Any, _limit: int | None) -> Any:
        return list(rows)

    monkeypatch.setattr(Archive, "before", before)
    (wrong, *_) = _found(simulation, kinds=()).wrong
    assert re.search(r"are missing behind version|the versions|led to", wrong), wrong


def test_a_key_that_is_forgotten_in_name_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has a tombstone, and the write-ahead log has the key still."""
    monkeypatch.setattr(_Rows, "cut_off", lambda _: None)
    found = _found(simulation, kinds=())
    assert any(re.search(r"still holds the key of customer:(ada|bob)", each) for each in found.wrong)


def test_data_of_somebody_forgotten_that_can_still_be_read_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would be where the text stood beside its token."""
    monkeypatch.setattr(Vault, "_text", lambda _self, _struct, _mark, token, _subject, _key: f"opened {token}")
    found = _found(simulation, kinds=())
    assert any("is forgotten, and holder of" in each for each in found.wrong)


def test_an_invariant_that_does_not_hold_is_told_with_its_seed() -> None:
    def nothing_happens(sides: Sides) -> Iterator[str]:
        if any(sides.events.read_all()):
            yield "something has happened"

    with pytest.raises(SimulationFailed) as caught:
        simulate(replace(simulation, invariants=(nothing_happens,), steps=20), 7)
    assert caught.value.wrong == ("something has happened",)
    assert str(caught.value).startswith("seed 7:\n  something has happened\nfaults (")
    assert caught.value.trace[-1] in str(caught.value)


def test_a_stage_that_fails_is_told() -> None:
    def poisoned(choice: Random) -> Iterator[Any]:
        yield from (next(asked) for asked in [commands(choice)] for _ in range(3))
        raise ZeroDivisionError("in the generator")

    with pytest.raises(SimulationFailed, match="ZeroDivisionError"):
        simulate(replace(simulation, commands=poisoned, faults=()), 1)


def test_a_script_by_hand() -> None:
    """A crash within a transaction, and the next one."""
    faults = [Planned(20, Fault.CRASH, where=1, much=1), Planned(40, Fault.CRASH, where=2, much=2)]
    run = simulate(simulation.of(80), 5, faults)
    assert run.lives == 3
    assert sum("dies: " in line for line in run.trace) == 2


def test_without_faults_nothing_goes_wrong() -> None:
    run = simulate(replace(simulation, faults=()).of(100), 1)
    assert (run.lives, run.faults) == (1, ())
    assert not any("!" in line for line in run.trace)


def test_scripts_are_of_their_seed_and_of_the_kinds_that_are_asked_for() -> None:
    assert script(1, 200) == script(1, 200) != script(2, 200)
    assert {each.fault for each in script(1, 2_000, (Fault.STALL,))} == {Fault.STALL}
    assert script(1, 200, ()) == ()


def test_time_and_chance_are_virtual_within_and_for_this_thread_alone() -> None:
    clock = VirtualTime(1_000)

    def told() -> tuple[float, float, str]:
        return time.time(), time.monotonic(), uuid.uuid4().hex

    elsewhere: list[float] = []
    with clock.everywhere(1):
        first = told()
        time.sleep(3_600)
        assert time.time() == first[0] + 3_600 == 3_601
        assert VirtualStop(clock).wait(10) is False
        assert time.monotonic() == first[1] + 3_610
        clock.leap(-60_000)
        assert (clock(), time.monotonic()) == (3_551_000, first[1] + 3_610)
        thread = threading.Thread(target=lambda: elsewhere.append(time.time()))
        thread.start()
        thread.join()
    assert elsewhere[0] > 1_700_000_000
    assert told()[0] >= elsewhere[0]
    with VirtualTime(1_000).everywhere(1):
        assert told() == first


@contextmanager
def _module(folder: Path, text: str) -> Iterator[str]:
    (folder / "wrong_simulation.py").write_text(text)
    yield "wrong_simulation:simulation"


def test_the_command_says_which_seed_fails_and_how_to_see_it_again(tmp_path: Path) -> None:
    text = (
        "from dataclasses import replace\n"
        "from bank.simulation import simulation as bank\n"
        "simulation = replace(bank, invariants=(lambda sides: ['never'],)).of(30)\n"
    )
    with _module(tmp_path, text) as what:
        done = _command("--seed", "11", what=what, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "seed 11:\n  never\nfaults (0):" in done.stderr
    assert f"again: python -m mainstem.testing.simulation {what} --seed 11" in done.stderr


def test_the_command_takes_runs_and_time() -> None:
    done = _command("--runs", "2", "--seed", "4", "--steps", "20", "--trace")
    assert done.returncode == 0, done.stderr
    assert "2 runs of seeds 4 to 5 in" in done.stdout
    assert "rests: " in done.stdout
    done = _command("--seconds", "0", "--steps", "20")
    assert done.stdout.startswith("1 run of seed ")
    assert _command("--seconds", "0", what="bank.card:CARD").returncode == 2
