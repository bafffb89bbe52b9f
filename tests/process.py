"""The bank as real processes, for the tests that need them: started, asked over HTTP, stopped, killed or frozen."""

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import httpx
import msgspec

from mainstem.folder import owner_of
from mainstem.reconciliation import Reconciliation

_log = logging.getLogger(__name__)

_START_S = 60.0
_STOP_S = 30.0
_PORTS = range(20_000, 23_000)
_GIVEN = Path(tempfile.gettempdir()) / f"mainstem-test-port-{os.getuid()}"
"""The last one that a test has got."""


def free_port() -> int:
    """A port of this machine at which nobody listens, and which nobody else was given of late.

    Tests run beside others, and what is started may be a while away from listening. The system gives none of these to
    clients.
    """
    with _GIVEN.open("a+") as given:
        fcntl.flock(given, fcntl.LOCK_EX)
        given.seek(0)
        last = int(given.read() or _PORTS.start)
        for port in chain(range(last + 1, _PORTS.stop), _PORTS):
            try:
                socket.create_server(("127.0.0.1", port)).close()
            except OSError:
                continue
            given.truncate(0)
            given.write(str(port))
            return port
    raise AssertionError("no port is free")


def telling_client(url: str, timeout_s: float) -> httpx.Client:
    """A client that logs what the server says of its errors, so that a test that fails shows it."""

    def tell(answer: httpx.Response) -> None:
        if answer.is_server_error:
            _log.warning("%s answered %s: %r", answer.request.url, answer.status_code, answer.read())

    return httpx.Client(base_url=url, timeout=timeout_s, event_hooks={"response": [tell]})


def variable_of(setting: str) -> str:
    """The variable of a setting, of the platform's or the bank's own, by its name in lower case."""
    return setting.upper() if setting.startswith("bank_") else f"MAINSTEM_{setting.upper()}"


class MainstemProcess:
    """`mainstem run`, or another command, with these settings (by their names in lower case, and no others).

    Its output is in a file.
    """

    def __init__(self, output: Path, settings: Mapping[str, str], command: Sequence[str] = ("run",)) -> None:
        self.output = output
        self._command = command
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool]) -> None:
        """Start it and wait until it is ready."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAINSTEM_", "BANK_"))}
        environment |= {variable_of(name): value for name, value in self._settings.items()}
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mainstem", *self._command], env=environment, stdout=output, stderr=output
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self.running():
            if ready():
                return
            time.sleep(0.02)
        raise AssertionError(f"it did not start:\n{self.text()}")

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    def text(self) -> str:
        """What it has printed and logged."""
        return self.output.read_text(errors="replace")

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """`kill -9`, at once."""
        self._send(signal.SIGKILL).wait(_STOP_S)

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        return self._send(signal.SIGTERM).wait(_STOP_S)

    def freeze(self) -> None:
        """It does nothing until `thaw`, and does not notice."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        self._process.send_signal(number)
        return self._process


class BankProcess:
    """The embedded bank: one process on one folder. Its HTTP port is one that was free; `settings` are more."""

    patience_s = 5.0
    """Within which a withdrawal is everywhere, on a busy machine too: how soon it is, `benchmarks/latency.py` says."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.url = ""
        own = {"data_dir": str(folder), "http_port": "0"}
        self.process = MainstemProcess(folder.with_suffix(".log"), {**own, **settings})

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.process.start(self._listens)

    def _listens(self) -> bool:
        owner = owner_of(self.folder)
        if owner is None or not owner.url or owner.pid != self.process.pid:
            return False
        self.url = owner.url
        return True

    def text(self) -> str:
        """What it has printed and logged."""
        return self.process.text()

    def kill(self) -> None:
        """`kill -9`, at once."""
        self.process.kill()

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        return self.process.stop()

    def running(self) -> bool:
        """Whether the process lives."""
        return self.process.running()

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """A client of its HTTP application."""
        return telling_client(self.url, timeout_s)

    def reconcile(self) -> Reconciliation:
        """What its accounts say of each other."""
        with self.client(120) as client:
            return msgspec.json.decode(client.get("/reconciliation").raise_for_status().content, type=Reconciliation)


@contextmanager
def bank_process(folder: Path, **settings: str) -> Iterator[BankProcess]:
    """A running bank, stopped at the end however the test ends."""
    bank = BankProcess(folder, **settings)
    bank.start()
    try:
        yield bank
    finally:
        if bank.running():
            bank.kill()
