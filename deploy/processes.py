"""Processes of the stack: apart from whoever starts them, known by pid and start time, stopped by that alone."""

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

_STOP_S = 30.0
_KILLED_S = 5.0
_LOOK_S = 0.1


class Processes:
    """The processes whose records stand in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, words: Sequence[str], cwd: Path) -> None:
        """Start it in a session of its own, its output in NAME.log, unless it runs already."""
        if self.pid(name) is not None:
            return
        output = os.open(self.output(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            pid = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", 'cd "$0" && exec "$@" </dev/null', str(cwd), *words],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)],
                setsid=True,
            )
        finally:
            os.close(output)
        self._record(name).write_text(json.dumps({"pid": pid, "started": _started(pid)}))

    def pid(self, name: str) -> int | None:
        """Its pid while it runs; None otherwise, also where the pid is another process's by now."""
        try:
            record = json.loads(self._record(name).read_text())
        except (FileNotFoundError, ValueError):
            return None
        pid, started = record["pid"], record["started"]
        return pid if started is not None and _started(pid) == started else None

    def names(self) -> list[str]:
        """Those that were started, running or not."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def stop(self, name: str) -> bool:
        """Ask it to end, insist after half a minute; whether it ran. Its record goes."""
        pid = self.pid(name)
        if pid is not None:
            for number, seconds in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _KILLED_S)):
                _signal(pid, number)
                if self._ends(name, pid, seconds):
                    break
        self._record(name).unlink(missing_ok=True)
        return pid is not None

    def kill(self, name: str) -> None:
        """`kill -9`, as a fault has it; nothing where it does not run."""
        pid = self.pid(name)
        if pid is not None:
            _signal(pid, signal.SIGKILL)
            self._ends(name, pid, _KILLED_S)

    def _ends(self, name: str, pid: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.pid(name) is not None and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        _reap(pid)
        return self.pid(name) is None

    def last_words(self, name: str, lines: int = 15) -> str:
        """The end of what it printed."""
        try:
            return "\n".join(self.output(name).read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def output(self, name: str) -> Path:
        """The file that it prints into."""
        return self.folder / f"{name}.log"

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _started(pid: int) -> str | None:
    """When the kernel started it, in its own ticks; None for one that is gone, or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else fields[19]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _reap(pid: int) -> None:
    """A child of ours that has ended must be waited for; another's is its parent's."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
