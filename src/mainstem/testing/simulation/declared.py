"""What is simulated, and what came of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from mainstem.application import Application, Sides
from mainstem.settings import Settings
from mainstem.testing.simulation.client import Asking
from mainstem.testing.simulation.faults import FAULTS, Fault, Planned

SMALL = Settings(
    aggregates_remembered=4, snapshot_every=5, command_batch_max=8, olap_linger_ms=0, privacy_keys_kept_ms=1_000
)
"""Limits so small that a short run meets them often."""

_STEPS = 250
_SHOWN = 40


@dataclass(frozen=True)
class Simulation:
    """An application, what is asked of it, and what must hold.

    `commands` yields commands, or what makes one of the time in milliseconds, by that random generator and by nothing
    else. `invariants` are asked whenever everything has come to rest, and yield what does not hold. A run takes so
    many `steps` of one stage each, and meets faults of these kinds. Of the `settings` the folder is the simulation's.
    The `subjects`, each as ``kind:id``, are forgotten now and then.
    """

    application: Application
    commands: Callable[[Random], Iterator[Asking]]
    invariants: Sequence[Callable[[Sides], Iterable[str]]] = ()
    faults: Sequence[Fault] = FAULTS
    steps: int = _STEPS
    settings: Settings = SMALL
    subjects: Sequence[str] = ()

    def of(self, steps: int) -> "Simulation":
        """The same with so many steps."""
        return replace(self, steps=steps)


@dataclass(frozen=True)
class Run:
    """A run that held: its seed, its steps as lines, and what they add up to.

    Runs of one seed have one `digest`, which is made of all lines.
    """

    seed: int
    digest: str
    trace: Sequence[str] = field(repr=False)
    steps: int
    commands: int
    events: int
    lives: int
    faults: Sequence[Planned] = field(repr=False)


class SimulationFailed(AssertionError):
    """Something did not hold. The text has the seed, the faults and the last steps; `trace` has all of them."""

    def __init__(self, seed: int, wrong: Sequence[str], faults: Sequence[Planned], trace: Sequence[str]) -> None:
        self.seed, self.wrong, self.faults, self.trace = seed, tuple(wrong), tuple(faults), tuple(trace)
        lines = [f"seed {seed}:", *(f"  {each}" for each in self.wrong)]
        lines += [f"faults ({len(self.faults)}):", *(f"  {each}" for each in self.faults)]
        last = self.trace[-_SHOWN:]
        lines += [f"the last {len(last)} of {len(self.trace)} lines:", *(f"  {each}" for each in last)]
        super().__init__("\n".join(lines))


class Wrong(BaseException):
    """What does not hold, on its way out of a run: nothing on the way takes it for trouble of its own."""

    def __init__(self, *wrong: str) -> None:
        super().__init__(*wrong)
        self.wrong = wrong


class Crash(BaseException):
    """The process has died; what its files held is in the folder."""

    def __init__(self, folder: Path, at: str) -> None:
        super().__init__(at)
        self.folder, self.at = folder, at
