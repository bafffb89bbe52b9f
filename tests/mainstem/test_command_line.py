"""What holds of every command: an example in its help, JSON where it prints data, and completion in each shell."""

import json
import re
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from bank.main import application
from mainstem import cli
from tests.commands import commands_of

_SHELLS = ("bash", "zsh", "fish")

_WITHOUT_JSON = {
    "run": "serves",
    "dashboard": "serves",
    "deploy": "says its steps while it makes them",
    "asyncapi": "prints JSON and nothing else",
    "monitoring dashboard": "prints JSON and nothing else",
    "monitoring alerts": "prints JSON and nothing else",
}


def _group() -> TyperGroup:
    found = typer.main.get_command(cli.app)
    assert isinstance(found, TyperGroup)
    return found


_COMMANDS = dict(commands_of(_group()))


def _options(command: Any) -> set[str]:
    return {option for each in command.params for option in each.opts if option.startswith("--")}


@pytest.mark.parametrize("name", _COMMANDS)
def test_its_help_has_an_example_that_it_takes(name: str) -> None:
    """It is parsed as it would be typed, and not carried out."""
    command = _COMMANDS[name]
    example = re.search(r"For example:\s+(?:[A-Z_]+=\S+ )?mainstem (.+)$", command.help or "", re.DOTALL)
    assert example, command.help
    words = shlex.split(example[1].partition(" > ")[0])
    own = name.split()
    assert words[: len(own)] == own
    command.make_context(name, words[len(own) :])


@pytest.mark.parametrize("name", _COMMANDS)
def test_it_prints_json_where_it_prints_data(name: str) -> None:
    assert ("--json" in _options(_COMMANDS[name])) != (name in _WITHOUT_JSON)


@pytest.mark.parametrize("name", _COMMANDS)
def test_its_options_say_what_they_mean(name: str) -> None:
    assert [each.name for each in _COMMANDS[name].params if not getattr(each, "help", None)] == []


@pytest.mark.parametrize("name", sorted(_COMMANDS.keys() - {"simulate-bank"}))  # whose plan checks its own
def test_its_numbers_have_limits(name: str) -> None:
    """A number that no store has a place for is an error of the command line."""
    numbers = [each for each in _COMMANDS[name].params if each.type_descriptor.annotation in (int, float)]
    assert [each.name for each in numbers if each.min is None or each.max is None or each.max >= 2**63] == []


def test_words_that_are_no_text_are_a_clear_error() -> None:
    """As a terminal of another encoding hands them over."""
    mainstem = f"{sysconfig.get_path('scripts')}/mainstem"
    words = [mainstem.encode(), b"history", b"a\xff"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: ConfigurationError: 'a\\udcff' is no text in the encoding of this terminal\n"


def _completed(shell: str, words: Sequence[str]) -> set[str]:
    """What a shell's script is told for a line whose last word is not finished."""
    line = shlex.join(["mainstem", *words]) if words[-1] else f"{shlex.join(['mainstem', *words[:-1]])} "
    asked = {
        "_MAINSTEM_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    told = CliRunner().invoke(cli.app, [], prog_name="mainstem", env=asked).stdout
    if shell == "zsh":
        return set(re.findall(r'\(?"((?:[^"\\]|\\.)+)":"', told)) or set(re.findall(r'"([^"]+)"', told))
    return {each.partition("\t")[0] for each in told.splitlines() if each}


@pytest.mark.parametrize("shell", _SHELLS)
def test_every_command_is_completed(shell: str) -> None:
    group = _group()
    assert set(group.commands) <= _completed(shell, [""])
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            assert set(command.commands) <= _completed(shell, [name, ""])


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.parametrize("name", _COMMANDS)
def test_its_options_are_completed(shell: str, name: str) -> None:
    assert _options(_COMMANDS[name]) <= _completed(shell, [*name.split(), "--"])


@pytest.mark.parametrize("shell", _SHELLS)
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["bindings", "pause", "card-b"], {"card-balance"}),
        (["dead-letters", "list", "--listener", "card-b"], {"card-balance"}),
        (["view", "money"], {"money_withdrawal"}),
        (["rebuild", "bank"], {each.name for each in application.datasources}),
        (["rebuild", "nothing-begins-so"], set()),
    ],
)
def test_what_is_declared_is_completed(shell: str, words: list[str], found: set[str]) -> None:
    assert _completed(shell, words) == found


def test_where_there_is_no_application_nothing_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_APP", "no.such:application")
    assert _completed("bash", ["view", ""]) == set()


@pytest.mark.parametrize("shell", _SHELLS)
def test_a_script_that_a_shell_loads(shell: str, tmp_path: Path) -> None:
    """Of a shell that is here it is loaded, and of bash asked as a key would."""
    asked = {"_MAINSTEM_COMPLETE": f"source_{shell}"}
    script = CliRunner().invoke(cli.app, [], prog_name="mainstem", env=asked).stdout
    assert f"complete_{shell}" in script
    program = shutil.which(shell)
    if program is None:
        return
    file = tmp_path / "script"
    file.write_text(script)
    checked = subprocess.run([program, "-n", str(file)], capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    if shell == "bash":
        assert "list" in _asked_in_bash(program, file)


def _asked_in_bash(program: str, file: Path) -> list[str]:
    typed = "COMP_WORDS=(mainstem bindings l); COMP_CWORD=2; _mainstem_completion mainstem"
    line = f'. {shlex.quote(str(file))}; {typed}; echo "${{COMPREPLY[@]}}"'
    path = f"{sysconfig.get_path('scripts')}:/usr/bin:/bin"
    ended = subprocess.run(
        [program, "-c", line], capture_output=True, text=True, timeout=60, check=False, env={"PATH": path}
    )
    return ended.stdout.split()


def test_secrets_are_stars_in_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_MYSQL_PASSWORD", "of-nobody")
    told = CliRunner().invoke(cli.app, ["settings", "--json"]).stdout
    assert "of-nobody" not in told
    values = json.loads(told)
    assert set(values["MAINSTEM_MYSQL_PASSWORD"]) == {"*"}
    assert (values["MAINSTEM_HTTP_PORT"], values["MAINSTEM_ARCHIVE_DIR"]) == (8080, None)
