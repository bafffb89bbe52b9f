"""What every benchmark shares: rounds that alternate with the peer's, medians, and a table of the figures."""

import json
import os
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mainstem import log_lines
from mainstem.collector import collect_rarely

ROUNDS = 3
PEER = Path(__file__).parent.parent / ".bench" / "bin" / "python"
PEER_PROGRAM = Path(__file__).parent / "peer_eventsourcing.py"
_PEER_S = 300
_NOTHING_MORE: Mapping[str, str] = {}

Found = Mapping[str, float]

_console = Console()


@dataclass(frozen=True)
class Figure:
    """One line: what was measured, ours, the peer's or the limit's, and the aim for the ratio of the two."""

    name: str
    ours: float
    other: float | None
    unit: str
    against: str
    aim: str

    @property
    def ratio(self) -> str:
        """Ours to the other's."""
        return "" if self.other is None else f"{self.ours / self.other:.2f}"


def peer(*words: str, program: Path = PEER_PROGRAM, environment: Mapping[str, str] = _NOTHING_MORE) -> dict[str, float]:
    """Run a peer's program in the peers' environment; what it printed."""
    command = [str(PEER), str(program), *words]
    variables = os.environ | environment
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_PEER_S, check=True, env=variables)
    found: dict[str, float] = json.loads(ended.stdout)
    return found


def taking_turns(what: str, measurements: Mapping[str, Callable[[], Mapping[str, float]]]) -> dict[str, Found]:
    """Of each that takes part the medians of what it measures, over several rounds in which they take turns.

    All rounds' figures are printed, so that the noise can be seen.
    """
    rounds: dict[str, list[Mapping[str, float]]] = {name: [] for name in measurements}
    for number in range(ROUNDS):
        for name, measure in measurements.items():
            with _console.status(f"{what}: round {number + 1} of {ROUNDS}, {name}"):
                rounds[name].append(measure())
    found = {}
    for name, each in rounds.items():
        found[name] = {key: statistics.median(values[key] for values in each) for key in each[0]}
        for key in each[0]:
            say(f"{what}, {name}, {key}: " + ", ".join(f"{values[key]:,.4g}" for values in each))
    return found


def medians(what: str, *measurements: Callable[[], float]) -> list[float]:
    """The median of each over several rounds, in which they take turns."""
    rounds: list[list[float]] = []
    for number in range(ROUNDS):
        with _console.status(f"{what}: round {number + 1} of {ROUNDS}"):
            rounds.append([measure() for measure in measurements])
    return [statistics.median(values) for values in zip(*rounds, strict=True)]


def show(title: str, figures: Iterable[Figure]) -> None:
    """Print the figures as a table."""
    grid = Table("figure", "mainstem", "against", "ratio", "aim", title=title, title_justify="left")
    for figure in figures:
        other = "" if figure.other is None else f"{figure.other:,.4g} {figure.unit} ({figure.against})"
        grid.add_row(figure.name, f"{figure.ours:,.4g} {figure.unit}", other, figure.ratio, figure.aim)
    _console.print(grid)


def percentile(values: list[float], percent: int) -> float:
    """The value below which so many percent lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def say(text: str) -> None:
    """A line between the tables."""
    _console.print(text, highlight=False, soft_wrap=True)


def quiet() -> None:
    """Errors only, so that the figures stand alone; the collector as the command line has it."""
    collect_rarely()
    log_lines.configure("error", json=False)
