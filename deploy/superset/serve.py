"""Superset on this machine: a folder with secrets of its own, its database brought up, assets imported, served."""

import fcntl
import os
import secrets
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.downloads import StackUnavailable

PYTHON = Path(__file__).parents[2] / ".superset" / "bin" / "python"
"""Of the environment that Superset is installed in: `make superset` makes it."""

USER = "admin"
PASSWORD_FILE, KEY_FILE, FACTS = "password", "secret_key", "bank"

_INSIDE = Path(__file__).parent / "inside"
_PREPARE_S = 600.0
_START_S = 300.0
_STOP_S = 20.0
_LOOK_S = 0.2
_THREADS = 8
_SECRET_BYTES = 32
_LINES = 15


@dataclass(frozen=True)
class Home:
    """The folder of a Superset: its database, its log, its key and the password of its user `admin`."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def facts(self) -> Path:
        """Where the copy of the facts is, for DuckDB."""
        return self.folder.resolve() / FACTS

    @property
    def password_file(self) -> Path:
        """What it holds is the password, from the next start on."""
        return self.folder / PASSWORD_FILE

    @property
    def log(self) -> Path:
        """What Superset says."""
        return self.folder / "superset.log"

    def environment(self) -> Mapping[str, str]:
        """Of Superset's processes: times are in UTC, and nobody is told that it is used."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAINSTEM_", "SUPERSET_"))}
        folder = self.folder.resolve()
        return {
            **kept,
            "SUPERSET_CONFIG_PATH": str(_INSIDE / "superset_config.py"),
            "SUPERSET_HOME": str(folder),
            "SUPERSET_KEY_FILE": str(folder / KEY_FILE),
            "BANK_FACTS": str(self.facts),
            "TZ": "UTC",
            "SCARF_ANALYTICS": "false",
        }


@contextmanager
def opened(home: Home) -> Iterator[None]:
    """The folder, made where it is missing, for this process alone.

    Raises StackUnavailable where another process has it, or the port.
    """
    home.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home.folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackUnavailable(f"another process runs Superset in {home.folder}") from None
        _check_port(home.port)
        for name in (PASSWORD_FILE, KEY_FILE):
            _make_secret(home.folder / name)
        home.log.unlink(missing_ok=True)
        yield


def prepare(home: Home, files: Mapping[str, str]) -> None:
    """Its database as this release wants it, its user, and the assets, by their paths. Raises StackUnavailable."""
    if not PYTHON.exists():
        raise StackUnavailable(f"there is no {PYTHON}: `make superset` makes it")
    assets = home.folder / "assets"
    for path in sorted(assets.rglob("*.yaml")):
        path.unlink()
    for name, text in files.items():
        target = assets / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    command = [PYTHON, _INSIDE / "prepare.py", assets, home.password_file]
    with home.log.open("ab") as log:
        try:
            done = subprocess.run(
                command, env=home.environment(), stdout=log, stderr=log, check=False, timeout=_PREPARE_S
            )
        except subprocess.TimeoutExpired:
            raise StackUnavailable(f"Superset was not ready within {_PREPARE_S:.0f} s: see {home.log}") from None
    if done.returncode:
        raise StackUnavailable(f"Superset could not be prepared; the end of {home.log}:\n{_end_of(home.log)}")


@contextmanager
def served(home: Home) -> Iterator["subprocess.Popen[bytes]"]:
    """Superset, answering; ended behind the block. Raises StackUnavailable where it does not come to answer."""
    # One process with threads: its own database is SQLite, and one machine's users are few.
    command: list[str | Path] = [PYTHON, "-m", "gunicorn", f"--bind=127.0.0.1:{home.port}", "--workers=1"]
    command += ["--worker-class=gthread", f"--threads={_THREADS}", "--graceful-timeout=3", "--timeout=120"]
    command.append("superset.app:create_app()")
    with home.log.open("ab") as log:
        process = subprocess.Popen(command, env=home.environment(), stdout=log, stderr=log, start_new_session=True)
    try:
        _await(home, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _await(home: Home, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StackUnavailable(f"Superset has ended; the end of {home.log}:\n{_end_of(home.log)}")
        try:
            with urllib.request.urlopen(f"{home.url}/health", timeout=5) as answer:  # noqa: S310 - http, ours
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(_LOOK_S)
    raise StackUnavailable(f"Superset did not answer within {_START_S:.0f} s: see {home.log}")


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackUnavailable(f"127.0.0.1:{port} cannot be listened on: {error.strerror}; choose --port") from None


def _make_secret(path: Path) -> None:
    """For its owner alone, where there is none."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(_SECRET_BYTES) + "\n")


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LINES:])
