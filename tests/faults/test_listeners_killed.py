"""`kill -9` in the middle of retries, drops and moves, of real processes: each is done once, and in the key's order."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.configuration import application_settings
from mainstem.assembly.views import open_views
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from mainstem.log.port import Log
from mainstem.log.sqlite import SqliteLog
from mainstem.settings import read_settings
from mainstem.view.port import ViewStore
from mainstem.view.sqlite import SqliteViews
from tests.distributed import Deployed, begin_listening
from tests.faulty_bank import ACTIVITY, GROUP, HEARD
from tests.process import bank_process

_APP = {"app": "tests.faulty_bank"}
_CARDS, _EVENTS = 4, 25
_ENDED_S = 120.0


@pytest.fixture
def mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "mended"
    monkeypatch.setenv("FAULTY_BANK_MENDED", str(file))
    monkeypatch.setenv("FAULTY_BANK_SLOW_S", "0.02")
    return file


def eventually(what: Callable[[], bool], seed: int) -> None:
    """Also while the process that is asked has just been killed."""
    deadline = time.monotonic() + _ENDED_S
    while True:
        try:
            if what():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"seed {seed}"
        time.sleep(0.1)


def _make_letters(client: httpx.Client) -> list[str]:
    """Cards, each with so many events that wait: handling one takes a moment, so that a kill meets a retry."""
    run = uuid.uuid4().hex[:8]
    cards = [f"c-z-slow-{run}-{number}" for number in range(_CARDS)]
    for card in cards:
        client.post("/cards", json={"id": card, "limit": 1_000}).raise_for_status()
        for _ in range(_EVENTS - 1):
            client.post("/moneywithdrawals", json={"debitCard": card, "amount": 1}).raise_for_status()
    return cards


def _letters(client: httpx.Client, card: str) -> list[dict[str, Any]]:
    found = client.get("/dead-letters", params={"listener": GROUP, "key": f"debit_card-{card}", "limit": 1_000})
    return list(found.raise_for_status().json())


def _ask(client: httpx.Client, cards: list[str]) -> None:
    """All but the last are tried again, and the last is dropped."""
    for card in cards[:-1]:
        content = {"key": f"debit_card-{card}", "reason": "a test"}
        client.post(f"/dead-letters/{GROUP}/retry", json=content).raise_for_status()
    content = {"key": f"debit_card-{cards[-1]}", "reason": "a test"}
    client.post(f"/dead-letters/{GROUP}/drop", json=content).raise_for_status()


def _check(log: Log, versions: Callable[[str], str], cards: list[str], client: httpx.Client, seed: int) -> None:
    """Rows, what was sent, and what is on record."""
    expected = [*range(1, _EVENTS + 1)]
    for card in cards[:-1]:
        assert versions(card).split() == [str(n) for n in expected], f"seed {seed}"
        assert _sent(log, card) == expected, f"seed {seed}"
    assert _sent(log, cards[-1]) == [], f"seed {seed}"
    recorded = client.get("/actions", params={"listener": GROUP, "limit": 1_000}).raise_for_status().json()
    for card in cards:
        (one,) = (each for each in recorded if each["key"] == f"debit_card-{card}")
        assert (one["state"], one["count"]) == ("done", _EVENTS), f"seed {seed}: {one}"


def _sent(log: Log, card: str) -> list[int]:
    partition = log.partition_of(HEARD.name, card)
    held = log.ranges(HEARD.name)[partition]
    records = log.read(HEARD.name, partition, held.begin, 1_000_000)
    return [int(each.value or b"") for each in records if each.key == card]


def _versions(views: ViewStore, card: str) -> str:
    rows = views.find(ACTIVITY, {"card": card})
    return rows[0].versions if rows else ""


@pytest.mark.slow
def test_killed_while_letters_are_seen_to(tmp_path: Path, mended: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    moments = random.Random(seed)
    with bank_process(tmp_path / "data", **_APP) as bank:
        with bank.client() as client:
            cards = _make_letters(client)
            eventually(lambda: all(len(_letters(client, card)) == _EVENTS for card in cards), seed)
            mended.touch()
            asking = threading.Thread(target=_asked_once, args=(client, cards))
            asking.start()
            for _ in range(4):
                threading.Event().wait(moments.uniform(0.2, 0.8))
                bank.kill()
                bank.start()
            asking.join()
        with bank.client() as client:
            _ask_the_rest(client, cards)
            eventually(lambda: not any(_letters(client, card) for card in cards), seed)
            log, views = SqliteLog(bank.folder / "log.db"), SqliteViews(bank.folder / "views.db")
            try:
                _check(log, lambda card: _versions(views, card), cards, client, seed)
            finally:
                log.close()
                views.close()


def _asked_once(client: httpx.Client, cards: list[str]) -> None:
    try:
        _ask(client, cards)
    except httpx.TransportError:
        return  # killed while it was asked: what was taken is on record


def _ask_the_rest(client: httpx.Client, cards: list[str]) -> None:
    """What nobody was asked for before the process died."""
    recorded = client.get("/actions", params={"listener": GROUP, "limit": 1_000}).raise_for_status().json()
    known = {each["key"] for each in recorded}
    for card in cards:
        if f"debit_card-{card}" not in known:
            what = "drop" if card == cards[-1] else "retry"
            content = {"key": f"debit_card-{card}", "reason": "a test"}
            client.post(f"/dead-letters/{GROUP}/{what}", json=content).raise_for_status()


@pytest.mark.slow
@pytest.mark.stack
def test_members_killed_while_letters_are_seen_to_on_the_stack(deployed: Deployed, mended: Path) -> None:
    """Two members share the partitions; each dies in turn, and the other, or its next start, goes on."""
    seed = random.SystemRandom().randrange(1_000_000)
    moments = random.Random(seed)
    api, members = deployed.api(**_APP), [deployed.listeners(**_APP) for _ in range(2)]
    try:
        for member in members:
            begin_listening(member)
        api.start()
        with api.client() as client:
            cards = _make_letters(client)
            eventually(lambda: all(len(_letters(client, card)) == _EVENTS for card in cards), seed)
            mended.touch()
            _ask(client, cards)
            for number in range(2):
                threading.Event().wait(moments.uniform(0.3, 1.5))
                members[number].kill()
                begin_listening(members[number])
            eventually(lambda: not any(_letters(client, card) for card in cards), seed)
            log = KafkaLog(KafkaServers(f"{deployed.place.host}:{deployed.place.ports.kafka}"))
            try:
                _check(log, lambda card: _versions_over_mysql(deployed, card), cards, client, seed)
            finally:
                log.close()
    finally:
        for process in (api.process, *members):
            if process.running():
                process.stop()


def _versions_over_mysql(deployed: Deployed, card: str) -> str:
    views = open_views(read_settings(application_settings(deployed.place)))
    try:
        return _versions(views, card)
    finally:
        views.close()


@pytest.mark.slow
def test_killed_while_it_is_moved(tmp_path: Path, mended: Path) -> None:
    """Back to the begin, by a listener whose rows say what they hold: nothing is counted twice."""
    seed = random.SystemRandom().randrange(1_000_000)
    moments = random.Random(seed)
    path = "/bindings/card-balance"
    asked = {"to": "begin", "dryRun": False, "reason": "a test"}
    with bank_process(tmp_path / "data", **_APP) as bank:
        with bank.client() as client:
            client.post("/cards", json={"id": "anna", "limit": 1_000}).raise_for_status()
            for _ in range(40):
                client.post("/moneywithdrawals", json={"debitCard": "anna", "amount": 1}).raise_for_status()
        for _ in range(3):
            with bank.client() as client:
                client.post(f"{path}/pause", json={"reason": "a test"}).raise_for_status()
                mover = threading.Thread(target=_quietly, args=(client, f"{path}/move", asked))
                mover.start()
                threading.Event().wait(moments.uniform(0.0, 0.05))
                bank.kill()
                mover.join()
            bank.start()
            with bank.client() as client:
                (own,) = (each for each in client.get("/bindings").json() if each["listener"] == "card-balance")
                assert own["paused"], f"seed {seed}"
                client.post(f"{path}/move", json=asked).raise_for_status()
                client.post(f"{path}/resume", json={"reason": "a test"}).raise_for_status()
        with bank.client() as client:
            eventually(lambda: client.get("/cards/anna").json().get("used") == 40, seed)
            eventually(lambda: all(each["lag"] == 0 for each in client.get("/bindings").json()), seed)
            assert client.get("/cards/anna").json()["used"] == 40, f"seed {seed}"
        assert bank.reconcile().clean, f"seed {seed}"


def _quietly(client: httpx.Client, path: str, content: dict[str, Any]) -> None:
    try:
        client.post(path, json=content)
    except httpx.TransportError:
        return
