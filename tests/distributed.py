"""The distributed bank, deployed once on the test stack: processes of each role, asked, killed and frozen by tests.

The deployment stays as long as the stack does, so tests withdraw from cards of their own, and look at these cards.
Reconciliation looks at all of it, whoever made it.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import httpx
import msgspec
import pytest

from bank.main import application
from deploy.application import environment
from deploy.configuration import Place, application_settings
from mainstem.operations import reconciliation
from mainstem.reconciliation import Reconciliation
from mainstem.settings import read_settings
from tests.process import MainstemProcess, free_port, telling_client

_DEPLOY_S = 180.0


class Deployed:
    """The bank on a stack: tables, topics, connector and supervisor run; the processes are the tests'."""

    def __init__(self, place: Place, output: Path) -> None:
        self.place = place
        self._output = output
        self._numbers = count(1)
        self.settings = {name.removeprefix("MAINSTEM_").lower(): v for name, v in application_settings(place).items()}

    def deploy(self, **settings: str) -> str:
        """Make what is missing, of the bank with these settings too; what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "mainstem", "deploy"],
            env=environment(self.place, **settings),
            capture_output=True,
            text=True,
            timeout=_DEPLOY_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def api(self, **settings: str) -> "Api":
        """A process that answers HTTP, not yet started; its queries wait long, since tests share the machine."""
        patient = {"roles": "api", "query_wait_max_ms": "30000"}
        return Api(self._file("api"), {**self.settings, **patient, **settings})

    def listeners(self, **settings: str) -> MainstemProcess:
        """A process that keeps the views, not yet started."""
        return MainstemProcess(self._file("listeners"), {**self.settings, "roles": "listeners", **settings})

    def reconcile(self) -> Reconciliation:
        """What the accounts say of each other, once they agree or half a minute is over."""
        return reconciliation(application, read_settings(application_settings(self.place)))

    def _file(self, role: str) -> Path:
        return self._output / f"{role}-{next(self._numbers)}.log"


class Api:
    """One process with the role `api`."""

    def __init__(self, output: Path, settings: dict[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = MainstemProcess(output, {**settings, "http_port": str(port)})

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start(self._answers)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/live", timeout=1).is_success
        except httpx.TransportError:
            return False

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """A client of its HTTP application."""
        return telling_client(self.url, timeout_s)


def begin_listening(process: MainstemProcess) -> None:
    """Start a process with the role `listeners`, and wait until it says that it runs."""
    before = process.text().count("the listeners run") if process.output.exists() else 0
    process.start(lambda: process.text().count("the listeners run") > before)


class DistributedBank:
    """One process for HTTP and one that keeps the views, as the story's tests use the bank."""

    patience_s = 30.0
    """Druid shows the first row of a datasource after seconds; others come much faster."""

    def __init__(self, deployed: Deployed, **settings: str) -> None:
        self.deployed = deployed
        self.api = deployed.api(**settings)
        self.views = deployed.listeners(**settings)

    def start(self) -> None:
        """Start both."""
        begin_listening(self.views)
        self.api.start()

    def stop(self) -> int:
        """Ask both to stop; 0 where both did without an error."""
        return self.api.process.stop() | self.views.stop()

    def close(self) -> None:
        """End what still runs; one that is killed would keep its partitions until its group gives it up."""
        for process in (self.api.process, self.views):
            if process.running():
                process.stop()

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """A client of its HTTP application."""
        return self.api.client(timeout_s)

    def reconcile(self) -> Reconciliation:
        """What its accounts say of each other, once all are there to be asked."""
        deadline = time.monotonic() + self.patience_s
        with self.client(120) as client:
            while (answer := client.get("/reconciliation")).status_code == httpx.codes.SERVICE_UNAVAILABLE:
                if time.monotonic() > deadline:
                    break
                time.sleep(int(answer.headers["Retry-After"]))
            return msgspec.json.decode(answer.raise_for_status().content, type=Reconciliation)


@contextmanager
def distributed_bank(deployed: Deployed, **settings: str) -> Iterator[DistributedBank]:
    """A running bank, stopped at the end however the test ends."""
    with ExitStack() as stack:
        bank = DistributedBank(deployed, **settings)
        stack.callback(bank.close)
        bank.start()
        yield bank


@pytest.fixture(scope="session")
def deployed(stack: Place, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The bank's deployment on the test stack."""
    found = Deployed(stack, tmp_path_factory.mktemp("distributed"))
    found.deploy()
    return found
