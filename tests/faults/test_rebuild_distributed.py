"""Views of the distributed form rebuilt under load, by a process that is killed: no query fails or goes backwards."""

import random
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest

from deploy.application import environment
from tests.distributed import Deployed, begin_listening
from tests.faults.load import Load
from tests.faults.reading import Reader
from tests.process import MainstemProcess

pytestmark = [pytest.mark.stack, pytest.mark.slow]

_REBUILD_S = 240
_KILLS = 4
_VIEWS = (
    "card_balance",
    "money_withdrawal",
    "daily_spending",
    "velocity_window",
    "amount_window",
    "customer_card",
    "payment",
)


def _rebuild(deployed: Deployed, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "mainstem", "rebuild", *words],
        env={**environment(deployed.place), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _said(process: "subprocess.Popen[str]") -> str:
    said, _ = process.communicate(timeout=_REBUILD_S)
    assert process.returncode == 0, said
    return said


def _end(process: MainstemProcess) -> None:
    if process.running():
        process.stop()


def test_rebuilt_and_rolled_back_under_load(deployed: Deployed) -> None:
    """Of each kind of view, while two processes keep them; messages and accounts agree then."""
    seed = random.SystemRandom().randrange(1_000_000)
    moments = random.Random(seed)
    with ExitStack() as stack:
        api, listeners = deployed.api(), [deployed.listeners() for _ in range(2)]
        for each in (api.process, *listeners):
            stack.callback(_end, each)
        for each in listeners:
            begin_listening(each)
        api.start()
        load = Load([api.url], rate_per_s=60)
        load.begin()
        stack.callback(load.end)
        load.await_more(60)
        with Reader(lambda: api.url, load.cards[:3]) as reader:
            for number in range(_KILLS):
                process = _rebuild(deployed, ("card_balance", "money_withdrawal")[number % 2])
                threading.Event().wait(moments.uniform(0.5, 4))
                process.send_signal(signal.SIGKILL)
                process.communicate(timeout=_REBUILD_S)
            for view in _VIEWS:
                said = _said(_rebuild(deployed, view))
                assert "no row differs" in said, f"seed {seed}: {said}"
            said = _said(_rebuild(deployed, "card_balance", "--roll-back"))
            assert "rolled back" in said, f"seed {seed}: {said}"
            load.await_more(30)
        load.end()
        assert (reader.wrong, load.surprises) == ([], []), f"seed {seed}"
        assert reader.asked > 10
        found = deployed.reconcile()
        assert found.clean, f"seed {seed}: {found.differences[:5]}"
