"""What is installed with mainstem is what it imports: `pip install` of it, and nothing more, runs an application."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_OWN = {"mainstem", "bank"}
_OPTIONAL = {
    "mainstem/dashboard/": {"nicegui", "fastapi", "uvicorn"},  # the latter two are NiceGUI's
    "bank/dashboard/": {"nicegui"},
    "mainstem/postgres.py": {"psycopg"},
    "mainstem/view/postgres.py": {"psycopg"},
    "mainstem/view/postgres_schema.py": {"psycopg"},
    "mainstem/testing/contracts/": {"pytest", "hypothesis"},
}
_WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Missing())
from pathlib import Path
import mainstem.cli.commands
from bank.main import application
from mainstem.assembly import bring_up
from mainstem.settings import Settings
with bring_up(application, Settings(data_dir=Path(sys.argv[1]))) as running:
    print(running.settle())
"""


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def _normal(name: str) -> str:
    """As packaging compares names of distributions."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared() -> set[str]:
    """The packages of what is installed with mainstem, extras aside."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    names = {_normal(re.split(r"[^\w.-]", each, maxsplit=1)[0]) for each in project["dependencies"]}
    return {package for package, of in packages_distributions().items() if names & {_normal(each) for each in of}}


def test_every_module_imports_what_is_installed_with_it() -> None:
    there = {*sys.stdlib_module_names, *_OWN, *_declared()}
    found = {}
    for path in (_ROOT / "src").rglob("*.py"):
        name = path.relative_to(_ROOT / "src").as_posix()
        optional = set().union(*(packages for where, packages in _OPTIONAL.items() if name.startswith(where)))
        if missing := {*_imported(path)} - there - optional:
            found[name] = missing
    assert found == {}


def test_an_application_runs_without_any_extra(tmp_path: Path) -> None:
    missing = set().union(*_OPTIONAL.values())
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(missing=missing), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr
