"""A made-up bank at work: the same by its seed, of the size that was asked for, with a rhythm and with fraud."""

import json
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from random import Random
from threading import Thread
from typing import ClassVar

import pytest
import structlog
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from typer.testing import CliRunner

from bank.card import OpenCard, Repay, Withdraw
from bank.main import application
from bank.suspicious import AMOUNT_WINDOW, VELOCITY_WINDOW
from bank.workload import Plan, acts
from bank.workload.acts import _much, _often
from bank.workload.loading import load
from bank.workload.people import people
from bank.workload.plan import HOUR_MS
from bank.workload.sending import send
from mainstem.assembly import embedded
from mainstem.cli.commands import app
from mainstem.errors import ConfigurationError, StoreBusy, StoreUnavailable
from mainstem.settings import Settings
from tests.process import bank_process, free_port

END_MS = 1_767_225_600_000
"""The first of January 2026, a Thursday, at midnight."""

plans = st.builds(
    Plan,
    seed=st.integers(0, 1_000),
    customers=st.integers(1, 30),
    merchants=st.integers(1, 10),
    withdrawals=st.integers(0, 500),
    days=st.integers(1, 40),
    end_ms=st.just(END_MS),
    fraud=st.integers(0, 5_000),
)


def untold(_: int) -> None:
    """Nobody looks at the progress."""


@given(plans)
@profile(deadline=None, max_examples=50)
def test_it_is_of_its_size_and_in_order(plan: Plan) -> None:
    made = list(acts(plan))
    assert made == list(acts(plan))
    assert sum(isinstance(act.command, Withdraw) for act in made) == plan.withdrawals
    assert all(before.at_ms <= after.at_ms for before, after in pairwise(made))
    assert all(plan.begin_ms <= act.at_ms < plan.end_ms for act in made)
    opened = {act.command.card for act in made if isinstance(act.command, OpenCard)}
    assert {act.command.card for act in made} == opened


@given(st.integers(0, 10_000))
@profile(deadline=None, max_examples=300)
def test_a_thief_is_done_within_the_hour(seed: int) -> None:
    """What is beyond it would come before what the next hour begins with, or be later than now."""
    chance = Random(seed)
    who = people(Plan(customers=1, merchants=1, end_ms=END_MS), chance)
    for bout in (_often, _much):
        assert all(0 <= at_ms < HOUR_MS for _, (at_ms, _, _) in bout(who, _Latest(seed), 0))


class _Latest(Random):
    """Everything begins as late as it can, and takes as long as it can."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return (start if stop is None else stop) - 1

    def randint(self, a: int, b: int) -> int:
        return b


def test_another_seed_makes_another() -> None:
    one, two = (list(acts(Plan(seed=seed, withdrawals=100, end_ms=END_MS))) for seed in (1, 2))
    assert not {act.command.card for act in one} & {act.command.card for act in two}


def test_days_and_weeks_have_a_rhythm() -> None:
    plan = Plan(withdrawals=20_000, days=28, end_ms=END_MS)
    hours = [act.at_ms // HOUR_MS for act in acts(plan) if isinstance(act.command, Withdraw)]
    of_day, of_week = Counter(hour % 24 for hour in hours), Counter((hour // 24 + 3) % 7 for hour in hours)
    assert of_day[18] > 20 * of_day[3] > 0
    assert of_week[5] == max(of_week.values())
    by_hour = Counter(hours)
    assert max(by_hour.values()) > 1.5 * sorted(by_hour.values())[-20], "there is no burst"


@pytest.mark.parametrize(
    "wrong", [{"customers": 0}, {"days": 0}, {"withdrawals": -1}, {"days": 30_000}, {"customers": 1_000_001}]
)
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        Plan(**{"end_ms": END_MS, **wrong})


def test_history_is_brought_in_and_all_views_follow(tmp_path: Path) -> None:
    """At its own times; the fraud in it is found; the accounts agree."""
    settings, plan = Settings(data_dir=tmp_path), Plan(customers=40, withdrawals=3_000, end_ms=END_MS, fraud=300)
    heard: list[int] = []
    told = load(application, settings, plan, heard.append)
    assert sum(heard) == 3_000 == told.accepted["withdrawals"] + told.refused.total()
    assert set(told.refused) == {"insufficient-balance"}
    assert told.accepted["repayments"] == sum(isinstance(act.command, Repay) for act in acts(plan))
    with embedded(application, settings) as running:
        running.settle()
        found = running.reconcile()
        assert found.clean, found.differences[:3]
        for table in (VELOCITY_WINDOW, AMOUNT_WINDOW):
            windows = running.views.find(table, {"suspicious": True}, limit=1_000)
            assert windows
            assert all(plan.begin_ms - HOUR_MS <= row.begin_ms < plan.end_ms for row in windows)
        assert running.olap.ask("SELECT count(*) FROM bankapp").rows == [(told.accepted["withdrawals"],)]
        with pytest.raises(StoreBusy):
            load(application, settings, plan, untold)


def test_history_waits_where_few_commands_may(tmp_path: Path) -> None:
    settings, plan = Settings(data_dir=tmp_path, command_queue_max=5), Plan(customers=3, withdrawals=100, end_ms=END_MS)
    told = load(application, settings, plan, untold)
    assert told.accepted["withdrawals"] + told.refused.total() == 100


def test_the_same_seed_a_second_time_is_refused(tmp_path: Path) -> None:
    settings, plan = Settings(data_dir=tmp_path), Plan(customers=3, withdrawals=10, end_ms=END_MS)
    load(application, settings, plan, untold)
    with pytest.raises(ConfigurationError, match="cards of the seed 1 are there already"):
        load(application, settings, plan, untold)


def test_it_goes_over_the_public_interface(tmp_path: Path) -> None:
    plan = Plan(customers=20, withdrawals=300, end_ms=END_MS, fraud=1_000)
    with bank_process(tmp_path) as bank:
        told = send(bank.url, plan, rate=3_000, connections=4, token=None, tell=untold)
        assert not told.failed
        assert told.accepted["withdrawals"] + told.refused["insufficient-balance"] == 300
        assert told.accepted["cards"] == sum(isinstance(act.command, OpenCard) for act in acts(plan))
        found = bank.reconcile()
        assert found.clean, found.differences[:3]


def test_a_bank_that_dies_is_asked_again(tmp_path: Path) -> None:
    """What was not answered is asked for by its key: nothing is carried out twice."""
    plan = Plan(customers=20, withdrawals=400, end_ms=END_MS)
    with bank_process(tmp_path, http_port=str(free_port())) as bank:
        done: list[int] = []

        def tell(more: int) -> None:
            done.append(more)
            if len(done) in (80, 160, 240):  # each time some of the others are most likely under way
                bank.kill()
                bank.start()

        told = send(bank.url, plan, rate=None, connections=4, token=None, tell=tell)
        assert told.again
        assert not told.failed
        assert told.accepted["withdrawals"] + told.refused.total() == 400
        with bank.client() as client:
            lines = client.get("/reconciliation").raise_for_status().json()
        assert lines["differences"] == []


class _Busy(BaseHTTPRequestHandler):
    """A bank behind a proxy: each command is taken at the 13th time, and has to come later until then."""

    protocol_version = "HTTP/1.1"
    ways = ((429, "0"), (503, "Wed, 21 Oct 2026 07:28:00 GMT"), (504, None), (502, None), (429, "nan"))
    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self._answer(200, None)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        self.asked[key] += 1
        number = self.asked[key]
        status, wait = (201, None) if number == 13 else self.ways[number - 1] if number <= 5 else (429, "0")
        self._answer(status, wait)

    def _answer(self, status: int, wait: str | None) -> None:
        self.send_response(status)
        if wait is not None:
            self.send_header("Retry-After", wait)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing."""


