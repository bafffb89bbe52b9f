"""From a POST to a chart's data, while 1,000 other withdrawals come every second; with `--stack`, on the real parts.

The chart is that of a card's spending, asked again until it has the withdrawal. Both forms have all of the bank's
listeners.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

import latency
import stack_under_test
from bank_under_test import bank
from figures import Figure, quiet, show
from tests.distributed import Deployed, begin_listening

RATE, SECONDS = 1_000, 60
SAMPLES = 200
_AIM_MS = 1_000.0
_PAUSE_S = 0.1
_STEADY = Path(__file__).with_name("steady.py")


@contextmanager
def loaded(url: str) -> Iterator[dict[str, float]]:
    """The steady load, in a process of its own; what it was is in the mapping behind the block."""
    told: dict[str, float] = {}
    command = [sys.executable, str(_STEADY), url, str(RATE), str(SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield told
            told |= json.loads(process.communicate(timeout=SECONDS + 60)[0])
        finally:
            process.kill()


def measured(client: httpx.Client) -> list[Figure]:
    """Of withdrawals of one card, one after another, beside the load."""
    client.put(f"/cards/{latency.CARD}/limit", json={"limit": 10**12}).raise_for_status()
    with loaded(str(client.base_url)) as load:
        time.sleep(1.0)
        began = time.monotonic()
        seen = latency.one_after_another(client, latency.CARD, SAMPLES, pause_s=_PAUSE_S)
        took_s = time.monotonic() - began
    if took_s > SECONDS - 1:
        raise SystemExit(f"the load ended before the {SAMPLES} withdrawals were seen, which took {took_s:.0f} s")
    figures = [
        Figure("load, answered", load["rate"], RATE, "commands/s", "wanted", "1"),
        Figure("load, refused or failed", load["failed"], None, "commands", "", ""),
        Figure("load, p50", load["p50_ms"], None, "ms", "", ""),
        Figure("load, p99", load["p99_ms"], None, "ms", "", ""),
    ]
    return figures + latency.figures_of(seen, {"statement": None, "analytical store": _AIM_MS})


def on_stack(deployed: Deployed) -> None:
    """One process with the API, one with the listeners."""
    with stack_under_test.api(deployed) as (client, _):
        views = deployed.listeners(log_level="info")
        begin_listening(views)
        try:
            show(f"Freshness at {RATE:,} withdrawals/s on the stack", measured(client))
        finally:
            views.stop()


def main() -> None:
    """Embedded."""
    quiet()
    with bank() as client:
        show(f"Freshness at {RATE:,} withdrawals/s", measured(client))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", action="store_true")
    if parser.parse_args().stack:
        quiet()
        with stack_under_test.deployed() as found:
            on_stack(found)
    else:
        main()
