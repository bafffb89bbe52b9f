"""The bank's dashboard in a real browser, before a real bank: every control is used, and everybody can use it."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import low_contrasts, nameless_controls, unreached_by_tab
from tests.controls import Controls
from tests.pages import FIRST, PAGES, TROUBLED, Site, answer, button, open_page, withdraw
from tests.used_controls import USES


@pytest.mark.parametrize("path", PAGES)
def test_everybody_can_use_a_page(page: Page, path: str) -> None:
    """Contrast in light and dark, names of controls, a way by the tab key, and a telephone's width."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        open_page(page, path)
        is_dark = page.evaluate("document.body.classList.contains('body--dark')")
        assert is_dark == (scheme == "dark")
        assert low_contrasts(page) == []
    assert nameless_controls(page) == []
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en-GB"
    assert unreached_by_tab(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")


def test_the_checks_find_what_is_wrong(site: Site) -> None:
    """Checks that find nothing on any page would say nothing."""
    context = site.browser.new_context(base_url=site.dashboard.url)
    controls, page = Controls(context), context.new_page()
    open_page(page, "card")
    page.evaluate(
        "document.querySelector('#content').insertAdjacentHTML('beforeend', '<button></button>"
        '<p style="color:#aaa">pale</p><button style="color:#000" disabled>off</button>'
        '<a href="#" tabindex="0" id="held">held</a>\')'
    )
    assert nameless_controls(page) == ["button"]
    assert [each.split(":")[0] for each in low_contrasts(page)] == ["pale"]
    page.evaluate("document.getElementById('held').addEventListener('focus', event => event.target.blur())")
    assert ["held" in each for each in unreached_by_tab(page)] == [True]
    page.get_by_role("button", name="Show card").click()
    context.close()
    new = {("button", ""), ("button", "off"), ("link", "held")}
    assert {(each.role, each.name) for each in controls.unlisted(USES)} == new
    left = {use.name for use in controls.unused(USES, "test_another_card")}
    assert left == {"Card"}


def test_the_tests_that_use_controls_are_there(request: pytest.FixtureRequest) -> None:
    """A test that is renamed, or taken out, is no test that uses a control."""
    texts = "".join(each.read_text() for each in request.path.parent.glob("test_*.py"))
    assert [use.test for use in USES if f"def {use.test}(page: Page" not in texts] == []


def test_withdrawing(page: Page, site: Site) -> None:
    """By the keyboard; the statement updates itself, with what others withdraw too; a refusal says why."""
    open_page(page, "card")
    amount, first = page.get_by_label("Amount"), page.locator("tbody tr >> nth=0")
    amount.fill("12.34")
    page.get_by_label("Merchant").fill("Corner Shop")
    page.get_by_label("Reference").fill("Invoice 1")
    page.keyboard.press("Enter")
    expect(first).to_contain_text("12.34")
    expect(amount).to_have_value("")
    expect(page.locator("#balance")).to_contain_text("9,967.41")
    with site.bank.client() as client:
        withdraw(client, "0.41")
    expect(first).to_contain_text("0.41")
    expect(page.locator("#balance")).to_contain_text("9,967.00")
    error = page.locator("#withdraw-error")
    for wrong, told in (("1e9", "not able to withdraw"), ("some", "a number"), ("1.234", "amount")):
        amount.fill(wrong)
        button(page, "Withdraw").click()
        expect(error).to_contain_text(told)
    amount.fill("1")
    button(page, "Withdraw").click()
    expect(error).to_be_hidden()
    expect(page.locator("#balance")).to_contain_text("9,966.00")
    button(page, "Close").first.click()


def test_another_card(page: Page) -> None:
    """The address keeps it; what is no card is told at the field, and what is unknown by the API."""
    open_page(page, "card")
    field = page.get_by_label("Card", exact=True)
    field.fill(TROUBLED)
    button(page, "Show card").click()
    expect(page.locator("#balance")).to_contain_text("100.00")
    assert page.url.endswith(f"?card={TROUBLED}")
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
    open_page(page, "spending")
    for name in ("Amount withdrawn on each day", "Amount withdrawn in each hour", "Amount withdrawn by card"):
        chart = page.get_by_role("img", name=re.compile(f"^{name}, from"))
        expect(chart.locator("canvas")).to_be_visible()
    before = page.locator("tbody tr >> nth=0").inner_text()
    with site.bank.client() as client:
        withdraw(client, "5")
    expect(page.locator("tbody tr >> nth=0")).not_to_have_text(before)
    page.get_by_label("Card", exact=True).fill(TROUBLED)
    button(page, "Show card").click()
    expect(page.get_by_text("Nothing was withdrawn yet.")).to_be_visible()


def test_the_slider_over_a_cards_history(page: Page, site: Site) -> None:
    """By buttons and by the keyboard; the latest stays the latest."""
    with site.bank.client() as client:
        client.post("/cards", json={"id": "past-1", "limit": 100}).raise_for_status()
        for amount in (1, 2, 3):
            client.post("/moneywithdrawals", json={"debitCard": "past-1", "amount": amount}).raise_for_status()
        version, then = page.locator("#version"), page.get_by_label("The card then").locator("tbody")
        page.goto("/history")
        page.get_by_label("Card", exact=True).fill("past-1")
        button(page, "Show card").click()
        expect(version).to_contain_text("Version 4 of 4, 20")
        expect(then).to_contain_text("94.00")
        for name, told, balance in (
            ("First version", "Version 1 of 4", "100.00"),
            ("One version on", "Version 2 of 4", "99.00"),
            ("Latest version", "Version 4 of 4", "94.00"),
            ("One version back", "Version 3 of 4", "97.00"),
        ):
            button(page, name).click()
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
    open_page(page, "")
    with site.bank.client() as client:
        for hop in client.get("/status").json()["hops"]:
            expect(page.locator("#flow").get_by_text(hop["name"], exact=True)).to_be_visible()
        expect(page.locator("#accepted")).to_contain_text("0 /s")
        for _ in range(30):
            withdraw(client, "0.01")
    expect(page.locator("#accepted")).to_contain_text(re.compile(r"^([1-9][\d.]*|0\.[1-9]) /s"))
    for name in ("relay", "card-balance", "olap-bankapp"):
        hop = page.locator("#flow [role=listitem]").filter(has=page.get_by_text(name, exact=True))
        expect(hop).to_contain_text(re.compile(r"([1-9]|0\.[1-9])[\d.]* /s"))
    expect(page.get_by_role("img", name="Commands a second, and the longest lag").locator("canvas")).to_be_visible()
    expect(page.locator("#flow")).to_contain_text("keys wait behind dead letters")


def test_rebuilding_a_view(page: Page) -> None:
    """Rebuilt, put back, dropped; compared and cancelled; left alone where nobody confirms."""
    open_page(page, "views")
    view = page.get_by_role("listitem").filter(has=page.get_by_text("daily_spending", exact=True))

    def ask(name: str, word: str) -> None:
        button(page, f"{name} daily_spending").click()
        answer(page, word)

    ask("Rebuild", "Leave it")
    expect(view).not_to_contain_text("records")
    ask("Rebuild", "Rebuild")
    expect(view).to_contain_text("done: ")
    expect(view).to_contain_text("the replaced version is kept")
    ask("Roll back", "Roll back")
    expect(button(page, "Rebuild daily_spending")).to_be_enabled()
    ask("Compare", "Compare")
    expect(view).to_contain_text("built: ")
    ask("Cancel", "Cancel")
    expect(view).not_to_contain_text("not finished")
    ask("Rebuild", "Rebuild")
    expect(view).to_contain_text("done: ")
    ask("Drop replaced", "Drop replaced")
    expect(view).not_to_contain_text("is kept")


def test_listeners(page: Page) -> None:
    """Paused, resumed, restarted, with a reason."""
    open_page(page, "system")
    listener = (
        page.get_by_label("Listeners").get_by_role("listitem").filter(has=page.get_by_text("card-balance", exact=True))
    )
    button(page, "Pause card-balance").click()
    answer(page, "Pause", "the disk is to be changed")
    expect(listener).to_contain_text("paused")
    button(page, "Resume card-balance").click()
    answer(page, "Resume", "done")
    expect(listener).to_contain_text("running")
    button(page, "Restart card-balance").click()
    answer(page, "Restart", "to read its offsets anew")
    expect(page.get_by_text("Restart of card-balance: asked for")).to_be_visible()


def test_the_ways_between_pages_and_the_theme(page: Page) -> None:
    """A theme that was chosen stays when the page is opened again."""
    open_page(page, "")
    for name in ("Views", "Layers", "Dead letters", "System", "Card", "Spending", "History", "Flow"):
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page.locator("[aria-current=page]")).to_have_text(name)
    for theme, dark in (("dark", True), ("light", False), ("auto", False), ("dark", True)):
        page.get_by_role("combobox", name="Theme").click()
        page.get_by_role("option", name=theme).click()
        expect(page.locator("body.body--dark")).to_have_count(int(dark))
    page.reload()
    expect(page.locator("body.body--dark")).to_have_count(1)
    expect(page.locator(FIRST[""])).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
