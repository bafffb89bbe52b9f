"""The bank as a process of its own, or the same HTTP application with a command side that does nothing."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from mainstem.folder import owner_of

_START_S = 60.0
_STOP_S = 30.0


@contextmanager
def bank(program: Path | None = None) -> Iterator[httpx.Client]:
    """A client of a bank that has just been started on an empty folder; `program` runs another one in its place."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MAINSTEM_")}
        environment |= {
            "MAINSTEM_DATA_DIR": str(folder),
            "MAINSTEM_HTTP_PORT": "0",
            "MAINSTEM_LOG_LEVEL": "error",
        }
        command = [sys.executable, *([str(program)] if program else ["-m", "mainstem"]), "run"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with httpx.Client(base_url=_url(folder, process), timeout=_STOP_S) as client:
                client.put("/cards/123456789/limit", json={"limit": 10**12}).raise_for_status()
                yield client
        finally:
            process.terminate()
            process.wait(_STOP_S)


def _url(folder: Path, process: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        owner = owner_of(folder)
        if owner is not None and owner.url and owner.pid == process.pid:
            return owner.url
        time.sleep(0.05)
    raise SystemExit("the bank did not start")
