"""Every block of code in the documentation runs, and does what the page says that it does."""

import contextlib
import io
import os
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from mainstem import log_lines
from tests.docs.console import Console, agrees, commands
from tests.docs.pages import ROOT, Block, blocks, name_of, pages

_RUNS = ("python", "console")
_KNOWN = {*_RUNS, "text", "json", "sh", "sql", "toctree"}
_MODULE = "documented_page"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, with the log on standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in os.environ if name.startswith("MAINSTEM_")]:
        monkeypatch.delenv(name)
    log_lines.configure("error", json=False)
    before = set(sys.modules)
    yield tmp_path
    structlog.reset_defaults()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) == str(tmp_path / f"{name}.py"):
            del sys.modules[name]


class _Reader:
    """Works through a page from top to bottom."""

    def __init__(self, page: Path, folder: Path, console: Console) -> None:
        self._page = page
        self._folder = folder
        self._console = console
        self._module = types.ModuleType(_MODULE)
        self._printed = ""

    def read(self) -> None:
        sys.modules[_MODULE] = self._module
        try:
            for block in blocks(self._page):
                self._follow(block)
        finally:
            del sys.modules[_MODULE]

    def _follow(self, block: Block) -> None:
        if block.language == "console":
            self._console.follow(block.text)
        elif block.language == "python" and block.name:
            (self._folder / block.name).write_text(block.text)
        elif block.language == "python":
            self._execute(block)
        elif (block.language, block.name) == ("text", "output"):
            assert agrees(block.text.rstrip(), self._printed), f"line {block.line}: printed was\n{self._printed}"

    def _execute(self, block: Block) -> None:
        code = compile("\n" * block.line + block.text, str(self._page), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, vars(self._module))  # noqa: S102 - our own pages
        self._printed = printed.getvalue()


@pytest.mark.parametrize(
    "page", [page for page in pages() if any(b.language in _RUNS for b in blocks(page))], ids=name_of
)
def test_a_page_does_what_it_says(page: Path, folder: Path) -> None:
    console = Console(folder)
    try:
        _Reader(page, folder, console).read()
    finally:
        console.close()


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_block_has_a_language_that_is_known(page: Path) -> None:
    """So that no block escapes the tests by a slip in its fence."""
    assert page.read_text().count("```") == 2 * len(blocks(page))
    assert {block.language for block in blocks(page)} <= _KNOWN


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_a_shell_block_makes_what_there_is_to_make(page: Path) -> None:
    """Blocks of language `sh` are not run: they hold `make`, with targets that there are, or start containers."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in blocks(page):
        if block.language == "sh":
            for line in block.text.splitlines():
                words = line.partition("#")[0].split()
                if words[0] == "docker":
                    assert (ROOT / words[words.index("-f") + 1]).is_file()
                else:
                    assert words[0] == "make"
                    assert set(words[1:]) <= targets


def test_a_wildcard_stands_for_what_it_should() -> None:
    assert agrees("a … c\n…\nend", "a b c\nmore\nand more\nend\n")
    assert agrees("…\nend", "end")
    assert not agrees("a … c", "a b d")
    assert not agrees("one", "one\ntwo")


def test_commands_are_taken_apart() -> None:
    found = commands("$ curl \\\n  -X POST u\nshown\nmore\n$ mainstem status\n")
    assert [(each.text, each.shown) for each in found] == [("curl   -X POST u", "shown\nmore"), ("mainstem status", "")]
