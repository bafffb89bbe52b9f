"""The dashboard of a bank that serves several tenants: which of them the pages are about is chosen there."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import dashboard_process
from tests.pages import Site, button
from tests.process import bank_process

_TENANTS = "acme,north-bank"


@pytest.fixture(scope="module")
def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two tenants have a card of the same name."""
    folder = tmp_path_factory.mktemp("tenants")
    with (
        bank_process(folder / "data", tenants=_TENANTS) as bank,
        dashboard_process(folder / "dashboard.log", bank.url, tenants=_TENANTS) as dashboard,
    ):
        with bank.client() as client:
            for tenant, limit in (("acme", 100), ("north-bank", 900)):
                told = client.post("/cards", json={"id": "7", "limit": limit}, headers={"X-Tenant": tenant})
                told.raise_for_status()
        yield Site(bank, dashboard, chromium, folder / "mended")


def _choose(page: Page, name: str) -> None:
    page.get_by_role("combobox", name="Tenant").click()
    page.get_by_role("option", name=name, exact=True).click()


def _show(page: Page, card: str) -> None:
    page.get_by_label("Card", exact=True).fill(card)
    button(page, "Show card").click()


def test_choosing_a_tenant(page: Page) -> None:
    """A page is about one tenant alone, commands too; the way to other pages and the address keep it."""
    balance = page.locator("#balance")
    page.goto("/card")
    expect(balance).to_contain_text("10,000.00")
    _show(page, "7")
    expect(page.get_by_role("alert").filter(has_text="7").first).to_be_visible()
    _choose(page, "acme")
    page.wait_for_url("**/card?tenant=acme")
    _show(page, "7")
    expect(balance).to_contain_text("100.00")
    page.get_by_label("Amount").fill("10")
    button(page, "Withdraw").click()
    expect(balance).to_contain_text("90.00")
    page.reload()
    expect(balance).to_contain_text("90.00")
    page.get_by_role("navigation").get_by_role("link", name="Spending").click()
    page.wait_for_url("**/spending?tenant=acme")
    _show(page, "7")
    expect(page.locator("tbody tr >> nth=0")).to_contain_text("10.00")
    _choose(page, "north-bank")
    page.wait_for_url("**/spending?tenant=north-bank")
    _show(page, "7")
    expect(page.get_by_text("Nothing was withdrawn yet.")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Flow").click()
    expect(page.locator("#flow [role=listitem] >> nth=3")).to_be_visible()
    expect(page.get_by_role("combobox", name="Tenant")).to_have_count(0)
    page.get_by_role("navigation").get_by_role("link", name="Card").click()
    page.wait_for_url("**/card?tenant=north-bank")
    _show(page, "7")
    expect(balance).to_contain_text("900.00")
    _choose(page, "of no tenant")
    expect(balance).to_contain_text("10,000.00")


def test_a_tenant_that_is_not_served(page: Page) -> None:
    page.goto("/card?tenant=globex")
    expect(page.get_by_text("There is no tenant 'globex' here")).to_be_visible()
    expect(button(page, "Withdraw")).to_have_count(0)
