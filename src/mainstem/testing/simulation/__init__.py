"""A whole application in one thread, by a virtual clock, with faults that a seed plans: the same again whenever asked.

`simulate` takes one run; `python -m mainstem.testing.simulation` takes many.
"""

from mainstem.testing.simulation.declared import SMALL, Run, Simulation, SimulationFailed
from mainstem.testing.simulation.faults import FAULTS, Fault, Planned, script
from mainstem.testing.simulation.running import shrunk, simulate

__all__ = [
    "FAULTS",
    "SMALL",
    "Fault",
    "Planned",
    "Run",
    "Simulation",
    "SimulationFailed",
    "script",
    "shrunk",
    "simulate",
]
