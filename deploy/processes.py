"""Processes of the stack: apart from whoever starts them, known by pid and start time, stopped by that alone."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_STOP_S = 30.0
_LOOK_S = 0.1


class Processes:
    """The processes whose records stand in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, words: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        """Start it, its output in NAME.log, unless it runs already."""
        if self.pid(name) is not None:
            return
        with self.output(name).open("ab") as output:
            process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=cwd,
                env={**os.environ, **environment},
            )
        record = {"pid": process.pid, "started": _started(process.pid)}
        self._record(name).write_text(json.dumps(record))

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
            _signal(pid, signal.SIGTERM)
            deadline = time.monotonic() + _STOP_S
            while self.pid(name) is not None and time.monotonic() < deadline:
                _reap(pid)
                time.sleep(_LOOK_S)
            if self.pid(name) is not None:
                _signal(pid, signal.SIGKILL)
        self._record(name).unlink(missing_ok=True)
        return pid is not None

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
