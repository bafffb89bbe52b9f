"""`mainstem dashboard` where it cannot start, and whose pages it has."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mainstem.dashboard.serve import pages_of
from mainstem.errors import ConfigurationError


def _run(*options: str, before: str = "pass") -> tuple[int, str]:
    """The exit code, and what stands on standard error."""
    script = (
        f"import sys; {before}; from mainstem.cli import main; sys.argv = {['mainstem', 'dashboard', *options]}; main()"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTEM_")}
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, env=environment, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr


def test_without_nicegui_it_says_what_to_install() -> None:
    code, told = _run(before="sys.modules['nicegui'] = None")
    assert (code, told) == (2, "error: ConfigurationError: the dashboard needs nicegui: install mainstem[dashboard]\n")


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, told = _run("--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "choose another with --port" in told


def test_an_application_without_pages_has_none() -> None:
    assert pages_of("tests.faulty_bank:application") == ()
    assert pages_of("alone:application") == ()
    assert [page.path for page in pages_of("bank.main:application")] == ["/card", "/spending", "/history"]


def test_pages_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_shop").mkdir()
    (tmp_path / "broken_shop" / "dashboard.py").write_text("PAGE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"broken_shop\.dashboard"):
        pages_of("broken_shop.main:application")
