"""A stack of the benchmarks' own, with the bank deployed: MySQL, Kafka, Connect with Debezium, Druid."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from deploy.stack import down, place, processes_of, up
from figures import say
from tests.distributed import Deployed

_FOLDER = Path(__file__).parents[1] / ".stack-bench"
_SHIFT = 15_000
CARD = "123456789"


def parts() -> dict[str, int]:
    """The processes of the stack's parts, by name."""
    running = processes_of(_FOLDER)
    return {name: pid for name in running.names() if (pid := running.pid(name)) is not None}


@contextmanager
def deployed() -> Iterator[Deployed]:
    """The bank's deployment; the stack is stopped at the end, its data stays."""
    up(_FOLDER, _SHIFT, say)
    try:
        with tempfile.TemporaryDirectory() as output:
            found = Deployed(place(_FOLDER, _SHIFT), Path(output))
            found.deploy()
            yield found
    finally:
        down(_FOLDER, say)


@contextmanager
def api(bank: Deployed, **settings: str) -> Iterator[tuple[httpx.Client, int]]:
    """A client of one process with the API, whose first card has no limit that matters; and the process's number."""
    process = bank.api(log_level="error", **settings)
    process.start()
    try:
        with process.client() as client:
            client.put(f"/cards/{CARD}/limit", json={"limit": 10**12}).raise_for_status()
            yield client, process.process.pid
    finally:
        process.process.stop()
