"""`kill -9` at each step of rotating the master key: all keys stay readable, and the next run goes on from there."""

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mainstem.privacy.master import make_master_key, next_of
from mainstem.privacy.port import Tombstone
from tests.faults.rotating import STEPS, keys_of
from tests.stack import Databases

_NAMES = [f"customer:{number}" for number in range(700)]
_STONE = Tombstone(forgotten_at_ms=5_000, actor="dpo", why="asked for")


@pytest.mark.parametrize("step", STEPS)
def test_killed_while_the_master_key_is_rotated(tmp_path: Path, step: str) -> None:
    _kill(step, [str(tmp_path / "keys.db"), str(tmp_path / "master.key")])


@pytest.mark.stack
@pytest.mark.parametrize("step", STEPS)
def test_killed_while_that_of_mysql_is_rotated(tmp_path: Path, databases: Databases, step: str) -> None:
    own = databases(tmp_path)
    server = [own.host, str(own.port), own.user, own.password, own.database]
    _kill(step, [*server, "", str(tmp_path / "master.key")])


def _kill(step: str, words: list[str]) -> None:
    master = Path(words[-1])
    make_master_key(master)
    was = master.read_bytes()
    with closing(keys_of(words)) as running:
        made = dict(running.of_subjects(_NAMES, make=True))
        made["customer:3"] = running.forget("customer:3", _STONE)
        assert _run(step, words) == -signal.SIGKILL
        with closing(keys_of(words)) as another:
            assert another.of_subjects(_NAMES, make=True) == made
            assert running.of_subjects(_NAMES, make=False) == made
            added = another.of_subjects([f"customer:of {step}"], make=True)
            assert running.of_subjects(list(added), make=True) == added
        assert _run("never", words) == 0
        assert running.of_subjects(_NAMES, make=False) == made
    assert master.read_bytes() != was
    assert not next_of(master).exists()
    assert master.stat().st_mode & 0o077 == 0
    with closing(keys_of(words)) as again:
        assert again.of_subjects([*_NAMES, *added], make=False) == {**made, **added}


def _run(step: str, words: list[str]) -> int:
    program = [sys.executable, "-m", "tests.faults.rotating", step, *words]
    return subprocess.run(program, timeout=60, check=False).returncode
