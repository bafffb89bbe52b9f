"""Commands as a reader would type them: `mainstem`, `curl` and `python`, in one folder, with a real application behind.

Addresses in the pages name the port of the documentation; each is the port that the application really has.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mainstem.folder import owner_of

_COMMAND_S = 60.0
_EVENTUALLY_S = 10.0
_VARIABLE = re.compile(r"([A-Z_]+)=(.*)")


@dataclass(frozen=True)
class Command:
    """A command and the lines that the page shows behind it."""

    text: str
    shown: str


def commands(block: str) -> list[Command]:
    """The commands of a `console` block, each behind `$ `; a line that ends in a backslash goes on in the next."""
    found: list[Command] = []
    for part in re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        first, _, shown = part.partition("\n")
        found.append(Command(first.strip(), shown.rstrip()))
    return found


def agrees(shown: str, real: str) -> bool:
    """Whether the text is what the page shows: `…` stands for anything in a line, alone in a line for any lines."""
    pattern = ""
    for line in shown.splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("…")) + r"\n"
    lines = "".join(f"{line.rstrip()}\n" for line in real.replace("\r\n", "\n").rstrip().splitlines())
    return re.fullmatch(pattern, lines) is not None


class Console:
    """One reader's terminal. `close` ends the application that it started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._shown_url = "http://127.0.0.1:8080"
        self._url = self._shown_url
        self._code = 0
        scripts = sysconfig.get_path("scripts")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
        self._environment = clean | {"PATH": f"{scripts}{os.pathsep}{clean['PATH']}", "COLUMNS": "100"}

    def follow(self, block: str) -> None:
        """Run a block's commands. Raises AssertionError where what happens is not what is shown."""
        found = commands(block)
        for number, command in enumerate(found):
            asks_code = number + 1 < len(found) and found[number + 1].text == "echo $?"
            real = self._eventually(command)
            assert not command.shown or agrees(command.shown, real), (
                f"$ {command.text}\nshown:\n{command.shown}\nreal:\n{real}"
            )
            assert asks_code or self._code == 0, f"$ {command.text}\nended with {self._code}:\n{real}"

    def close(self) -> None:
        """`kill -9`, as after any documented moment it may be."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(signal.SIGKILL)
            server.wait(_COMMAND_S)

    def _eventually(self, command: Command) -> str:
        """What only reads is asked again for a while: a view follows its events within milliseconds, not at once."""
        deadline = time.monotonic() + _EVENTUALLY_S
        while True:
            real = self._run(command)
            if not _only_reads(command.text) or agrees(command.shown, real) or time.monotonic() > deadline:
                return real
            threading.Event().wait(0.02)

    def _run(self, command: Command) -> str:
        if command.text == "echo $?":
            code, self._code = self._code, 0
            return str(code)
        words = shlex.split(command.text.replace(self._shown_url, self._url))
        given = {}
        while words and (variable := _VARIABLE.fullmatch(words[0])):
            given[variable[1]] = variable[2]
            words.pop(0)
        if words[0] == "cd":
            self._folder = self._folder / words[1]
            return ""
        if words == ["mainstem", "run"] and "error:" not in command.shown:
            return self._serve(given, command.shown)
        if self._server is None and (words[0] == "curl" or words == ["mainstem", "status"]):
            self._serve({}, "")
            return self._run(command)
        ended = subprocess.run(
            _program(words), cwd=self._folder, env=self._environment | given, capture_output=True,
            text=True, timeout=_COMMAND_S, check=False,
        )  # fmt: skip
        self._code = ended.returncode
        printed = ended.stdout if ended.returncode == 0 else ended.stdout + _without_log(ended.stderr)
        return printed.replace(self._url, self._shown_url)

    def _serve(self, given: dict[str, str], shown: str) -> str:
        self.close()
        self._code = 0
        self._shown_url = f"http://127.0.0.1:{given.get('MAINSTEM_HTTP_PORT', '8080')}"
        data = self._folder / given.get("MAINSTEM_DATA_DIR", "data")
        output = self._folder / "server.log"
        with output.open("wb") as file:
            self._server = subprocess.Popen(
                ["mainstem", "run"], cwd=self._folder, stdout=file, stderr=file,
                env=self._environment | given | {"MAINSTEM_HTTP_PORT": "0"},
            )  # fmt: skip
        deadline = time.monotonic() + _COMMAND_S
        while time.monotonic() < deadline and self._server.poll() is None:
            owner = owner_of(data)
            if owner is not None and owner.url and owner.pid == self._server.pid:
                self._url = owner.url
                printed = output.read_text().replace(self._url, self._shown_url)
                if not shown or agrees(shown, printed):
                    return printed
            threading.Event().wait(0.02)
        raise AssertionError(f"the application did not start:\n{output.read_text()}")


def _program(words: list[str]) -> list[str]:
    if words[0] == "curl":
        curl = shutil.which("curl")
        if curl is None:
            pytest.skip("curl is not installed")
        return [curl, "-sS", "--max-time", "30", *words[1:]]
    if words[0] == "python":
        return [sys.executable, *words[1:]]
    assert words[0] in ("mainstem", "pytest"), f"the tests do not know the program {words[0]!r}"
    return words


def _without_log(text: str) -> str:
    """Standard error without the log's lines, which begin with a time."""
    return "".join(line for line in text.splitlines(keepends=True) if not re.match(r"\d{4}-\d\d-\d\dT", line))


def _only_reads(text: str) -> bool:
    if text.startswith("curl"):
        return " -X " not in text and " -d " not in text
    return "mainstem " in text and not re.search(r"mainstem (run|new|simulate-bank)\b", text)
