"""The real Superset, for the tests that need it: in an environment of its own, brought up by the command for users."""

import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from deploy.superset.charts import AS_OF, Chart
from tests.process import free_port

ROOT = Path(__file__).parents[1]
_INSTALL_S = 900.0
_START_S = 600.0
_STOP_S = 30.0
_TIME = "__time"
_ABOUT = re.compile(r"p\d+_|distinct_")


@pytest.fixture(scope="session")
def superset_installed() -> None:
    """The environment, made once. Where it cannot be made, the tests are skipped.

    With MAINSTEM_REQUIRE_SUPERSET=1 that is a failure.
    """
    command = ["make", ".superset/stamp", f"PYTHON={sys.executable}"]
    with (ROOT / ".superset.lock").open("w") as lock:  # tests of the stack and others run beside each other
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    if made.returncode:
        text = f"Superset could not be installed: {made.stderr[-500:]}"
        if os.environ.get("MAINSTEM_REQUIRE_SUPERSET") == "1":
            pytest.fail(text)
        pytest.skip(text)


class SupersetProcess:
    """`python -m deploy superset`, with these options, on a free port."""

    def __init__(self, home: Path, *options: str, **settings: str) -> None:
        self.home = home
        self.output = home.with_suffix(".log")
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._command = [sys.executable, "-m", "deploy", "superset", "--home", str(home), "--port", str(port), *options]
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("MAINSTEM_")} | settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Of its form."""
        (found,) = (path for path in self.home.iterdir() if path.is_dir())
        return found

    def start(self) -> None:
        """Start it and wait until it says where it is."""
        began = self.text().count("The user is admin")
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=output, stderr=output
            )
        self.await_text("The user is admin", began + 1, _START_S)

    def again(self) -> "subprocess.CompletedProcess[str]":
        """The same command once more, while it runs."""
        return subprocess.run(
            self._command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )

    def await_text(self, text: str, times: int = 1, limit_s: float = 30.0) -> None:
        """Wait until it has said so, so many times."""
        deadline = time.monotonic() + limit_s
        while self.text().count(text) < times:
            assert self.running(), f"it has ended:\n{self.text()}"
            assert time.monotonic() < deadline, f"it has not said {text!r}:\n{self.text()}"
            time.sleep(0.1)

    def text(self) -> str:
        """What it has said."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(_STOP_S)

    def password(self) -> str:
        """Of its user."""
        return (self.folder / "password").read_text().strip()

    @contextmanager
    def client(self) -> Iterator["Asking"]:
        """Its API, as its user."""
        with httpx.Client(base_url=self.url, timeout=60) as client:
            answer = self.login(client, self.password()).raise_for_status()
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield Asking(client)

    def login(self, client: httpx.Client, password: str) -> httpx.Response:
        """By that password."""
        user = {"username": "admin", "password": password, "provider": "db", "refresh": False}
        return client.post("/api/v1/security/login", json=user)


class Asking:
    """A client of Superset's API."""

    def __init__(self, client: httpx.Client) -> None:
        self.http = client

    def charts(self) -> dict[str, int]:
        """Every chart's number by its name."""
        found = self.http.get("/api/v1/chart/", params={"q": "(page_size:100)"}).raise_for_status().json()["result"]
        assert len(found) == len({each["slice_name"] for each in found})
        return {each["slice_name"]: each["id"] for each in found}

    def data(self, number: int) -> dict[str, Any]:
        """What a chart's question is answered."""
        answer = self.http.get(f"/api/v1/chart/{number}/data/")
        assert answer.status_code == 200, answer.text
        (result,) = answer.json()["result"]
        assert isinstance(result, dict)
        return result

    def sql(self, statement: str) -> httpx.Response:
        """Ask in SQL Lab."""
        found = self.http.get("/api/v1/database/").raise_for_status().json()["result"]
        token = self.http.get("/api/v1/security/csrf_token/").raise_for_status().json()["result"]
        asked = {"database_id": found[0]["id"], "sql": statement, "runAsync": False, "client_id": os.urandom(5).hex()}
        headers = {"X-CSRFToken": token, "Referer": str(self.http.base_url)}
        return self.http.post("/api/v1/sqllab/execute/", json=asked, headers=headers)


@contextmanager
def superset_process(home: Path, *options: str, **settings: str) -> Iterator[SupersetProcess]:
    """A running Superset, which must end well when it is asked to."""
    found = SupersetProcess(home, *options, **settings)
    found.start()
    try:
        yield found
        assert found.stop() == 0, found.text()
    finally:
        if found.running():
            found.stop()


def sign_in(page: Page, superset: SupersetProcess) -> None:
    """As its user, in a browser."""
    page.goto("/login/")
    page.fill("input#username", "admin")
    page.fill("input#password", superset.password())
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url, timeout=60_000)


def await_charts(page: Page) -> None:
    """Wait until all of the dashboard's are drawn."""
    charts = page.locator(".dashboard-component-chart-holder")
    expect(charts.locator("canvas")).to_have_count(5, timeout=60_000)
    expect(charts.locator("td").first).to_be_visible(timeout=60_000)
    page.wait_for_load_state("networkidle")


def check_chart(chart: Chart, result: dict[str, Any], bank: httpx.Client) -> None:
    """What a chart shows is what the bank's own analytics answer about the same time."""
    rows = result["data"]
    if chart.metrics == (AS_OF,):
        told = datetime.fromtimestamp(rows[0][AS_OF] / 1000, UTC)
        assert abs((datetime.now(UTC) - told).total_seconds()) < 60
        return
    wanted = _answers(chart, result, bank)
    assert len(rows) == len(wanted), chart.name
    found = {_key(chart, row): row for row in rows}
    for row in wanted:
        shown = found[_wanted_key(chart, row)]
        for name in chart.metrics:
            value = pytest.approx(row[name], rel=0.05) if _ABOUT.match(name) else pytest.approx(row[name], abs=0.001)
            assert shown[name] == value, (chart.name, name, row, shown)


def _answers(chart: Chart, result: dict[str, Any], bank: httpx.Client) -> list[dict[str, Any]]:
    asked: dict[str, str | int] = {"measures": ",".join(map(_measure, chart.metrics)), "limit": 10_000}
    if chart.by:
        asked["groupBy"] = ",".join(chart.by)
    if chart.grain is not None:
        asked["grain"] = chart.grain
    if chart.top:
        asked["top"] = chart.top
    for name, key in (("from", "from_dttm"), ("to", "to_dttm")):
        if result[key] is not None:
            asked[name] = _iso(result[key])
    found: list[dict[str, Any]] = bank.get("/analytics/query", params=asked).raise_for_status().json()
    return found


def _measure(name: str) -> str:
    return name.replace("_", ":", 1)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat().replace("+00:00", "Z")


def _key(chart: Chart, row: dict[str, Any]) -> Sequence[Any]:
    return (row[_TIME],) if chart.grain is not None else tuple(row[name] for name in chart.by)


def _wanted_key(chart: Chart, row: dict[str, Any]) -> Sequence[Any]:
    if chart.grain is not None:
        return (datetime.fromisoformat(row["period"]).timestamp() * 1000,)
    return tuple(row[name] for name in chart.by)
