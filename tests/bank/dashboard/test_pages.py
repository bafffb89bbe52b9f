"""The bank's dashboard in a real browser, before a real bank: every control is used, and everybody can use it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import DashboardProcess, Told, dashboard_process, low_contrasts, nameless_controls, unreached_by_tab
from tests.process import BankProcess, bank_process

PAGES = ("", "views", "dead-letters", "system", "card", "spending", "history")
_PATIENCE_MS = 10_000
_CARD = "123456789"
_TROUBLED = "card-z-1"
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
            bank_process(folder / "data", app="tests.faulty_bank:application") as bank,
            dashboard_process(folder / "dashboard.log", bank.url) as dashboard,
        ):
            with bank.client() as client:
                _withdraw(client, "20.25")
                client.post("/cards", json={"id": _TROUBLED, "limit": 100}).raise_for_status()
            yield Site(bank, dashboard, chromium, mended)


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    """A page that must not have complained, nor asked for anything that is not the dashboard's."""
    context = site.browser.new_context(base_url=site.dashboard.url, viewport={"width": 1200, "height": 900})
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()
    told = Told(page)
    yield page
    context.close()
    assert told.errors == []
    assert [each for each in told.requests if not each.startswith((f"{site.dashboard.url}/", "data:", "blob:"))] == []


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=_PATIENCE_MS)


def _withdraw(client: httpx.Client, amount: str) -> None:
    content = f'{{"debitCard": "{_CARD}", "amount": {amount}}}'
    client.post("/moneywithdrawals", content=content, headers={"content-type": "application/json"}).raise_for_status()


def _open(page: Page, path: str) -> None:
    """Open it, and wait until it shows what the API tells."""
    page.goto(f"/{path}")
    expect(page.locator(_FIRST[path])).to_be_visible()


_FIRST = {
    "": "#flow [role=listitem] >> nth=3",
    "views": "[role=listitem] >> nth=3",
    "dead-letters": "[role=status]",
    "system": "[aria-label=Listeners] [role=listitem] >> nth=3",
    "card": "#balance:has-text('withdrawn')",
    "spending": "tbody tr >> nth=0",
    "history": "tbody tr >> nth=3",
}


def _button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def _answer(page: Page, word: str, reason: str | None = None) -> None:
    """Answer the dialog that is open."""
    dialog = page.get_by_role("dialog")
    if reason is not None:
        dialog.get_by_role("textbox").fill(reason)
    dialog.get_by_role("button", name=word, exact=True).click()
    expect(dialog).to_have_count(0)


