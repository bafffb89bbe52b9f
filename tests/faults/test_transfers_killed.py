"""`kill -9` at random moments while money moves: each transfer happens or does not, and all of them end."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from bank.main import application
from deploy.configuration import application_settings
from mainstem import EVENT_TOPIC
from mainstem.assembly import Distributed, distributed
from mainstem.log.port import Place
from mainstem.process.rows import GROUP
from mainstem.settings import read_settings
from tests.distributed import Api, Deployed, begin_listening
from tests.process import BankProcess, MainstemProcess, bank_process

_KILLS = 12
_STACK_KILLS = 9
_CARDS = [f"card-{uuid.uuid4().hex[:8]}-{number}" for number in range(5)]
_USED = 500
_ACCEPTED_S = 60.0
_ENDED_S = 60.0
_TAKEN_OVER_S = 30.0
"""The stack's Kafka gives up who is silent for 10 s, and shares out anew."""

_NOW = {"asOf": "2999-01-01T00:00:00Z"}
"""By the events themselves: a view may be behind."""


class _Movers:
    """Clients that ask for transfers, some to a card that is not there; without an answer, for the same once more."""

    def __init__(self, bank: BankProcess | Api, seed: int, name: str = "t") -> None:
        self._name = name
        self._bank, self._seed = bank, seed
        self._over, self._up = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self.asked: dict[str, tuple[str, str, int]] = {}
        self.accepted: set[str] = set()
        self.surprises: list[str] = []
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(6)]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def let(self, up: bool) -> None:
        (self._up.set if up else self._up.clear)()

    def end(self) -> None:
        self._over.set()
        self._up.set()
        for thread in self._threads:
            thread.join(60)

    def await_more(self, count: int) -> None:
        """Until so many more have been accepted, however slow the machine is."""
        wanted, deadline = len(self.accepted) + count, time.monotonic() + _ACCEPTED_S
        while len(self.accepted) < wanted:
            assert time.monotonic() < deadline, f"{len(self.accepted)} of {wanted}: {self.surprises[:3]}"
            time.sleep(0.005)

    def _work(self, number: int) -> None:
        choice = random.Random(self._seed + number)
        with httpx.Client(timeout=20) as client:
            for count in range(100_000):
                source, target = choice.sample([*_CARDS, "nobody"], 2)
                name, amount = f"{self._name}-{number}-{count}", choice.randint(1, 5)
                with self._lock:
                    self.asked[name] = (source, target, amount)
                while not self._ask(client, name, source, target, amount):
                    if self._over.is_set():
                        return
                if self._over.is_set():
                    return

    def _ask(self, client: httpx.Client, name: str, source: str, target: str, amount: int) -> bool:
        self._up.wait(60)
        body = {"transferId": name, "fromCard": source, "toCard": target, "amount": amount}
        try:
            answer = client.post(f"{self._bank.url}/transfers", json=body)
        except httpx.TransportError:
            return False
        with self._lock:
            if answer.status_code == 202:
                self.accepted.add(name)
            elif answer.status_code < 500:
                self.surprises.append(answer.text)
        return answer.status_code < 500


