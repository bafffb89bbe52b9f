"""From a POST to a chart's data, while 1,000 other withdrawals come every second; with `--stack`, on the real parts.

The chart is that of a card's spending, asked again until it has the withdrawal. Both forms have all of the bank's
listeners. Where the machine cannot keep up with the rate the times grow as long as the load lasts: `--rate` finds the
rate at which it can. With `--stack` it tells what a command takes of the processor's time, part by part.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

import latency
import stack_under_test
from bank_under_test import bank
from figures import Figure, quiet, show
from stack_profile import spent
from tests.distributed import Deployed, begin_listening

RATES, SECONDS = (1_000,), 60
SAMPLES = 200
_AIM_MS = 1_000.0
_PAUSE_S = 0.1
_PATIENCE_S = 120.0
_STEADY = Path(__file__).with_name("steady.py")


@contextmanager
def loaded(url: str, rate: int) -> Iterator[dict[str, float]]:
    """The steady load, in a process of its own; what it was is in the mapping behind the block."""
    told: dict[str, float] = {}
    command = [sys.executable, str(_STEADY), url, str(rate), str(SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield told
            told |= json.loads(process.communicate(timeout=SECONDS + 60)[0])
        finally:
            process.kill()


def measured(client: httpx.Client, rate: int) -> list[Figure]:
    """Of withdrawals of one card, one after another, beside the load."""
    client.put(f"/cards/{latency.CARD}/limit", json={"limit": 10**12}).raise_for_status()
    begun = latency.begin(client, latency.CARD)  # once all is there that came before
    with loaded(str(client.base_url), rate) as load:
        time.sleep(1.0)
        times = {"pause_s": _PAUSE_S, "patience_s": _PATIENCE_S, "most_s": SECONDS - 5.0}
        seen = latency.one_after_another(client, latency.CARD, SAMPLES, begun=begun, **times)
    figures = [
        Figure("load, answered", load["rate"], rate, "commands/s", "wanted", "1"),
        Figure("load, refused or failed", load["failed"], None, "commands", "", ""),
        Figure("load, p50", load["p50_ms"], None, "ms", "", ""),
        Figure("load, p99", load["p99_ms"], None, "ms", "", ""),
        Figure("withdrawals seen", len(seen.analytics), None, "", "", ""),
    ]
    return figures + latency.figures_of(seen, {"statement": None, "analytical store": _AIM_MS})


def on_stack(deployed: Deployed, rates: Sequence[int] = RATES) -> None:
    """One process with the API, one with the listeners."""
    with stack_under_test.api(deployed) as (client, pid):
        views = deployed.listeners(log_level="info")
        begin_listening(views)
        pids = {**stack_under_test.parts(), "API": pid, "listeners": views.pid}
        try:
            for rate in rates:
                with spent(client, pids, f"{rate:,} withdrawals/s"):
                    show(f"Freshness at {rate:,} withdrawals/s on the stack", measured(client, rate))
        finally:
            views.stop()


def main(rates: Sequence[int] = RATES) -> None:
    """Embedded."""
    quiet()
    with bank() as client:
        for rate in rates:
            show(f"Freshness at {rate:,} withdrawals/s", measured(client, rate))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", action="store_true")
    parser.add_argument("--rate", type=int, action="append", help="withdrawals a second; may be given several times")
    given = parser.parse_args()
    if given.stack:
        quiet()
        with stack_under_test.deployed() as found:
            on_stack(found, given.rate or RATES)
    else:
        main(given.rate or RATES)
