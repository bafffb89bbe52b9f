"""The dashboard while the API is away, asks who calls, or refuses; and who may ask the dashboard itself."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Told, dashboard_process
from tests.process import BankProcess, bank_process, free_port
from tests.tokens import AUDIENCE, SECRET, token

_PATIENCE_MS = 20_000


def _page(chromium: Browser, url: str) -> tuple[Page, Told]:
    context = chromium.new_context(base_url=url)
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()
    return page, Told(page)


def test_an_api_that_goes_away_and_comes_back(chromium: Browser, tmp_path: Path) -> None:
    """The page says so, keeps what it shows, and recovers by itself; so does a form."""
    expect.set_options(timeout=_PATIENCE_MS)
    bank = BankProcess(tmp_path / "data", http_port=str(free_port()))
    bank.start()
    try:
        with dashboard_process(tmp_path / "dashboard.log", bank.url) as dashboard:
            page, told = _page(chromium, dashboard.url)
            page.goto("/card")
            balance = page.locator("#balance")
            expect(balance).to_contain_text("10,000.00")
            bank.kill()
            away = page.locator(".ms-away")
            expect(away).to_contain_text("does not answer")
            expect(balance).to_contain_text("10,000.00")
            page.get_by_label("Amount").fill("5")
            page.get_by_role("button", name="Withdraw").click()
            expect(page.locator("#withdraw-error")).to_contain_text("withdrawn once at most")
            bank.start()
            expect(away).to_be_hidden()
            page.get_by_role("button", name="Withdraw").click()
            expect(balance).to_contain_text("9,995.00")
            assert told.errors == []
            page.context.close()
    finally:
        if bank.running():
            bank.kill()


def test_an_api_that_asks_who_calls(chromium: Browser, tmp_path: Path) -> None:
    """Without a token the page shows what the API says; with one it works, and the token is in no output."""
    expect.set_options(timeout=_PATIENCE_MS)
    shown = token(scope="operator teller analyst", exp=int(time.time()) + 600)
    with bank_process(tmp_path / "data", auth_key=SECRET, auth_audience=AUDIENCE, rate_limit_per_minute="0") as bank:
        with dashboard_process(tmp_path / "without.log", bank.url) as dashboard:
            page, told = _page(chromium, dashboard.url)
            page.goto("/views")
            expect(page.get_by_role("alert").filter(has_text="Unauthorized")).to_be_visible()
            assert told.errors == []
            page.context.close()
        with dashboard_process(tmp_path / "with.log", bank.url, auth_token=shown, log_level="debug") as dashboard:
            page, _ = _page(chromium, dashboard.url)
            page.goto("/views")
            expect(page.get_by_role("button", name="Rebuild daily_spending")).to_be_visible()
            assert shown not in page.content()
            page.context.close()
        assert shown not in (tmp_path / "with.log").read_text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "bank.example:80"}, 421),
        ({"origin": "http://bank.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_other_sites_are_not_served(loopback: str, headers: dict[str, Any], status: int) -> None:
    """Neither under another name that leads here, nor by another site's page in a visitor's browser."""
    answer = httpx.get(loopback, headers=headers)
    assert answer.status_code == status
    assert answer.headers["x-frame-options"] == "DENY"


def test_other_sites_pages_cannot_open_a_connection(loopback: str) -> None:
    """A browser lets any page open a WebSocket to any address: what counts is from where it says that it comes."""
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "origin": "http://bank.example",
    }
    path = f"{loopback}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    assert httpx.get(path, headers=upgrade).status_code == 403


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Any:
    output: Path = tmp_path_factory.mktemp("loopback") / "dashboard.log"
    with dashboard_process(output, f"http://127.0.0.1:{free_port()}") as dashboard:
        yield dashboard.url
