"""The engine-less stack: up, down, status. All that it makes lies in one folder; only what it started is stopped."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.configuration import Place, Ports
from deploy.downloads import Say, StackUnavailable, fetch_all
from deploy.parts import Part, Stack, listens
from deploy.processes import Processes

_READY_S = 180.0
_LOOK_S = 0.2


def place(folder: Path, shift: int = 0) -> Place:
    """On loopback, with its data below the folder."""
    return Place("127.0.0.1", Ports.shifted(shift), folder.absolute() / "data")


def up(folder: Path, shift: int, say: Say) -> Place:
    """Download what is missing, start what does not run, wait until all of it is ready. Raises StackUnavailable."""
    check_shift(folder, shift)
    where = place(folder, shift)
    waves = Stack(where, fetch_all(say), folder.absolute() / "conf").waves()
    starting = _Starting(processes_of(folder), where.host, say)
    starting.check_ports([part for wave in waves for part in wave])
    for wave in waves:
        with ThreadPoolExecutor(len(wave)) as pool:
            list(pool.map(starting.start, wave))
    return where


def check_shift(folder: Path, shift: int) -> None:
    """Raises StackUnavailable where parts run in the folder on other ports than those: nothing is changed then."""
    processes = processes_of(folder)
    if not any(map(processes.pid, processes.names())):
        return
    for line in (folder / "conf" / "zookeeper.cfg").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "clientPort" and int(value) != Ports.shifted(shift).zookeeper:
            stands = int(value) - Ports().zookeeper
            text = f"what runs in {folder} has the shift {stands}, not {shift}: name that, another folder, or stop it"
            raise StackUnavailable(f"{text} first (python -m deploy down --folder {folder})")


def down(folder: Path, say: Say) -> None:
    """Stop what was started there, first what needs the others. Its data stays."""
    processes = processes_of(folder)

    def stop(name: str) -> None:
        if processes.stop(name):
            say(f"{name} is stopped")

    for wave in (_SERVED, _SERVING):
        with ThreadPoolExecutor(len(wave)) as pool:
            list(pool.map(stop, [name for name in processes.names() if name in wave]))


def processes_of(folder: Path) -> Processes:
    """The processes of the stack in that folder."""
    return Processes(folder.absolute() / "run")


_SERVING = ("mysql", "zookeeper", "kafka")
_SERVED = ("connect", "druid-coordinator", "druid-historical", "druid-broker", "druid-indexer")


class _Starting:
    def __init__(self, processes: Processes, host: str, say: Say) -> None:
        self._processes = processes
        self._host = host
        self._say = say
        self._began = time.monotonic()

    def check_ports(self, parts: Sequence[Part]) -> None:
        """Before anything is started. Raises StackUnavailable."""
        for part in parts:
            if self._processes.pid(part.name) is None and listens(self._host, part.port):
                raise StackUnavailable(f"{part.name} needs the port {part.port}, which another process has")

    def start(self, part: Part) -> None:
        """Start the part unless it runs, and see it through."""
        if self._processes.pid(part.name) is None:
            part.prepare()
            self._processes.start(part.name, part.words, self._processes.folder)
        self._await(part)
        part.begin()
        self._say(f"{part.name} is ready on port {part.port} ({time.monotonic() - self._began:.0f} s)")

    def _await(self, part: Part) -> None:
        deadline = time.monotonic() + _READY_S
        while not part.ready():
            if self._processes.pid(part.name) is None:
                raise StackUnavailable(f"{part.name} has ended:\n{self._processes.last_words(part.name)}")
            if time.monotonic() > deadline:
                text = f"{part.name} is not ready after {_READY_S:.0f} s"
                raise StackUnavailable(f"{text}:\n{self._processes.last_words(part.name)}")
            time.sleep(_LOOK_S)
