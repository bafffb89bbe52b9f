"""Only what was started is stopped: a process is known by its pid and its start time together."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.processes import Processes

_SLEEPS = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
_IGNORES = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
_STUBBORN = [sys.executable, "-c", _IGNORES]


def test_a_process_is_started_once_and_stopped(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("sleeper", _SLEEPS, tmp_path)
    pid = processes.pid("sleeper")
    assert pid is not None
    Processes(tmp_path).start("sleeper", _SLEEPS, tmp_path)
    assert processes.pid("sleeper") == pid
    assert processes.names() == ["sleeper"]
    assert processes.stop("sleeper")
    assert processes.pid("sleeper") is None
    assert not Path(f"/proc/{pid}").exists()
    assert not processes.stop("sleeper")


def test_a_pid_that_is_another_process_by_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(_SLEEPS, stdout=subprocess.DEVNULL) as other:
        (tmp_path / "old.json").write_text(json.dumps({"pid": other.pid, "started": "1"}))
        processes = Processes(tmp_path)
        assert processes.pid("old") is None
        assert not processes.stop("old")
        assert other.poll() is None
        other.kill()


def test_one_that_does_not_end_is_made_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.processes._STOP_S", 0.3)
    processes = Processes(tmp_path)
    processes.start("stubborn", _STUBBORN, tmp_path)
    pid = processes.pid("stubborn")
    while not processes.last_words("stubborn"):
        continue
    assert processes.stop("stubborn")
    assert processes.pid("stubborn") is None
    assert not Path(f"/proc/{pid}").exists()


def test_one_that_has_ended_tells_its_last_words(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    words = [sys.executable, "-c", "import sys; sys.exit('no such option')"]
    processes.start("brief", words, tmp_path)
    while processes.pid("brief") is not None:
        continue
    assert processes.last_words("brief") == "no such option"
    assert processes.last_words("nobody") == ""


@pytest.mark.parametrize("text", ["", "{}x", '{"pid": 1'])
def test_a_record_cut_off_is_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "half.json").write_text(text)
    assert Processes(tmp_path).pid("half") is None