@pytest.mark.parametrize("path", PAGES)
def test_everybody_can_use_a_page(page: Page, path: str) -> None:
    """Contrast in light and dark, names of controls, a way by the tab key, and a telephone's width."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        _open(page, path)
        is_dark = page.evaluate("document.body.classList.contains('body--dark')")
        assert is_dark == (scheme == "dark")
        assert low_contrasts(page) == []
    assert nameless_controls(page) == []
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en-GB"
    assert unreached_by_tab(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")


def test_the_checks_find_what_is_wrong(page: Page) -> None:
    """Checks that find nothing on any page would say nothing."""
    _open(page, "card")
    page.evaluate(
        "document.querySelector('#content').insertAdjacentHTML('beforeend', '<button></button>"
        '<p style="color:#aaa">pale</p><button style="color:#000" disabled>off</button>'
        '<a href="#" tabindex="0" id="held">held</a>\')'
    )
    assert nameless_controls(page) == ["button"]
    assert [each.split(":")[0] for each in low_contrasts(page)] == ["pale"]
    page.evaluate("document.getElementById('held').addEventListener('focus', event => event.target.blur())")
    assert ["held" in each for each in unreached_by_tab(page)] == [True]


def test_withdrawing(page: Page, site: Site) -> None:
    """By the keyboard; the statement updates itself, with what others withdraw too; a refusal says why."""
    _open(page, "card")
    amount, first = page.get_by_label("Amount"), page.locator("tbody tr >> nth=0")
    amount.fill("12.34")
    page.get_by_label("Merchant").fill("Corner Shop")
    page.get_by_label("Reference").fill("Invoice 1")
    page.keyboard.press("Enter")
    expect(first).to_contain_text("12.34")
    expect(amount).to_have_value("")
    expect(page.locator("#balance")).to_contain_text("9,967.41")
    with site.bank.client() as client:
        _withdraw(client, "0.41")
    expect(first).to_contain_text("0.41")
    expect(page.locator("#balance")).to_contain_text("9,967.00")
    error = page.locator("#withdraw-error")
    for wrong, told in (("1e9", "not able to withdraw"), ("some", "a number"), ("1.234", "amount")):
        amount.fill(wrong)
        _button(page, "Withdraw").click()
        expect(error).to_contain_text(told)
    amount.fill("1")
    _button(page, "Withdraw").click()
    expect(error).to_be_hidden()
    expect(page.locator("#balance")).to_contain_text("9,966.00")
    _button(page, "Close").first.click()


def test_another_card(page: Page) -> None:
    """The address keeps it; what is no card is told at the field, and what is unknown by the API."""
    _open(page, "card")
    field = page.get_by_label("Card", exact=True)
    field.fill(_TROUBLED)
    _button(page, "Show card").click()
    expect(page.locator("#balance")).to_contain_text("100.00")
    assert page.url.endswith(f"?card={_TROUBLED}")
    page.reload()
    expect(page.locator("#balance")).to_contain_text("100.00")
    field.fill("nobody")
    field.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="nobody").first).to_be_visible()
    field.fill("no card!")
    field.press("Enter")
    expect(page.get_by_text("1 to 36 letters")).to_be_visible()


def test_spending(page: Page, site: Site) -> None:
    """Three charts that are drawn, and grow with what is withdrawn."""
    _open(page, "spending")
    for name in ("Amount withdrawn on each day", "Amount withdrawn in each hour", "Amount withdrawn by card"):
        chart = page.get_by_role("img", name=re.compile(f"^{name}, from"))
        expect(chart.locator("canvas")).to_be_visible()
    before = page.locator("tbody tr >> nth=0").inner_text()
    with site.bank.client() as client:
        _withdraw(client, "5")
    expect(page.locator("tbody tr >> nth=0")).not_to_have_text(before)
    page.get_by_label("Card", exact=True).fill(_TROUBLED)
    _button(page, "Show card").click()
    expect(page.get_by_text("Nothing was withdrawn yet.")).to_be_visible()


def test_the_slider_over_a_cards_history(page: Page, site: Site) -> None:
    """By buttons and by the keyboard; the latest stays the latest."""
    with site.bank.client() as client:
        client.post("/cards", json={"id": "past-1", "limit": 100}).raise_for_status()
        for amount in (1, 2, 3):
            client.post("/moneywithdrawals", json={"debitCard": "past-1", "amount": amount}).raise_for_status()
        version, then = page.locator("#version"), page.get_by_label("The card then").locator("tbody")
        page.goto("/history?card=past-1")
        expect(version).to_contain_text("Version 4 of 4, 20")
        expect(then).to_contain_text("94.00")
        for name, told, balance in (
            ("First version", "Version 1 of 4", "100.00"),
            ("One version on", "Version 2 of 4", "99.00"),
            ("Latest version", "Version 4 of 4", "94.00"),
            ("One version back", "Version 3 of 4", "97.00"),
        ):
            _button(page, name).click()
            expect(version).to_contain_text(told)
            expect(then).to_contain_text(balance)
        expect(page.get_by_label("What happened")).to_contain_text("MoneyWithdrawn")
        expect(page.get_by_label("What happened")).to_contain_text("asked for by anonymous@127.0.0.1")
        expect(page.get_by_label("What changed")).to_contain_text("3.00")
        page.get_by_role("slider").press("ArrowRight")
        expect(version).to_contain_text("Version 4 of 4")
        client.post("/moneywithdrawals", json={"debitCard": "past-1", "amount": 4}).raise_for_status()
        expect(version).to_contain_text("Version 5 of 5")


def test_a_history_of_several_pages(page: Page, site: Site) -> None:
    """Also what made the last of many versions is told."""
    with site.bank.client() as client:
        client.post("/cards", json={"id": "long-1", "limit": 1000}).raise_for_status()
        for _ in range(220):
            client.post("/moneywithdrawals", json={"debitCard": "long-1", "amount": 1}).raise_for_status()
        page.goto("/history?card=long-1")
        version, happened = page.locator("#version"), page.get_by_label("What happened")
        expect(version).to_contain_text("Version 221 of 221, 20")
        expect(happened).to_contain_text("MoneyWithdrawn")
        client.put("/cards/long-1/limit", json={"limit": 2000}).raise_for_status()
        expect(version).to_contain_text("Version 222 of 222, 20")
        expect(happened).to_contain_text("LimitChanged")


def test_the_flow(page: Page, site: Site) -> None:
    """Every stage that the status tells, with its lag; the rates grow with what is withdrawn."""
    _open(page, "")
    with site.bank.client() as client:
        for hop in client.get("/status").json()["hops"]:
            expect(page.locator("#flow").get_by_text(hop["name"], exact=True)).to_be_visible()
        expect(page.locator("#accepted")).to_contain_text("0 /s")
        for _ in range(30):
            _withdraw(client, "0.01")
    expect(page.locator("#accepted")).to_contain_text(re.compile(r"^([1-9][\d.]*|0\.[1-9]) /s"))
    for name in ("relay", "card-balance", "olap-bankapp"):
        hop = page.locator("#flow [role=listitem]").filter(has=page.get_by_text(name, exact=True))
        expect(hop).to_contain_text(re.compile(r"([1-9]|0\.[1-9])[\d.]* /s"))
    expect(page.get_by_role("img", name="Commands a second, and the longest lag").locator("canvas")).to_be_visible()
    expect(page.locator("#flow")).to_contain_text("keys wait behind dead letters")


def test_rebuilding_a_view(page: Page) -> None:
    """Rebuilt, put back, dropped; compared and cancelled; left alone where nobody confirms."""
    _open(page, "views")
    view = page.get_by_role("listitem").filter(has=page.get_by_text("daily_spending", exact=True))

    def ask(name: str, word: str) -> None:
        _button(page, f"{name} daily_spending").click()
        _answer(page, word)

    ask("Rebuild", "Leave it")
    expect(view).not_to_contain_text("records")
    ask("Rebuild", "Rebuild")
    expect(view).to_contain_text("done: ")
    expect(view).to_contain_text("the replaced version is kept")
    ask("Roll back", "Roll back")
    expect(_button(page, "Rebuild daily_spending")).to_be_enabled()
    ask("Compare", "Compare")
    expect(view).to_contain_text("built: ")
    ask("Cancel", "Cancel")
    expect(view).not_to_contain_text("not finished")
    ask("Rebuild", "Rebuild")
    expect(view).to_contain_text("done: ")
    ask("Drop replaced", "Drop replaced")
    expect(view).not_to_contain_text("is kept")


def test_dead_letters(page: Page, site: Site) -> None:
    """Shown with the traceback; tried again in vain, and after the fault was mended with success."""
    with site.bank.client() as client:
        for card in ("card-z-2", "card-z-3"):
            client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()
    _open(page, "dead-letters")
    expect(page.locator("[role=status]")).to_contain_text("3 waiting")
    letter = page.get_by_role("listitem").filter(has_text=_TROUBLED)
    letter.get_by_role("button", name="Show letter").click()
    expect(page.get_by_role("dialog")).to_contain_text("Traceback")
    _answer(page, "Close")
    letter.get_by_role("button", name="Retry letter").click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Retry", exact=True)).to_be_disabled()
    _answer(page, "Leave it")
    letter.get_by_role("button", name="Retry letter").click()
    _answer(page, "Retry", "to see whether it goes")
    expect(page.get_by_text("asked for").first).to_be_visible()
    expect(page.locator("[role=status]")).to_contain_text("3 waiting")
    site.mended.touch()
    letter.get_by_role("button", name="Retry key").click()
    _answer(page, "Retry", "mended")
    expect(page.locator("[role=status]")).to_contain_text("2 waiting")
    page.get_by_role("combobox", name="Listener").click()
    page.get_by_role("option", name="activity").click()
    _button(page, "Retry all letters of the listener").click()
    _answer(page, "Retry", "mended")
    expect(page.locator("[role=status]")).to_contain_text("0 waiting")
    expect(page.get_by_text("No dead letters.")).to_be_visible()


def test_listeners(page: Page) -> None:
    """Paused, resumed, restarted, with a reason."""
    _open(page, "system")
    listener = (
        page.get_by_label("Listeners").get_by_role("listitem").filter(has=page.get_by_text("card-balance", exact=True))
    )
    _button(page, "Pause card-balance").click()
    _answer(page, "Pause", "the disk is to be changed")
    expect(listener).to_contain_text("paused")
    _button(page, "Resume card-balance").click()
    _answer(page, "Resume", "done")
    expect(listener).to_contain_text("running")
    _button(page, "Restart card-balance").click()
    _answer(page, "Restart", "to read its offsets anew")
    expect(page.get_by_text("Restart of card-balance: asked for")).to_be_visible()


def test_the_ways_between_pages_and_the_theme(page: Page) -> None:
    """A theme that was chosen stays when the page is opened again."""
    _open(page, "")
    for name in ("Views", "Dead letters", "System", "Card", "Spending", "History", "Flow"):
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.locator("[aria-current=page]")).to_have_text(name)
    for theme, dark in (("dark", True), ("light", False), ("dark", True)):
        page.get_by_role("combobox", name="Theme").click()
        page.get_by_role("option", name=theme).click()
        expect(page.locator("body.body--dark")).to_have_count(int(dark))
    page.reload()
    expect(page.locator("body.body--dark")).to_have_count(1)
    expect(page.locator(_FIRST[""])).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
