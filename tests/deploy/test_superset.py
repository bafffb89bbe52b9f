"""The bank in the real Superset: what its charts show is what the bank's own analytics answer, on both engines."""

import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from deploy.application import environment
from deploy.superset.charts import CHARTS
from tests.browser import Told
from tests.distributed import Deployed, distributed_bank
from tests.process import BankProcess, bank_process
from tests.stack import FOLDER, SHIFT
from tests.superset import Asking, SupersetProcess, await_charts, check_chart, sign_in, superset_process

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("superset_installed")]

_PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BankProcess]:
    """With three weeks behind it, and something that happened just now."""
    folder = tmp_path_factory.mktemp("bank") / "data"
    amounts = ("--withdrawals", "1500", "--customers", "20", "--days", "21")
    command = [sys.executable, "-m", "mainstem", "simulate-bank", "--history", *amounts]
    subprocess.run(command, env={"MAINSTEM_DATA_DIR": str(folder)}, check=True, timeout=120)
    with bank_process(folder) as bank, bank.client() as client:
        client.post("/cards", json={"id": "just-now", "limit": 100}).raise_for_status()
        _withdraw(client, 12.5)
        yield bank


@pytest.fixture(scope="module")
def superset(
    superset_installed: None, bank: BankProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SupersetProcess]:
    with superset_process(tmp_path_factory.mktemp("superset") / "home", "--api", bank.url, "--every", "1") as superset:
        yield superset


def _withdraw(client: httpx.Client, amount: float) -> None:
    body = {"debitCard": "just-now", "amount": amount}
    position = client.post("/moneywithdrawals", json=body).raise_for_status().headers["Mainstem-Position"]
    client.get("/analytics/cards", headers={"Mainstem-Position": position}).raise_for_status()


def _count(client: httpx.Client) -> int:
    found: int = client.get("/analytics/query").raise_for_status().json()[0]["count"]
    return found


@contextmanager
def _eventually(limit_s: float = 30.0) -> Iterator[Iterator[None]]:
    deadline = time.monotonic() + limit_s

    def tries() -> Iterator[None]:
        while time.monotonic() < deadline:
            yield
            time.sleep(0.2)
        pytest.fail("it did not come to pass")

    yield tries()


def _await_copy(superset: SupersetProcess, wanted: int) -> None:
    with superset.client() as asking, _eventually() as tries:
        number = asking.charts()["Withdrawals"]
        for _ in tries:
            if asking.data(number)["data"] == [{"count": wanted}]:
                return


def test_charts_show_what_the_bank_answers(superset: SupersetProcess, bank: BankProcess) -> None:
    with bank.client() as client, superset.client() as asking:
        _await_copy(superset, _count(client))
        _check_charts(asking, client)


def test_a_browser_shows_the_dashboard(superset: SupersetProcess, bank: BankProcess, chromium: Browser) -> None:
    """The questions are those that Superset's pages ask; nothing is asked of anybody else."""
    page = chromium.new_page(base_url=superset.url, viewport={"width": 1400, "height": 2000})
    told = Told(page)
    answers = []
    page.on("response", lambda each: answers.append(each) if "/api/v1/chart/data" in each.url else None)
    sign_in(page, superset)
    page.goto("/superset/dashboard/bank-duckdb/")
    with bank.client() as client:
        expect(page.get_by_text(f"{_count(client):,}", exact=True)).to_be_visible(timeout=_PATIENCE_MS)
        await_charts(page)
        by_name = {chart.name: chart for chart in CHARTS}
        with superset.client() as asking:
            names = {number: name for name, number in asking.charts().items()}
        seen = set()
        for answer in answers:
            assert answer.status == 200, answer.text()
            number = json.loads(answer.request.post_data or "{}")["form_data"]["slice_id"]
            check_chart(by_name[names[number]], answer.json()["result"][0], client)
            seen.add(names[number])
    assert seen == set(by_name)
    assert [text for text in told.errors if "Content Security Policy" not in text] == []
    page.close()


def test_what_happens_is_shown_seconds_later(superset: SupersetProcess, bank: BankProcess) -> None:
    with bank.client() as client:
        _withdraw(client, 0.5)
        _await_copy(superset, _count(client))


