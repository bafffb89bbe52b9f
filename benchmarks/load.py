"""Commands over HTTP under load by `wrk`, against the same application whose handler does nothing."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from bank_under_test import bank
from figures import Figure, medians, quiet, say, show

CONNECTIONS = (16, 256)
SECONDS = 5
_SCRIPT = """
wrk.method = "POST"
wrk.body = '{"debitCard":"123456789","amount":1.00}'
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency, requests)
    io.write(string.format("RESULT %f %f %f %d\\n", summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, summary.errors.status))
end
"""
_RESULT = re.compile(r"RESULT (\S+) (\S+) (\S+) (\d+)")
_NOTHING = Path(__file__).parent / "nothing.py"


@dataclass(frozen=True)
class Load:
    """Requests a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def load(connections: int, program: Path | None = None) -> Load:
    """One run of `wrk` against a bank that was started for it."""
    with bank(program) as client:
        return wrk(client, connections)


def wrk(client: httpx.Client, connections: int) -> Load:
    """Withdrawals of 1 from the seed's card, as fast as the connections allow."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT)
        script.flush()
        url = f"{str(client.base_url).rstrip('/')}/moneywithdrawals"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", script.name, url]
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS + 60)
    found = _RESULT.search(ended.stdout)
    if found is None or int(found[4]):
        raise SystemExit(f"wrk did not get through:\n{ended.stdout}{ended.stderr}")
    return Load(float(found[1]), float(found[2]), float(found[3]))


def figures_of(
    connections: int, ours: Callable[[], Load], other: Callable[[], Load], against: str, aim: str
) -> list[Figure]:
    """Both in turns: the rates beside each other, and the latencies of our middle run."""
    runs: list[Load] = []

    def rate() -> float:
        runs.append(ours())
        return runs[-1].rate

    name = f"{connections} connections"
    found, limit = medians(name, rate, lambda: other().rate)
    middle = sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
    return [
        Figure(name, found, limit, "commands/s", against, aim),
        Figure(f"{name}, p50", middle.p50, None, "ms", "", ""),
        Figure(f"{name}, p99", middle.p99, None, "ms", "", ""),
    ]


def main() -> None:
    """Both numbers of connections."""
    quiet()
    if shutil.which("wrk") is None:
        say("Commands over HTTP: not measured, wrk is not installed (Debian: apt-get install wrk)")
        return
    figures: list[Figure] = []
    for connections in CONNECTIONS:
        ours, nothing = partial(load, connections), partial(load, connections, _NOTHING)
        figures += figures_of(connections, ours, nothing, "the same handler doing nothing", ">= 0.5")
    show("Commands over HTTP", figures)


if __name__ == "__main__":
    main()
