"""Commands over HTTP on MySQL, under load by `wrk`, against one commit for each command on the same server."""

from figures import Figure, medians, show
from load import CONNECTIONS, Load, wrk
from stack_under_test import api
from tests.distributed import Deployed


def measure(bank: Deployed) -> None:
    """Both numbers of connections."""
    figures = []
    for connections in CONNECTIONS:
        runs: list[Load] = []

        def grouped(connections: int = connections, runs: list[Load] = runs) -> float:
            with api(bank) as client:
                runs.append(wrk(client, connections))
            return runs[-1].rate

        def single(connections: int = connections) -> float:
            with api(bank, command_batch_max="1") as client:
                return wrk(client, connections).rate

        rate, other = medians(f"{connections} connections", grouped, single)
        name = f"{connections} connections"
        figures.append(Figure(name, rate, other, "commands/s", "one commit per command", ">= 8"))
        middle = sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
        figures.append(Figure(f"{name}, p50", middle.p50, None, "ms", "", ""))
        figures.append(Figure(f"{name}, p99", middle.p99, None, "ms", "", ""))
    show("Commands over HTTP on MySQL", figures)
