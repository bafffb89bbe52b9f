"""The bank over an archived stream: every answer is the one of before, and nothing of it reaches a listener.

Once for both forms; distributed, rows are removed under Debezium's eyes.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from bank.main import application
from mainstem.application import EVENT_TOPIC
from mainstem.assembly.stores import open_integrity, open_log
from mainstem.eventstore.verifying import verify
from mainstem.log.scan import scan
from mainstem.settings import Settings, read_settings
from tests.distributed import DistributedBank, distributed_bank
from tests.flow.test_story import amounts, decoded, eventually, withdraw
from tests.process import BankProcess, bank_process

OFTEN = {"snapshot_every": "5", "seal_every_ms": "100"}
_WITHDRAWALS = 12

Running = tuple[BankProcess | DistributedBank, dict[str, str]]


@pytest.fixture(params=["embedded", pytest.param("distributed", marks=pytest.mark.stack)])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """The bank in either form, and the settings that name it."""
    own = {**OFTEN, "archive_dir": str(tmp_path / "archive")}
    if request.param == "embedded":
        with bank_process(tmp_path / "data", **own) as process:
            yield process, {**own, "data_dir": str(tmp_path / "data")}
    else:
        deployed = request.getfixturevalue("deployed")
        with distributed_bank(deployed, **OFTEN) as processes:
            yield processes, {**deployed.settings, **OFTEN}


def variables(settings: dict[str, str]) -> dict[str, str]:
    return {f"MAINSTEM_{name.upper()}": value for name, value in settings.items()}


def call(settings: dict[str, str], *words: str) -> Any:
    """What `mainstem archive` says."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTEM_")}
    done = subprocess.run(
        [sys.executable, "-m", "mainstem", "archive", "--json", *words],
        env={**environment, **variables(settings)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told(settings: Settings, card: str) -> dict[str, int]:
    """How many messages of that card each captured topic has."""
    found: dict[str, int] = {}
    with closing(open_log(settings)) as log:
        for topic in {each.topic for each in application.all_captured()}:
            keys = (record.key or "" for page in scan(log, topic) for record in page)
            found[topic] = sum(card in key for key in keys)
    return found


def shown(client: httpx.Client, card: str) -> list[Any]:
    """All that the bank says of a card's past."""
    past = [decoded(client.get(f"/cards/{card}", params={"asOf": version})) for version in range(1, _WITHDRAWALS + 2)]
    happened = decoded(client.get(f"/cards/{card}/history"))
    times = [decoded(client.get(f"/cards/{card}", params={"asOf": each["occurredAt"]})) for each in happened]
    changes = decoded(client.get(f"/cards/{card}/difference", params={"from": 2, "to": 9}))
    return [past, happened, times, changes, amounts(client, card)]


def until(question: Callable[[], bool]) -> None:
    eventually(question, True, within_s=30)


def test_the_bank_over_an_archived_stream(running: Running) -> None:
    """Its past, commands on it by processes that have forgotten it, its accounts, its topics."""
    bank, settings = running
    known = read_settings(variables(settings))
    card = f"old-{uuid.uuid4().hex[:12]}"
    stream = f"debit_card-{card}"
    with bank.client() as client:
        client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()
        tokens = [withdraw(client, card, 1).headers["Mainstem-Position"] for _ in range(_WITHDRAWALS)]
        amounts(client, card, **{"Mainstem-Position": tokens[-1]})
        until(lambda: call(settings, "--stream", stream, "--dry-run")["events"] == 9)
        before = shown(client, card)
        on_topics = told(known, card)
        assert on_topics[EVENT_TOPIC] == _WITHDRAWALS + 1

        def more() -> dict[str, int]:
            return {topic: count - on_topics[topic] for topic, count in told(known, card).items()}

        assert call(settings, "--stream", stream)["events"] == 9
        assert shown(client, card) == before
        withdraw(client, card, 1).raise_for_status()
        # the event and the state row of the last withdrawal, and nothing of those that were moved
        eventually(more, {"event": 1, "debit_card": 1, "refused_command": 0}, within_s=30)
        assert bank.reconcile().clean
    found = verify(lambda: open_integrity(known))
    assert [each for each in found.findings if card in each.stream or each.kind == "archive"] == []
    assert bank.stop() == 0
    bank.start()
    with bank.client() as client:
        withdraw(client, card, 1).raise_for_status()
        assert decoded(client.get(f"/cards/{card}", params={"asOf": "3"})) == before[0][2]
        assert withdraw(client, card, 100).status_code == 409
