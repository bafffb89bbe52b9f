"""Listeners controlled over HTTP and by command, and how fresh an answer is, of real processes in both forms."""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.distributed import distributed_bank
from tests.flow.test_dead_letters import mainstem
from tests.flow.test_story import Bank, eventually, withdraw
from tests.process import bank_process

_WITHIN_S = 30.0
_LISTENER = "card-balance"
_SOON_S = 10.0


@pytest.fixture(scope="module", params=["embedded", pytest.param("distributed", marks=pytest.mark.stack)])
def bank(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """The bank in either form, running; FAULTY_BANK_MENDED makes the faulty one the bank as it is."""
    folder = tmp_path_factory.mktemp("control")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FAULTY_BANK_MENDED", str(folder))
        if request.param == "embedded":
            with bank_process(folder / "data") as process:
                yield process
        else:
            with distributed_bank(request.getfixturevalue("deployed")) as processes:
                yield processes


@pytest.fixture
def client(bank: Bank) -> Iterator[httpx.Client]:
    with bank.client() as client:
        yield client


def own(client: httpx.Client) -> dict[str, Any]:
    found = client.get("/bindings").raise_for_status().json()
    return next(dict(each) for each in found if each["listener"] == _LISTENER)


def ask(client: httpx.Client, what: str, **more: Any) -> httpx.Response:
    return client.post(f"/bindings/{_LISTENER}/{what}", json={"reason": "a test", **more})


def test_paused_moved_and_resumed(bank: Bank, client: httpx.Client) -> None:
    card = f"card-{uuid.uuid4().hex[:12]}"
    opened = client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()
    fresh = {"Mainstem-Position": opened.headers["Mainstem-Position"], "Prefer": "wait=20"}
    found = client.get(f"/cards/{card}", headers=fresh).raise_for_status()
    assert found.headers["Preference-Applied"] in ("wait=15", "wait=20")
    eventually(lambda: own(client)["state"], "running", _WITHIN_S)
    refused = ask(client, "move", to="end", dryRun=False)
    if refused.status_code != 200:  # where it stands at the end there is nothing to refuse
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:mainstem:problem:move-refused")
    told = ask(client, "pause").raise_for_status().json()
    assert told["told"] == "holds in 1 processes"
    assert (own(client)["state"], own(client)["paused"]) == ("paused", True)
    position = withdraw(client, card, 1).raise_for_status().headers["Mainstem-Position"]
    eventually(lambda: own(client)["lag"] >= 1, True, _WITHIN_S)
    began = time.monotonic()
    late = client.get(f"/cards/{card}", headers={"Mainstem-Position": position, "Prefer": "wait=0"})
    assert (late.status_code, late.json()["type"]) == (503, "urn:mainstem:problem:not-yet-there")
    assert time.monotonic() - began < _SOON_S
    time.sleep(1.1)  # the age is what is asked for
    old = client.get(f"/cards/{card}", headers={"Mainstem-Max-Age": "1", "Prefer": "wait=0"})
    assert (old.status_code, old.json()["type"]) == (503, "urn:mainstem:problem:not-yet-there")
    assert client.get(f"/cards/{card}").json()["used"] == 0
    plan = ask(client, "move", to="begin").raise_for_status().json()
    assert (plan["dryRun"], plan["refused"], sum(each["skipped"] for each in plan["partitions"])) == (True, [], 0)
    moved = ask(client, "move", to="begin", dryRun=False).raise_for_status().json()
    assert moved["partitions"] == plan["partitions"]
    ask(client, "resume").raise_for_status()
    young = client.get(f"/cards/{card}", headers={"Mainstem-Position": position}, timeout=60)
    eventually(lambda: client.get(f"/cards/{card}").json()["used"], 1, _WITHIN_S)
    assert young.status_code in (200, 503)
    now = client.get(f"/cards/{card}", headers={"Mainstem-Max-Age": "60", "Prefer": "wait=5"})
    assert (now.status_code, now.headers["Preference-Applied"]) == (200, "wait=5")
    kinds = [each["kind"] for each in client.get("/actions", params={"listener": _LISTENER, "limit": 3}).json()]
    assert kinds == ["resume", "move", "pause"]


def test_by_command(bank: Bank, client: httpx.Client) -> None:
    listed = json.loads(mainstem(bank, "bindings", "list", "--json").stdout)
    assert _LISTENER in [each["listener"] for each in listed]
    paused = mainstem(bank, "bindings", "pause", _LISTENER, "--reason", "a test")
    assert paused.stdout.strip() == f"pause of {_LISTENER}: holds in 1 processes"
    dry = mainstem(bank, "bindings", "move", _LISTENER, "--to", "begin", "--reason", "a test", "--dry-run", "--json")
    assert json.loads(dry.stdout)["refused"] == []
    done = mainstem(bank, "bindings", "move", _LISTENER, "--to", "begin", "--reason", "a test", "--yes")
    assert f"{_LISTENER} was moved" in done.stdout
    resumed = mainstem(bank, "bindings", "resume", _LISTENER, "--reason", "a test")
    assert resumed.returncode == 0
    assert mainstem(bank, "bindings", "restart", _LISTENER, "--reason", "a test").returncode == 0
    eventually(lambda: own(client)["lag"], 0, _WITHIN_S)
    refused = mainstem(bank, "bindings", "move", _LISTENER, "--to", "begin", "--reason", "a test", "--dry-run")
    assert (refused.returncode, "pause it first" in refused.stdout) == (1, True)
