"""What a program logs that uses mainstem as a library, and has said nothing of how it logs."""

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
from pathlib import Path
import sys
{before}
from msgspec import Struct
from mainstem import Application, Command, Decider, Event
from mainstem.assembly import embedded
from mainstem.settings import Settings


class Named(Event, frozen=True):
    name: str


class Name(Command, frozen=True):
    name: str


class State(Struct, frozen=True):
    pass


def decide(state, command):
    raise ValueError("a fault")


decider = Decider(category="named", initial=State(), decide=decide, evolve=lambda state, event: state,
                  target=lambda command: "a", commands=(Name,), events=(Named,))
names = Application(name="names", deciders=(decider,))
with embedded(names, Settings(data_dir=Path(sys.argv[1]), log_json=True)) as it:
    try:
        it.commands.execute(Name(name="Ada " + "Lovelace"))
    except Exception:
        pass
"""


def _run(folder: Path, before: str = "") -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-c", _PROGRAM.format(before=before), str(folder)]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)


def test_a_fault_is_told_without_the_values_of_variables(tmp_path: Path) -> None:
    """They may be somebody's name, or a key: the traceback names lines alone, as the settings say how."""
    done = _run(tmp_path)
    assert "ValueError: a fault" in done.stderr
    assert "Lovelace" not in done.stdout + done.stderr
    assert (done.stdout, '"event": "a command met a fault' in done.stderr) == ("", True)


def test_what_the_program_has_set_up_stays(tmp_path: Path) -> None:
    done = _run(tmp_path, "import structlog; structlog.configure(processors=[lambda *_: 'own'])")
    assert set(done.stdout.split()) == {"own"}