@pytest.mark.slow
def test_killed_while_money_moves(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    moments = random.Random(seed)
    with bank_process(tmp_path / "data") as bank:
        with bank.client() as client:
            _open_cards(client)
        movers = _Movers(bank, seed)
        movers.begin()
        try:
            for _ in range(_KILLS):
                movers.let(up=True)
                movers.await_more(moments.randint(0, 20))
                threading.Event().wait(moments.uniform(0, 0.2))
                movers.let(up=False)
                bank.kill()
                bank.start()
        finally:
            movers.end()
        assert not movers.surprises, f"seed {seed}: {movers.surprises[:3]}"
        with bank.client() as client:
            _all_end(client, movers, seed)
            _check_money(client, movers, seed)
        found = bank.reconcile()
        assert found.clean, f"seed {seed}: {found.differences[:5]}"


def _open_cards(client: httpx.Client, cards: Sequence[str] = _CARDS) -> None:
    for card in cards:
        client.post("/cards", json={"id": card, "limit": 1_000}).raise_for_status()
        client.post("/moneywithdrawals", json={"debitCard": card, "amount": _USED}).raise_for_status()


@pytest.mark.slow
@pytest.mark.stack
def test_killed_while_money_moves_on_the_stack(deployed: Deployed) -> None:
    """Two processes drive the same transfers, and die in turn; so does the one that answers HTTP."""
    seed = random.SystemRandom().randrange(1_000_000)
    moments = random.Random(seed)
    api, listeners = deployed.api(), [deployed.listeners() for _ in range(2)]
    processes = [api.process, *listeners]
    for listener in listeners:
        begin_listening(listener)
    api.start()
    try:
        with api.client() as client:
            _open_cards(client)
        movers = _Movers(api, seed, f"t-{uuid.uuid4().hex[:8]}")
        movers.begin()
        movers.let(up=True)
        try:
            for number in range(_STACK_KILLS):
                movers.await_more(1)
                threading.Event().wait(moments.uniform(0.5, 2))
                victim = processes[number % 3]
                victim.kill()
                if victim is api.process:
                    api.start()
                else:
                    begin_listening(victim)
        finally:
            movers.end()
        assert not movers.surprises, f"seed {seed}: {movers.surprises[:3]}"
        with api.client() as client:
            _all_end(client, movers, seed, within_s=180)
            _check_money(client, movers, seed)
        found = deployed.reconcile()
        assert found.clean, f"seed {seed}: {found.differences[:5]}"
    finally:
        _end_processes(*processes)


def _all_end(client: httpx.Client, movers: _Movers, seed: int, within_s: float = _ENDED_S) -> None:
    deadline = time.monotonic() + within_s
    while _going_on(client, movers):
        assert time.monotonic() < deadline, f"seed {seed}: transfers go on for ever"
        time.sleep(0.1)
    assert client.get("/processes", params={"status": "stuck"}).json() == []


def _going_on(client: httpx.Client, movers: _Movers) -> bool:
    """By their own streams, the newest first: a view may be behind."""
    names = sorted(movers.accepted, reverse=True)
    return not all(client.get(f"/transfers/{name}").raise_for_status().json()["ended"] for name in names)


def _check_money(client: httpx.Client, movers: _Movers, seed: int) -> None:
    """Each card has what its completed transfers make of it; what is used of all together never changes."""
    expected = dict.fromkeys(_CARDS, Decimal(_USED))
    for name, (source, target, amount) in movers.asked.items():
        answer = client.get(f"/transfers/{name}")
        if answer.status_code == 404:
            assert name not in movers.accepted, f"seed {seed}: {name} is lost"
            continue
        found = answer.raise_for_status().json()
        assert found["ended"], f"seed {seed}: {found}"
        if found["status"] == "completed":
            expected[source] += amount
            expected[target] -= amount
    used = {card: Decimal(str(client.get(f"/cards/{card}", params=_NOW).json()["used"])) for card in _CARDS}
    assert used == expected, f"seed {seed}"
    assert sum(used.values()) == _USED * len(_CARDS)


@pytest.mark.slow
@pytest.mark.stack
def test_two_processes_share_the_transfers_out(deployed: Deployed) -> None:
    """No step is taken in vain by the other; of one that is killed, the other takes over when Kafka gives it up."""
    settings = read_settings({**application_settings(deployed.place), "MAINSTEM_ROLES": "listeners"})
    api, victim = deployed.api(), deployed.listeners()
    with ExitStack() as stack:
        stack.callback(_end_processes, api.process, victim)
        api.start()
        client = stack.enter_context(api.client())
        source, target = (f"card-{uuid.uuid4().hex[:8]}" for _ in range(2))
        _open_cards(client, [source, target])
        one = stack.enter_context(distributed(application, settings))
        every = one.log.ranges(EVENT_TOPIC).keys()
        _await(lambda: len(_places(one)) == len(every), "nobody drives")
        with distributed(application, settings) as two:
            _await(lambda: _places(one) and _places(two) and len(_places(one) + _places(two)) == len(every), "no share")
            names = _move(client, source, target, 40)
            _await(lambda: _ended(client, names), "the transfers go on")
            steps = [running.driver.status().steps for running in (one, two)]
            assert sum(steps) == 3 * len(names), steps
            assert all(steps), steps
        begin_listening(victim)
        _await(lambda: 0 < len(_places(one)) < len(every), "no share for the other process")
        victim.kill()
        names = _move(client, source, target, 20)
        _await(lambda: _ended(client, names), "what was the killed one's is left undone")


def _end_processes(*processes: MainstemProcess) -> None:
    for process in processes:
        if process.running():
            process.stop()


def _places(running: Distributed) -> list[Place]:
    return [*running.listeners[GROUP].places()]


def _await(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + _TAKEN_OVER_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _move(client: httpx.Client, source: str, target: str, count: int) -> list[str]:
    names = [f"t-{uuid.uuid4().hex}" for _ in range(count)]
    for name in names:
        body = {"transferId": name, "fromCard": source, "toCard": target, "amount": 1}
        client.post("/transfers", json=body).raise_for_status()
    return names


def _ended(client: httpx.Client, names: Sequence[str]) -> bool:
    return all(client.get(f"/transfers/{name}").raise_for_status().json()["ended"] for name in names)
