"""Writes a small application that runs, with its tests: the beginning of one's own."""

import keyword
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

from mainstem.errors import ConfigurationError

_TOKEN, _SUFFIX = "__app__", ".tmpl"
_NAMES = {"gitignore": ".gitignore"}
_NAME_MAX = 40
_OURS = ("mainstem", "bank", "tests")


def write_application(name: str, parent: Path) -> Sequence[Path]:
    """Write it to a new folder of that name; the files in it. All of them are there then, or nothing is.

    Raises ConfigurationError for a name that no package can have, or one that stands for something else already, and
    where the folder is there or cannot be written.
    """
    _check(name)
    folder = parent / name
    if folder.exists():
        raise ConfigurationError(f"{folder} is there already")
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}-") as made:
            built = Path(made) / name
            written = _copied(resources.files(__name__) / "files", built, name)
            built.rename(folder)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error}") from error
    return [folder / each.relative_to(built) for each in written]


def _check(name: str) -> None:
    plain = name.isidentifier() and name.isascii() and name == name.lower() and not name.startswith("__")
    if not plain or keyword.iskeyword(name):
        raise ConfigurationError(f"{name[:_NAME_MAX]!r} is no name of a package: small letters, digits and _ are")
    if len(name) > _NAME_MAX:
        raise ConfigurationError(f"the name has {len(name)} characters; {_NAME_MAX} are possible")
    if name in sys.stdlib_module_names or name in _OURS or find_spec(name) is not None:
        raise ConfigurationError(f"{name} is the name of another package: importing it would find that one")


def _copied(source: Traversable, target: Path, name: str) -> list[Path]:
    target.mkdir()
    found = list[Path]()
    for each in sorted(source.iterdir(), key=lambda each: each.name):
        plain = each.name.removesuffix(_SUFFIX).replace(_TOKEN, name)
        if each.is_dir():
            found += _copied(each, target / plain, name)
        elif each.name.endswith(_SUFFIX):
            path = target / _NAMES.get(plain, plain)
            path.write_text(each.read_text().replace(_TOKEN, name))
            found.append(path)
    return found
