"""The bank as a real process, for the tests that need one: started, asked over HTTP, stopped or killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from mainstem.folder import owner_of
from mainstem.reconciliation import Reconciliation

_START_S = 60.0
_STOP_S = 30.0


class BankProcess:
    """One process on one folder. Its HTTP port is one that was free."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it and wait until it listens."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTEM_")}
        environment |= {"MAINSTEM_DATA_DIR": str(self.folder), "MAINSTEM_HTTP_PORT": "0"}
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mainstem", "run"], env=environment, stdout=output, stderr=output
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            owner = owner_of(self.folder)
            if owner is not None and owner.url and owner.pid == self._process.pid:
                self.url = owner.url
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the bank did not start:\n{self.text()}")

    def text(self) -> str:
        """What it has printed and logged."""
        return self.output.read_text(errors="replace")

    def kill(self) -> None:
        """`kill -9`, at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(_STOP_S)

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_STOP_S)

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """A client of its HTTP application."""
        return httpx.Client(base_url=self.url, timeout=timeout_s)

    def reconcile(self) -> Reconciliation:
        """What its accounts say of each other."""
        with self.client(120) as client:
            return msgspec.json.decode(client.get("/reconciliation").raise_for_status().content, type=Reconciliation)


@contextmanager
def bank_process(folder: Path) -> Iterator[BankProcess]:
    """A running bank, stopped at the end however the test ends."""
    bank = BankProcess(folder)
    bank.start()
    try:
        yield bank
    finally:
        if bank.running():
            bank.kill()
