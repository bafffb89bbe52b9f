"""Taking runs: of a seed, of a script of faults, and of ever fewer faults until what fails is plain."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mainstem.testing.simulation.declared import Run, Simulation, SimulationFailed, Wrong
from mainstem.testing.simulation.faults import Planned, script
from mainstem.testing.simulation.simulator import Simulator

_MEMORY = Path("/dev/shm")  # noqa: S108 - where there is one: a process that dies loses nothing there either
_TRIES = 40


def simulate(simulation: Simulation, seed: int, faults: Sequence[Planned] | None = None) -> Run:
    """One run, of these faults or of those that the seed plans. Raises SimulationFailed."""
    if faults is None:
        faults = script(seed, simulation.steps, simulation.faults)
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="mainstem-simulation-", dir=place, ignore_cleanup_errors=True) as folder:
        simulator = Simulator(simulation, seed, faults, Path(folder).resolve())
        try:
            return simulator.run()
        except Wrong as error:
            raise SimulationFailed(seed, error.wrong, faults, simulator.trace) from error
        except Exception as error:
            raise SimulationFailed(seed, [repr(error)], faults, simulator.trace) from error


def shrunk(simulation: Simulation, failed: SimulationFailed, tries: int = _TRIES) -> SimulationFailed:
    """The same failure with as few faults as are found in so many runs: whatever it can do without is left out."""
    size = max(1, len(failed.faults) // 2)
    while size:
        begin = 0
        while begin < len(failed.faults) and tries:
            tries -= 1
            fewer = failed.faults[:begin] + failed.faults[begin + size :]
            try:
                simulate(simulation, failed.seed, fewer)
            except SimulationFailed as error:
                failed = error
            else:
                begin += size
        size //= 2
    return failed
