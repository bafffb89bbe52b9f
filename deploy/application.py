"""The bank's processes on a stack."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from deploy.compose import seed_files
from deploy.configuration import Place, application_settings
from deploy.downloads import Say, StackUnavailable

_MAINSTEM = (sys.executable, "-m", "mainstem")
ENVIRONMENT = "application.env"
"""What a shell reads to have the settings of the application's processes."""

_LOOK_S = 0.2
_STOP_S = 30.0


def environment(place: Place, **more: str) -> Mapping[str, str]:
    """Of one process: the stack's places, and more settings by their names in lower case; the caller's own win."""
    own = {f"MAINSTEM_{name.upper()}": value for name, value in more.items()}
    return {**application_settings(place), **own, **os.environ}


def process_environment(place: Place, role: str) -> Mapping[str, str]:
    """Of one process of the bank on the stack there."""
    return environment(place, roles=role, http_port=str(place.ports.bank))


def deploy(place: Place) -> None:
    """Tables, topics, connector and supervisors. Raises StackUnavailable where it fails; it has said why.

    The seed's two files are written beside the data, for whoever wants to post them, and a file with the settings of
    the application's processes.
    """
    settings = "".join(f"{name}={shlex.quote(value)}\n" for name, value in application_settings(place).items())
    file = place.data.parent / ENVIRONMENT
    file.touch(mode=0o600)
    file.write_text(settings)
    for name, text in seed_files(place).items():
        (place.data.parent / name).write_text(text)
    done = subprocess.run([*_MAINSTEM, "deploy"], env=environment(place), check=False)
    if done.returncode:
        raise StackUnavailable("the bank could not be deployed")


def run(place: Place, listeners: int, say: Say) -> None:
    """One process with the API and some with the listeners, until this one is told to stop.

    Where one ends the others go on, and its end is said. Raises StackUnavailable where the API or all listeners end.
    """
    roles = ["api", *["listeners"] * listeners]
    running = [subprocess.Popen([*_MAINSTEM, "run"], env=process_environment(place, role)) for role in roles]
    say(f"{len(running)} processes: {', '.join(f'{role} {p.pid}' for role, p in zip(roles, running, strict=True))}")
    say(f"For mainstem status and others, in another terminal: set -a; . {place.data.parent / ENVIRONMENT}; set +a")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        watch(dict(zip(running, roles, strict=True)), say)
    except KeyboardInterrupt:
        say("stopping")
    finally:
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in running:
            _end(process)


def watch(running: "dict[subprocess.Popen[bytes], str]", say: Say) -> None:
    """Say of each process, by its role, that it has ended. Raises StackUnavailable where a role is left without any."""
    while True:
        for process in [each for each in running if each.poll() is not None]:
            role = running.pop(process)
            say(f"{role} {process.pid} has ended with {process.returncode}")
            if role not in running.values():
                raise StackUnavailable(f"no process with the role {role} is left")
        time.sleep(_LOOK_S)


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
