"""`python -m mainstem.testing.simulation MODULE:NAME`: run after run, until the time is over or one fails."""

import random
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from mainstem.testing.simulation import Run, Simulation, SimulationFailed, shrunk, simulate

_SECONDS = 60.0
_SEEDS = 1_000_000


def main(
    what: Annotated[
        str, typer.Argument(help="Where the simulation is declared: a module, a colon and the name in it.")
    ],
    seed: Annotated[int | None, typer.Option(help="The first seed; unless given, any.")] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, help="So many runs, each of the next seed. One where a seed is given.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Runs for so long; for a minute unless told otherwise.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="So many steps to a run, in place of the declared number.")
    ] = None,
    trace: Annotated[bool, typer.Option(help="Print every line of each run.")] = False,
) -> None:
    """Simulate an application with faults. Exit code 1 where something does not hold: its seed is printed then."""
    simulation = _load(what, steps)
    if runs is None and seconds is None:
        runs, seconds = (1, None) if seed is not None else (None, _SECONDS)
    first = random.SystemRandom().randrange(_SEEDS) if seed is None else seed
    done: list[Run] = []
    began = time.monotonic()
    try:
        for run in _shown(simulation, first, runs, seconds):
            done.append(run)
            if trace:
                print(*run.trace, f"digest {run.digest}", sep="\n")  # noqa: T201 - what a command prints
    except SimulationFailed as failed:
        _explain(simulation, failed, what, steps)
        raise typer.Exit(1) from None
    _sum_up(done, time.monotonic() - began)


def _load(what: str, steps: int | None) -> Simulation:
    module, _, name = what.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    found = getattr(import_module(module), name or "simulation")
    if not isinstance(found, Simulation):
        raise typer.BadParameter(f"{what} is no Simulation")
    return found if steps is None else found.of(steps)


def _shown(simulation: Simulation, first: int, runs: int | None, seconds: float | None) -> Iterator[Run]:
    """Runs, with their progress on standard error."""
    over = None if seconds is None else time.monotonic() + seconds
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        shown = progress.add_task("")
        for number in count() if runs is None else range(runs):
            if over is not None and number and time.monotonic() > over:
                return
            progress.update(shown, description=f"run {number + 1}, seed {first + number}")
            yield simulate(simulation, first + number)


def _explain(simulation: Simulation, failed: SimulationFailed, what: str, steps: int | None) -> None:
    out = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    out.print(f"seed {failed.seed} fails with {len(failed.faults)} faults; looking for fewer")
    out.print(str(shrunk(simulation, failed)))
    more = "" if steps is None else f" --steps {steps}"
    out.print(f"\nagain: python -m mainstem.testing.simulation {what} --seed {failed.seed}{more}")


def _sum_up(done: list[Run], took_s: float) -> None:
    first, last = done[0].seed, done[-1].seed
    runs = f"1 run of seed {first}" if len(done) == 1 else f"{len(done)} runs of seeds {first} to {last}"
    figures = (
        f"{runs} in {took_s:.1f} s",
        f"{sum(run.steps for run in done)} steps",
        f"{sum(len(run.faults) for run in done)} faults",
        f"{sum(run.lives - 1 for run in done)} crashes",
        f"{sum(run.commands for run in done)} commands",
        f"{sum(run.events for run in done)} events",
        "all held" if len(done) > 1 else f"all held, digest {done[0].digest}",
    )
    print(", ".join(figures))  # noqa: T201 - what a command prints


if __name__ == "__main__":
    typer.run(main)
