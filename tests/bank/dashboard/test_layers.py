"""The page of the layers: what there is, rejects, rebuild, and the way from a figure down to the changes."""

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import dashboard_process
from tests.pages import Site, answer, button, open_page
from tests.process import bank_process

_PATIENCE_S = 20.0
_LAYERS = ("raw", "cleansed", "curated", "integrated", "aggregated")


def _layer(page: Page, name: str) -> Locator:
    return page.get_by_label("Layers", exact=True).locator("> *").filter(has=page.get_by_text(name, exact=True)).first


def _rows(page: Page) -> Locator:
    return page.get_by_role("list", name="Rows").locator("> *")


def _ask(page: Page, layer: str, where: str) -> None:
    page.get_by_role("combobox", name="Layer").click()
    page.get_by_role("option", name=layer).click()
    page.get_by_label("Values").fill(where)
    button(page, "Show rows").click()


def _spend(site: Site, card: str, times: int) -> None:
    """Withdraw so often, and wait until the last layer has it."""
    with site.bank.client() as client:
        client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()
        for _ in range(times):
            client.post("/moneywithdrawals", json={"debitCard": card, "amount": 1.25}).raise_for_status()
        deadline = time.monotonic() + _PATIENCE_S
        while _made_of(client, card) < times:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _made_of(client: httpx.Client, card: str) -> int:
    """How many facts of the card the days' figures are made of."""
    asked: dict[str, str | int] = {"where": "grain=day,fact=withdrawal", "limit": 1000}
    days = client.get("/layers/aggregated/lineage", params=asked).raise_for_status().json()
    return sum(each["row"]["card"] == card for day in days for each in day["madeOf"])


def test_what_raw_has_lost(page: Page, site: Site) -> None:
    """It is told as long as its note is there."""
    note = site.bank.folder / "raw" / "debit_card" / "0002-0000000000000007-0000000000000009.gone"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    open_page(page, "layers")
    told = _layer(page, "raw").get_by_role("status")
    expect(told).to_have_text(re.compile("before it was archived, by offsets: debit_card/2: 7 to 9$"))
    note.unlink()
    expect(told).to_be_hidden()


def test_the_layers_in_their_order(page: Page) -> None:
    """With their tables and topics, and how many changes passed the rules."""
    open_page(page, "layers")
    expect(page.locator(".ms-caps")).to_have_text(list(_LAYERS))
    expect(_layer(page, "curated")).to_contain_text("hears layer-cleansed, speaks on layer-curated")
    expect(_layer(page, "cleansed")).to_contain_text("event: ")
    expect(_layer(page, "cleansed").get_by_role("list", name="Rules of quality")).to_contain_text("passed")


def test_from_a_figure_down_to_the_changes(page: Page, site: Site) -> None:
    """Each layer opens the one before; the address keeps the question; by the keyboard."""
    _spend(site, "made-1", 2)
    open_page(page, "layers")
    _ask(page, "integrated", "card=made-1")
    expect(_rows(page)).to_have_count(2)
    expect(page.get_by_text("2 rows of integrated")).to_be_visible()
    page.reload()
    expect(_rows(page)).to_have_count(2)
    row = _rows(page).filter(has=page.get_by_text("125", exact=True)).first
    for table in ("integrated", "curated", "cleansed"):
        opens = row.get_by_role("button", name=f"What made {table}")
        expect(opens).to_have_attribute("aria-expanded", "false")
        opens.focus()
        page.keyboard.press("Enter")
        expect(opens).to_have_attribute("aria-expanded", "true")
    expect(row.get_by_text("raw_event event/")).to_be_visible()
    expect(row.get_by_role("region", name="value")).to_contain_text("MoneyWithdrawn")
    top = row.get_by_role("button", name="What made integrated")
    top.click()
    expect(row.get_by_text("raw_event event/")).to_be_hidden()
    top.click()
    expect(row.get_by_text("raw_event event/")).to_be_visible()


def test_a_figure_of_many_facts_goes_on(page: Page, site: Site) -> None:
    """Twenty at a time, until there are no more."""
    _spend(site, "many-1", 45)
    with site.bank.client() as client:
        days = client.get("/layers/aggregated/lineage", params={"where": "grain=day,fact=withdrawal"}).json()
    largest = max(days, key=lambda each: each["row"]["facts"])["row"]
    assert largest["facts"] >= 45
    page.goto(f"/layers?layer=aggregated&where=id={largest['id']}")
    page.get_by_role("button", name="What made aggregated").click()
    below = _rows(page).get_by_role("list", name="What made it").locator("> *")
    more = page.get_by_role("button", name="More of what made aggregated")
    expect(below).to_have_count(20)
    more.click()
    expect(below).to_have_count(40)
    more.click()
    expect(below).to_have_count(largest["facts"])
    expect(more).to_be_hidden()


@pytest.mark.parametrize(
    ("layer", "where", "told"),
    [
        ("aggregated", "colour=red", "is no COLUMN=VALUE: aggregated has id, grain"),
        ("aggregated", "facts=many", "facts cannot be 'many'"),
        ("curated", "withdrawal", "is no COLUMN=VALUE"),
    ],
)
def test_a_question_that_is_none(page: Page, layer: str, where: str, told: str) -> None:
    """What the API says stands at the question; what was shown stays until it is answered."""
    open_page(page, "layers")
    _ask(page, layer, where)
    trouble = page.get_by_role("alert").filter(has_text=told)
    expect(trouble).to_be_visible()
    page.get_by_label("Values").fill("")
    page.get_by_label("Values").press("Enter")
    expect(trouble).to_be_hidden()
    expect(_rows(page).first).to_be_visible()


def test_rejects_with_their_reasons(page: Page, site: Site) -> None:
    """A refused command whose content somebody has spoiled, counted and shown."""
    with site.bank.client() as client:
        client.post("/moneywithdrawals", json={"debitCard": "123456789", "amount": 99_999_999})
    with closing(sqlite3.connect(site.bank.folder / "events.db", isolation_level=None)) as other:
        other.execute("UPDATE refused_command SET content = 'spoiled'")
    open_page(page, "layers")
    page.get_by_role("button", name="Show rejects of readable, refused_command").click()
    expect(page.get_by_label("Values")).to_have_value("rule=readable")
    expect(_rows(page).first).to_contain_text("the content of refusal")
    _rows(page).first.get_by_role("button", name="What made cleansed").click()
    expect(_rows(page).first).to_contain_text("spoiled")


def test_a_layer_is_rebuilt(page: Page) -> None:
    open_page(page, "layers")
    button(page, "Rebuild curated").click()
    answer(page, "Leave it")
    expect(_layer(page, "curated")).not_to_contain_text("records")
    button(page, "Rebuild curated").click()
    answer(page, "Rebuild")
    expect(_layer(page, "curated")).to_contain_text("done: ")
    expect(_layer(page, "curated")).to_contain_text("the replaced version is kept")


def test_where_there_are_no_layers(chromium: Browser, tmp_path: Path) -> None:
    """It is said how to turn them on, and nothing can be asked."""
    with (
        bank_process(tmp_path / "data") as bank,
        dashboard_process(tmp_path / "dashboard.log", bank.url) as dashboard,
    ):
        page = chromium.new_context(base_url=dashboard.url).new_page()
        page.goto("/layers")
        expect(page.get_by_text("MAINSTEM_LAYERS=true turns them on")).to_be_visible(timeout=20_000)
        expect(button(page, "Show rows")).to_be_hidden()
        page.context.close()
