"""The bank's pages in a real browser, before a real bank, as the tests of all pages find them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import DashboardProcess, Told, dashboard_process
from tests.controls import Controls
from tests.process import BankProcess, bank_process
from tests.used_controls import USES

PAGES = ("", "views", "layers", "dead-letters", "system", "card", "spending", "history")
PATIENCE_MS = 10_000
CARD = "123456789"
TROUBLED = "card-z-1"
"""A card with which one listener has a fault."""


@dataclass
class Site:
    """A bank, its dashboard, and a browser."""

    bank: BankProcess
    dashboard: DashboardProcess
    browser: Browser
    mended: Path


@pytest.fixture(scope="module")
def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("dashboard")
    mended = folder / "mended"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTY_BANK_MENDED", str(mended))
        with (
            bank_process(folder / "data", app="tests.faulty_bank:application", layers="true") as bank,
            dashboard_process(folder / "dashboard.log", bank.url) as dashboard,
        ):
            with bank.client() as client:
                withdraw(client, "20.25")
                client.post("/cards", json={"id": TROUBLED, "limit": 100}).raise_for_status()
            yield Site(bank, dashboard, chromium, mended)


@pytest.fixture
def page(site: Site, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that must not have complained, nor asked for anything that is not the dashboard's."""
    context = site.browser.new_context(base_url=site.dashboard.url, viewport={"width": 1200, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    controls = Controls(context)
    page = context.new_page()
    told = Told(page)
    yield page
    context.close()
    test = request.node.originalname
    assert told.errors == []
    assert [each for each in told.requests if not each.startswith((f"{site.dashboard.url}/", "data:", "blob:"))] == []
    assert controls.unlisted(USES) == set(), "tests/used_controls.py names no test that uses these"
    assert controls.unused(USES, test) == [], "tests/used_controls.py says that this test uses these"


def withdraw(client: httpx.Client, amount: str) -> None:
    """Of the card that the bank begins with."""
    content = f'{{"debitCard": "{CARD}", "amount": {amount}}}'
    client.post("/moneywithdrawals", content=content, headers={"content-type": "application/json"}).raise_for_status()


def open_page(page: Page, path: str) -> None:
    """Open it, and wait until it shows what the API tells."""
    page.goto(f"/{path}")
    expect(page.locator(FIRST[path])).to_be_visible()


FIRST = {
    "": "#flow [role=listitem] >> nth=3",
    "views": "[role=listitem] >> nth=3",
    "layers": "[aria-label=Layers] .ms-caps >> nth=4",
    "dead-letters": "[role=status]",
    "system": "[aria-label=Listeners] [role=listitem] >> nth=3",
    "card": "#balance:has-text('withdrawn')",
    "spending": "tbody tr >> nth=0",
    "history": "tbody tr >> nth=3",
}


def button(page: Page, name: str) -> Locator:
    """The button of that name for readers of the screen."""
    return page.get_by_role("button", name=name, exact=True)


def answer(page: Page, word: str, reason: str | None = None) -> None:
    """Answer the dialog that is open."""
    dialog = page.get_by_role("dialog")
    if reason is not None:
        dialog.get_by_role("textbox").fill(reason)
    dialog.get_by_role("button", name=word, exact=True).click()
    expect(dialog).to_have_count(0)
