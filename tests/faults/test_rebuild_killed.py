"""`kill -9` of a rebuild: of its process at each of its transactions, and of the whole bank while traffic goes on."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mainstem.rebuild.versions import versions_of
from mainstem.view.sqlite import SqliteViews
from tests.faults import rebuilding
from tests.faults.load import Load
from tests.faults.reading import Reader
from tests.mainstem.rebuild.totals import ALL, TOTAL, Live, Total, open_log
from tests.process import BankProcess, bank_process

_DAMAGED = Total("a", 999, 6)
_STEPS_MAX = 40


@pytest.fixture(params=["fold", "columns"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the bindings it is; both make the same rows."""
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path, kind: str) -> Path:
    """A view with a row that is damaged, all of whose records are there."""
    with closing(open_log(tmp_path)) as log, closing(SqliteViews(tmp_path / "views.db")) as views:
        live = Live(log, views, ALL[kind])
        for number in range(40):
            live.say("abcdefg"[number % 7], number)
        live.listen()
        with views.transaction() as transaction:
            transaction.put(TOTAL, [_DAMAGED])
    return tmp_path


def _run(folder: Path, number: int, when: str, back: str, kind: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", rebuilding.__name__, str(folder), str(number), when, back, kind]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


def _numbers(folder: Path, kind: str) -> dict[str, int]:
    with closing(SqliteViews(folder / "views.db")) as views:
        views.create(TOTAL)
        assert sum(views.offsets(ALL[kind].group).values()) == 40
        return {row.thing: row.number for row in views.scan(TOTAL)}


@pytest.mark.parametrize("when", ["before", "behind"])
def test_at_every_transaction(folder: Path, kind: str, when: str) -> None:
    """The live view is whole after each; the next run goes on, and so does the one behind it."""
    right = {thing: sum(range(start, 40, 7)) for start, thing in enumerate("abcdefg")}
    seen = []
    ended = None
    for number in range(1, _STEPS_MAX):
        ended = _run(folder, number, when, "build", kind)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        seen.append(_numbers(folder, kind))
        assert seen[-1] in (right, {**right, "a": 999})
    assert ended is not None
    assert ended.returncode == 0
    assert len(seen) >= 3
    assert _numbers(folder, kind) == right


@pytest.mark.parametrize("when", ["before", "behind"])
def test_a_roll_back_at_every_transaction(folder: Path, kind: str, when: str) -> None:
    assert _run(folder, 0, when, "build", kind).returncode == 0
    with closing(open_log(folder)) as log, closing(SqliteViews(folder / "views.db")) as views:
        live = Live(log, views, ALL[kind])
        live._times = {"b": 6}
        live.say("b", 1)
        live.listen()
        assert views.made_by(versions_of(ALL[kind]).old.name) is not None
    for number in range(1, _STEPS_MAX):
        ended = _run(folder, number, when, "back", kind)
        if ended.returncode != -signal.SIGKILL:
            break
    with closing(SqliteViews(folder / "views.db")) as views:
        rows = {row.thing: row.number for row in views.scan(TOTAL)}
    assert (rows["a"], rows["b"]) == (999, sum(range(1, 40, 7)) + 1)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    with bank_process(tmp_path / "data") as process:
        yield process


def _ended(bank: BankProcess, view: str) -> dict[str, object]:
    """How the view stands once its rebuild has ended."""
    found = None
    with bank.client() as client:
        for _ in range(3_000):
            found = client.get("/rebuilds").raise_for_status().json()
            stands: dict[str, object] = next(each for each in found if each["view"] == view)
            progress = stands["progress"]
            assert isinstance(progress, dict)
            if progress["state"] not in ("filling", "comparing", "swapping"):
                return stands
            threading.Event().wait(0.02)
    raise AssertionError(f"the rebuild does not end: {found}")


@pytest.mark.slow
def test_the_bank_killed_while_it_rebuilds_under_load(bank: BankProcess) -> None:
    """At random moments; each rebuild is gone on with, every account agrees, and no query failed or went backwards."""
    seed = random.SystemRandom().randrange(1_000_000)
    moments = random.Random(seed)
    load = Load([bank.url], rate_per_s=200)
    load.begin()
    load.await_more(100)
    views = ("card_balance", "money_withdrawal")
    with Reader(lambda: bank.url, load.cards[:3]) as reader:
        for number in range(6):
            with bank.client() as client:
                client.post(f"/rebuilds/{views[number % 2]}", json={}).raise_for_status()
            threading.Event().wait(moments.uniform(0, 0.3))
            reader.interrupt()
            bank.kill()
            bank.start()
            load._urls = [bank.url]
            reader.resume()
        for view in views:
            with bank.client() as client:
                client.post(f"/rebuilds/{view}", json={}).raise_for_status()
            stands = _ended(bank, view)
            assert stands["progress"]["state"] == "done", f"seed {seed}: {stands}"  # type: ignore[index]
            assert stands["progress"]["comparison"]["differing"] == 0, f"seed {seed}: {stands}"  # type: ignore[index]
        load.await_more(50)
    load.end()
    assert (reader.wrong, load.surprises) == ([], []), f"seed {seed}"
    assert reader.asked > 5
    assert bank.reconcile().clean, f"seed {seed}"
