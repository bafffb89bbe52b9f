"""The bank's processes on a stack, watched together."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.application import process_environment, watch
from deploy.downloads import StackUnavailable
from deploy.stack import place


def _process(seconds: float, code: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds}); raise SystemExit({code})"])


def test_one_that_ends_is_told_and_the_others_go_on() -> None:
    """Until a role is left without any."""
    said: list[str] = []
    first, second = _process(0, 3), _process(0.5, 4)
    api = _process(60, 0)
    try:
        with pytest.raises(StackUnavailable, match="no process with the role listeners is left"):
            watch({api: "api", first: "listeners", second: "listeners"}, said.append)
        assert api.poll() is None
    finally:
        api.kill()
        api.wait()
    assert said == [f"listeners {first.pid} has ended with 3", f"listeners {second.pid} has ended with 4"]


def test_the_bank_of_a_second_stack_has_a_port_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every part of it; what the caller has set wins."""
    monkeypatch.delenv("MAINSTEM_HTTP_PORT", raising=False)
    assert process_environment(place(tmp_path), "api")["MAINSTEM_HTTP_PORT"] == "8080"
    assert process_environment(place(tmp_path, 100), "api")["MAINSTEM_HTTP_PORT"] == "8180"
    monkeypatch.setenv("MAINSTEM_HTTP_PORT", "9000")
    assert process_environment(place(tmp_path, 100), "api")["MAINSTEM_HTTP_PORT"] == "9000"
