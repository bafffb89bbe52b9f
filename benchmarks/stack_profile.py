"""Where the processor's time goes for a command on MySQL, part by part, and how much of the machine is left."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from figures import say
from load import CONNECTIONS, wrk
from stack_under_test import api, parts
from tests.distributed import Deployed

_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def measure(bank: Deployed) -> None:
    """With commits of many commands and of one, at the smaller number of connections."""
    for name, settings in (("together", {}), ("one by one", {"command_batch_max": "1"})):
        with api(bank, **settings) as (client, pid):
            pids = {**parts(), "API": pid}
            with spent(client, pids, f"{CONNECTIONS[0]} connections, commits {name}"):
                wrk(client, CONNECTIONS[0])


@contextmanager
def spent(client: httpx.Client, pids: dict[str, int], what: str) -> Iterator[None]:
    """Says what the block has cost each process, dearest first, when it has ended."""
    before, done, (idle, whole) = _ticks(pids), _accepted(client), _machine()
    yield
    after, commands, (idle_after, whole_after) = _ticks(pids), _accepted(client) - done, _machine()
    each = {name: (after[name] - before[name]) * _TICK_US / commands for name in pids}
    say(f"{what}: processor time for each command")
    for name in sorted(each, key=lambda name: -each[name]):
        say(f"  {each[name]:6.0f} us  {name}")
    say(f"  {100 * (idle_after - idle) / (whole_after - whole):.0f} % of the machine's time was left")


def _ticks(pids: dict[str, int]) -> dict[str, int]:
    fields = {name: Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for name, pid in pids.items()}
    return {name: int(found[11]) + int(found[12]) for name, found in fields.items()}


def _machine() -> tuple[int, int]:
    """Ticks in which nothing ran, and all."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return ticks[3] + ticks[4], sum(ticks)


def _accepted(client: httpx.Client) -> int:
    text = client.get("/metrics").raise_for_status().text
    wanted = 'mainstem_commands_total{outcome="accepted"} '
    return next(int(float(line.removeprefix(wanted))) for line in text.splitlines() if line.startswith(wanted))
