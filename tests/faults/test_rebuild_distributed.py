"""Views and the datasource rebuilt under load, by a process that is killed: no query fails or goes backwards."""

import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import httpx
import pytest

from deploy.application import environment
from tests.distributed import Deployed, begin_listening
from tests.faults.load import Load
from tests.faults.reading import AnalyticsReader, Reader
from tests.process import MainstemProcess

pytestmark = [pytest.mark.stack, pytest.mark.slow]

_REBUILD_S = 240
_SERVED_S = 60
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


def test_the_datasource_rebuilt_and_rolled_back_under_load(deployed: Deployed) -> None:
    """By a process that is killed; then of two at a time one is refused. Two processes are asked in turn."""
    seed = random.SystemRandom().randrange(1_000_000)
    moments = random.Random(seed)
    with ExitStack() as stack:
        apis, listeners = [deployed.api() for _ in range(2)], deployed.listeners()
        for each in (*(api.process for api in apis), listeners):
            stack.callback(_end, each)
        begin_listening(listeners)
        for api in apis:
            api.start()
        urls = [api.url for api in apis]
        load = Load(urls, rate_per_s=40)
        load.begin()
        stack.callback(load.end)
        load.await_more(60)
        _await_served(urls[0], load.cards[0])
        with AnalyticsReader(urls, load.cards[:2]) as reader:
            killed = _rebuild(deployed, "bankapp")
            threading.Event().wait(moments.uniform(2, 15))
            killed.send_signal(signal.SIGKILL)
            killed.communicate(timeout=_REBUILD_S)
            both = [_rebuild(deployed, "bankapp") for _ in range(2)]
            said = [process.communicate(timeout=_REBUILD_S)[0] for process in both]
            ended = sorted(zip((process.returncode for process in both), said, strict=True))
            assert [code for code, _ in ended] == [0, 1], f"seed {seed}: {said}"
            assert "no row differs" in ended[0][1], f"seed {seed}: {said}"
            assert "another process rebuilds bankapp" in ended[1][1], f"seed {seed}: {said}"
            said_back = _said(_rebuild(deployed, "bankapp", "--roll-back"))
            assert "rolled back" in said_back, f"seed {seed}: {said_back}"
            load.await_more(30)
        load.end()
        assert (reader.wrong, load.surprises) == ([], []), f"seed {seed}"
        assert reader.asked > 100
        found = deployed.reconcile()
        assert found.clean, f"seed {seed}: {found.differences[:5]}"


def _await_served(url: str, card: str) -> None:
    """Until analytics know the card: Druid shows the first row of a datasource after seconds."""
    deadline = time.monotonic() + _SERVED_S
    while True:
        answer = httpx.get(f"{url}/analytics/cards", params={"debitCardId": card}, timeout=20)
        if answer.is_success and answer.json():
            return
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
