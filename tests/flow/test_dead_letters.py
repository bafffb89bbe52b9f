"""Dead letters of real processes, in both forms: listed, edited, tried again and dropped over HTTP and by command."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.distributed import distributed_bank
from tests.faulty_bank import GROUP
from tests.flow.test_story import TAKE_UP_S, Bank, eventually, withdraw
from tests.process import BankProcess, bank_process

_WITHIN_S = 30.0
_WHO = "anonymous@127.0.0.1"
_APP = {"app": "tests.faulty_bank"}


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that mends the listener."""
    file: Path = tmp_path_factory.mktemp("mended") / "mended"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FAULTY_BANK_MENDED", str(file))
        yield file


@pytest.fixture(scope="module", params=["embedded", pytest.param("distributed", marks=pytest.mark.stack)])
def bank(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mended: Path) -> Iterator[Bank]:
    """The faulty bank in either form, running."""
    if request.param == "embedded":
        with bank_process(tmp_path_factory.mktemp("letters") / "data", **_APP) as process:
            yield process
    else:
        with distributed_bank(request.getfixturevalue("deployed"), **_APP) as processes:
            yield processes


@pytest.fixture
def client(bank: Bank) -> Iterator[httpx.Client]:
    with bank.client() as client:
        yield client


@pytest.fixture
def card(client: httpx.Client, mended: Path) -> str:
    """One that the listener cannot do with, with two withdrawals behind its opening."""
    mended.unlink(missing_ok=True)
    name = f"c-z-{uuid.uuid4().hex[:12]}"
    client.post("/cards", json={"id": name, "limit": 100}).raise_for_status()
    for _ in range(2):
        withdraw(client, name, 1).raise_for_status()
    eventually(lambda: len(letters(client, name)), 3, TAKE_UP_S)
    return name


def letters(client: httpx.Client, card: str) -> list[dict[str, Any]]:
    found = client.get("/dead-letters", params={"listener": GROUP, "key": f"debit_card-{card}"})
    return list(found.raise_for_status().json())


def post(client: httpx.Client, what: str, **content: str) -> list[dict[str, Any]]:
    answer = client.post(f"/dead-letters/{GROUP}/{what}", json={"reason": "a test", **content})
    return list(answer.raise_for_status().json())


def state(client: httpx.Client, action: dict[str, Any]) -> tuple[str, int]:
    """As it stands once it has ended."""

    def now() -> dict[str, Any]:
        found = client.get("/actions", params={"listener": GROUP}).raise_for_status().json()
        return next(dict(each) for each in found if each["id"] == action["id"])

    eventually(lambda: now()["state"] != "waiting", True, _WITHIN_S)
    return now()["state"], now()["count"]


def test_seen_to_over_http(client: httpx.Client, card: str, mended: Path) -> None:
    key = f"debit_card-{card}"
    first, second, third = letters(client, card)
    assert [each["reason"] for each in (first, second, third)] == ["failed", "behind", "behind"]
    assert (first["listener"], first["key"], first["cause"]) == (GROUP, key, f"ValueError: {card} is too much")
    whole = client.get(f"/dead-letters/{GROUP}/{first['id']}").raise_for_status().json()
    assert whole["traceback"].splitlines()[-1] == f"ValueError: {card} is too much"
    assert whole["value"]["stream"] == key
    (failed,) = post(client, "retry", key=key)
    assert state(client, failed) == ("failed", 0)
    not_first = client.post(f"/dead-letters/{GROUP}/retry", json={"letter": second["id"], "reason": "a test"})
    assert (not_first.status_code, not_first.json()["type"]) == (409, "urn:mainstem:problem:letter-not-first")
    mended.touch()
    (one,) = post(client, "retry", letter=first["id"])
    assert state(client, one) == ("done", 1)
    value = client.get(f"/dead-letters/{GROUP}/{second['id']}").json()["value"]
    edit = {"value": {**value, "version": 99}, "reason": "a test"}
    path = f"/dead-letters/{GROUP}/{second['id']}"
    assert client.put(path, json={**edit, "value": 1}).status_code == 422
    (edited,) = client.put(path, json=edit).raise_for_status().json()
    assert state(client, edited) == ("done", 1)
    assert client.get(path).json()["edits"] == [{"value": edit["value"], "by": _WHO, "why": "a test"}]
    (by_letter,) = post(client, "retry", letter=second["id"])
    assert state(client, by_letter) == ("done", 1)
    (dropped,) = post(client, "drop", key=key)
    assert state(client, dropped) == ("done", 1)
    assert letters(client, card) == []
    withdraw(client, card, 1).raise_for_status()
    page = client.get("/actions", params={"listener": GROUP, "limit": 2})
    assert [each["kind"] for each in page.json()] == ["drop", "retry"]
    following = client.get(page.headers["Link"].partition(">")[0][1:]).raise_for_status().json()
    assert (following[0]["kind"], following[0]["who"], following[0]["why"]) == ("edit", _WHO, "a test")


