"""A folder has one owner, and everybody can see who."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mainstem.errors import StoreBusy, StoreUnavailable
from mainstem.folder import Folder, Owner, owner_of

_OWNING = """
import sys
from pathlib import Path
from mainstem.folder import Folder
folder = Folder(Path(sys.argv[1]))
folder.acquire()
folder.announce("http://127.0.0.1:1")
print("mine", flush=True)
sys.stdin.read()
"""


def test_whoever_asks_is_no_owner(tmp_path: Path) -> None:
    """Asking takes the folder for a moment; who comes then waits for it."""
    folder = Folder(tmp_path)
    folder.acquire()
    folder.release()
    descriptor = os.open(tmp_path / "mainstem.lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    leaving = threading.Timer(0.05, os.close, (descriptor,))
    leaving.start()
    folder.acquire()
    folder.release()
    leaving.join()


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    assert owner_of(folder.path) is None
    folder.acquire()
    folder.announce("http://127.0.0.1:8080")
    assert owner_of(folder.path) == Owner(os.getpid(), "http://127.0.0.1:8080")
    with pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
        Folder(tmp_path / "data").acquire()
    folder.release()
    folder.release()
    assert owner_of(folder.path) is None
    folder.acquire()
    folder.release()


def test_a_killed_owner_owns_no_more(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _OWNING, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert owner_of(tmp_path) == Owner(process.pid, "http://127.0.0.1:1")
        with pytest.raises(StoreBusy, match=f"process {process.pid}"):
            Folder(tmp_path).acquire()
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert owner_of(tmp_path) is None
    folder = Folder(tmp_path)
    folder.acquire()
    folder.release()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        Folder(tmp_path / "file").acquire()