def test_a_bank_that_says_later_is_asked_later() -> None:
    """However often, since many share what it takes in a minute; and in whatever words."""
    plan = Plan(customers=1, withdrawals=2, end_ms=END_MS)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Busy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        told = send(f"http://127.0.0.1:{server.server_port}", plan, rate=None, connections=3, token=None, tell=untold)
        server.shutdown()
    assert not told.failed
    assert told.accepted["withdrawals"] == 2
    assert set(_Busy.asked.values()) == {13}


def test_the_command_makes_the_same_of_the_same_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it is given."""
    asked = ["simulate-bank", "--history", "--withdrawals", "40", "--customers", "5", "--until", "2026-01-01T00:00:00Z"]
    found = []
    for name in ("one", "two"):
        monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path / name))
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == 0, done.output
        structlog.reset_defaults()  # the command's lines went to the runner
        with embedded(application, Settings(data_dir=tmp_path / name)) as running:
            found.append([(e.stream, e.occurred_at_ms, e.payload) for page in running.events.read_all() for e in page])
    assert found[0] == found[1]
    assert max(at_ms for _, at_ms, _ in found[0]) < END_MS
    for wrong in ("2026-01-01", "9999-01-01T00:00:00Z"):
        with pytest.raises(ConfigurationError):
            CliRunner().invoke(app, ["simulate-bank", "--until", wrong], catch_exceptions=False)


def test_nobody_answers() -> None:
    plan = Plan(withdrawals=1, end_ms=END_MS)
    with pytest.raises(StoreUnavailable, match="no bank answers at"):
        send(f"http://127.0.0.1:{free_port()}", plan, rate=None, connections=1, token=None, tell=untold)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_DATA_DIR", str(tmp_path))
    asked = ["simulate-bank", "--history", "--withdrawals", "50", "--customers", "5", "--seed", "7"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "50 withdrawals accepted" in done.output
    monkeypatch.setenv("MAINSTEM_LAYERS", "true")
    more = CliRunner().invoke(app, [*asked[:-1], "8", "--json"])
    assert more.exit_code == 0, (more.output, more.exception)
    told = json.loads(more.stdout)
    assert told["accepted"]["withdrawals"] + sum(told["refused"].values()) >= 50
    assert (told["failed"], told["tookS"] > 0) == ({}, True)
    for wrong in (["--connections", "0"], ["--rate", "0"], ["--days", "0"], ["--token-file", "missing"]):
        assert isinstance(CliRunner().invoke(app, ["simulate-bank", *wrong]).exception, ConfigurationError), wrong