def test_a_letter_that_is_not_there(client: httpx.Client, card: str) -> None:
    """Whatever number its partition and its offset have."""
    edit = {"value": {}, "reason": "a test"}
    for letter in ("0-999999", "9999-0"):
        path = f"/dead-letters/{GROUP}/{letter}"
        asked = {"letter": letter, "reason": "a test"}
        answers = (
            client.get(path),
            client.put(path, json=edit),
            *(client.post(f"/dead-letters/{GROUP}/{what}", json=asked) for what in ("retry", "drop")),
        )
        for answer in answers:
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:mainstem:problem:letter-unknown")
    assert len(letters(client, card)) == 3


def test_pages(client: httpx.Client, card: str) -> None:
    path, found = f"/dead-letters?listener={GROUP}&key=debit_card-{card}&limit=2", []
    while path:
        page = client.get(path).raise_for_status()
        found += [each["id"] for each in page.json()]
        path = page.headers.get("Link", "").partition(">")[0][1:]
    assert found == [each["id"] for each in letters(client, card)]


def test_seen_to_by_command(bank: Bank, client: httpx.Client, card: str, mended: Path) -> None:
    key = f"debit_card-{card}"
    own = ["--listener", GROUP, "--key", key]
    shown = mainstem(bank, "dead-letters", "list", *own, "--json")
    first, second, _ = json.loads(shown.stdout)
    behind = mainstem(bank, "dead-letters", "list", *own, "--behind", first["id"], "--limit", "1", "--json")
    assert json.loads(behind.stdout) == [second]
    whole = mainstem(bank, "dead-letters", "show", GROUP, first["id"], "--json")
    value = json.loads(whole.stdout)["value"]
    failed = mainstem(bank, "dead-letters", "retry", GROUP, "--key", key, "--reason", "a test")
    assert failed.returncode == 1
    assert "the next fails: ValueError" in failed.stdout
    unknown = mainstem(bank, "dead-letters", "retry", "nobody", "--all", "--reason", "a test")
    assert (unknown.returncode, "There is no listener 'nobody'" in unknown.stderr.replace("\n", " ")) == (2, True)
    asked = mainstem(bank, "actions", "--listener", "nobody")
    assert (asked.returncode, "There is no listener 'nobody'" in asked.stderr.replace("\n", " ")) == (2, True)
    mended.touch()
    text = json.dumps({**value, "version": 98})
    edited = mainstem(bank, "dead-letters", "edit", GROUP, first["id"], "--value", text, "--reason", "a test")
    assert (edited.returncode, "edit of letter" in edited.stdout) == (0, True)
    done = mainstem(bank, "dead-letters", "retry", GROUP, "--letter", first["id"], "--reason", "a test", "--json")
    assert [(each["state"], each["count"]) for each in json.loads(done.stdout)] == [("done", 1)]
    dropped = mainstem(bank, "dead-letters", "drop", GROUP, "--letter", second["id"], "--reason", "a test", "--yes")
    assert dropped.returncode == 0, dropped.stdout
    rest = mainstem(bank, "dead-letters", "retry", GROUP, "--all", "--reason", "a test")
    assert f"retry of key {key}: done, 1 letters" in rest.stdout
    recorded = json.loads(mainstem(bank, "actions", "--listener", GROUP, "--json").stdout)  # of other keys too
    own_ones = {(each["kind"], each["why"]) for each in recorded if each["key"] == key}
    assert own_ones == {("retry", "a test"), ("edit", "a test"), ("drop", "a test")}
    assert letters(client, card) == []


def test_of_a_stopped_application(tmp_path: Path, mended: Path) -> None:
    mended.unlink(missing_ok=True)
    with bank_process(tmp_path / "data", **_APP) as process:
        with process.client() as client:
            client.post("/cards", json={"id": "c-z-1", "limit": 100}).raise_for_status()
            eventually(lambda: len(letters(client, "c-z-1")), 1, _WITHIN_S)
        process.kill()
    assert "c-z-1 is too much" in mainstem(process, "dead-letters", "list").stdout.replace("\n", " ")
    mended.touch()
    done = mainstem(process, "dead-letters", "retry", GROUP, "--all", "--reason", "a test")
    assert "retry of key debit_card-c-z-1: done, 1 letters" in done.stdout
    assert "No dead letter waits" in mainstem(process, "dead-letters", "list").stdout


def mainstem(bank: Any, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command line, for the bank as it runs."""
    if isinstance(bank, BankProcess):
        settings = {"data_dir": str(bank.folder), **_APP}
    else:
        settings = {**bank.deployed.settings, **_APP}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTEM_")}
    environment |= {f"MAINSTEM_{name.upper()}": value for name, value in settings.items()} | {"COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "mainstem", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