def test_no_password_but_its_own_is_taken(superset: SupersetProcess) -> None:
    with httpx.Client(base_url=superset.url, timeout=60) as client:
        assert superset.login(client, "admin").status_code == 401
        assert superset.login(client, superset.password()).status_code == 200
        assert client.get("/api/v1/chart/").status_code == 401


def test_secrets_are_the_owners_alone_and_in_no_log(superset: SupersetProcess) -> None:
    said = superset.text() + (superset.folder / "superset.log").read_text()
    for name in ("password", "secret_key"):
        file = superset.folder / name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_text().strip()) > 40
        assert file.read_text().strip() not in said
    assert stat.S_IMODE(superset.folder.stat().st_mode) == 0o700


def test_sql_reaches_the_copy_and_no_other_file(superset: SupersetProcess) -> None:
    with superset.client() as asking:
        found = asking.sql("SELECT count(*) AS facts FROM bankapp")
        assert found.json()["data"][0]["facts"] > 1_000
        other = superset.folder / "secret_key"
        copied = superset.folder / "bank" / "copied.parquet"
        for statement in (
            f"SELECT * FROM read_text('{other}')",
            f"SELECT * FROM read_text('{copied.parent}/../secret_key')",
            f"COPY (SELECT 1) TO '{copied}'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            refused = asking.sql(statement)
            assert refused.status_code >= 400, (statement, refused.text)
            assert other.read_text().strip() not in refused.text
        assert asking.sql("SELECT count(*) AS facts FROM bankapp").status_code == 200


def test_the_command_given_twice_is_refused(superset: SupersetProcess) -> None:
    again = superset.again()
    assert again.returncode == 2
    assert "another process runs Superset" in again.stderr


def test_a_bank_that_is_away_is_told_and_what_was_copied_is_shown(
    superset_installed: None, superset: SupersetProcess, bank: BankProcess
) -> None:
    with bank.client() as client:
        before = _count(client)
    _await_copy(superset, before)
    bank.process.freeze()
    try:
        superset.await_text("The facts are not copied", limit_s=60)
        with superset.client() as asking:
            assert asking.data(asking.charts()["Withdrawals"])["data"] == [{"count": before}]
    finally:
        bank.process.thaw()
    superset.await_text("The facts are copied again.")


def test_started_again_it_is_the_same_with_the_password_of_the_file(superset: SupersetProcess) -> None:
    with superset.client() as asking:
        before = asking.charts()
    assert superset.stop() == 0, superset.text()
    (superset.folder / "password").write_text("another one, that its owner has chosen\n")
    superset.start()
    with superset.client() as asking:
        assert asking.charts() == before
        assert asking.http.get("/api/v1/dashboard/").json()["count"] == 1


@pytest.mark.stack
def test_charts_on_druid_show_what_the_bank_answers(deployed: Deployed, tmp_path: Path) -> None:
    """Of all that the tests have put into it so far; then the same of a datasource that was rebuilt meanwhile."""
    options = ("--form", "distributed", "--shift", str(SHIFT), "--folder", str(FOLDER), "--every", "1")
    rebuild = [sys.executable, "-m", "mainstem", "rebuild", "bankapp"]
    with distributed_bank(deployed) as bank, bank.client() as client:
        client.post("/cards", json={"id": "just-now", "limit": 100})
        client.post("/moneywithdrawals", json={"debitCard": "just-now", "amount": 0.5}).raise_for_status()
        with _eventually(90) as tries:  # of a new stack, Druid does not serve the first rows at once
            for _ in tries:
                if client.get("/analytics/cards").is_success:
                    break
        _withdraw(client, 1.25)
        with superset_process(tmp_path / "home", *options) as superset, superset.client() as asking:
            _check_charts(asking, client)
            subprocess.run(rebuild, env=environment(deployed.place), check=True, timeout=300)
            superset.await_text("What is shown has changed", limit_s=120)
            _withdraw(client, 0.75)
            _check_charts(asking, client)
        subprocess.run([*rebuild, "--roll-back"], env=environment(deployed.place), check=True, timeout=300)


def _check_charts(asking: Asking, client: httpx.Client) -> None:
    charts = asking.charts()
    assert set(charts) == {chart.name for chart in CHARTS}
    for chart in CHARTS:
        check_chart(chart, asking.data(charts[chart.name]), client)
