"""A PostgreSQL server for the peers that keep nothing in SQLite: its own folder, a socket in it, settings as they come.

As they come are fsync and synchronous_commit, both on: each answer is after the flush, as with SQLite.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

MESSAGE_DB = Path(__file__).parent.parent / ".bench" / "node_modules" / "@eventide" / "message-db" / "database"
"""The scripts that make Message DB out of a database."""

_DEBIAN = Path("/usr/lib/postgresql")
_NOBODY = "nobody"
_START_S, _STOP_S = 60.0, 30.0


@contextmanager
def postgres() -> Iterator[Mapping[str, str] | None]:
    """The environment of its clients, with a database `bench`; None where PostgreSQL is not installed."""
    programs = _programs()
    if programs is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        user = _NOBODY if os.getuid() == 0 else None  # it refuses to run as root
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        made = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run(made, check=True, user=user, cwd=name, stdout=subprocess.DEVNULL)
        command = [
            programs / "postgres",
            "-D",
            data,
            "-k",
            name,
            "-c",
            "listen_addresses=",
            "-c",
            "log_min_messages=fatal",
        ]
        server = subprocess.Popen(command, user=user, cwd=name, stderr=subprocess.DEVNULL)
        try:
            clients = {"PGHOST": name, "PGUSER": "postgres", "PATH": f"{programs}:{os.environ['PATH']}"}
            _ready(clients)
            yield clients
        finally:
            server.terminate()
            server.wait(_STOP_S)


def with_message_db(clients: Mapping[str, str]) -> bool:
    """Make the database `message_store`; False where its scripts are not there."""
    if not MESSAGE_DB.is_dir():
        return False
    subprocess.run(["bash", MESSAGE_DB / "install.sh"], check=True, env=os.environ | clients, stdout=subprocess.DEVNULL)
    return True


def _programs() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _ready(clients: Mapping[str, str]) -> None:
    """Wait until it takes connections."""
    deadline = time.monotonic() + _START_S
    variables = os.environ | clients
    while subprocess.run(["createdb", "bench"], check=False, env=variables, capture_output=True).returncode:
        if time.monotonic() > deadline:
            raise SystemExit("PostgreSQL did not start")
        time.sleep(0.1)
