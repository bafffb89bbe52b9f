"""The pictures of both dashboards in the pages, of a bank full of made-up data; `make screenshots` makes them."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser import FLAGS, dashboard_process, executable
from tests.process import BankProcess, bank_process
from tests.superset import await_charts, sign_in, superset_process

FOLDER = Path(__file__).parents[1] / "docs" / "screenshots"
BYTES_MAX = 150_000

_PATIENCE_MS = 30_000
_WIDE, _NARROW = (1100, 760), (390, 760)
_SHOTS = (
    ("flow", "/", _WIDE, "light", "#flow [role=listitem] >> nth=5"),
    ("views", "/views", _WIDE, "light", "[role=listitem] >> nth=5"),
    ("layers", "/layers", _WIDE, "light", "[aria-label=Layers] [role=listitem] >> nth=4"),
    (
        "lineage",
        "/layers?layer=aggregated&where=grain=day,fact=withdrawal",
        _WIDE,
        "dark",
        "[aria-label=Rows] > * >> nth=0",
    ),
    ("dead-letters", "/dead-letters", _WIDE, "light", "[role=listitem] >> nth=0"),
    ("edit-letter", "/dead-letters", _WIDE, "light", "[role=listitem] >> nth=0"),
    ("system", "/system", _WIDE, "dark", "[role=listitem] >> nth=5"),
    ("card", "/card", _NARROW, "light", "tbody tr >> nth=2"),
    ("spending", "/spending", _WIDE, "light", "tbody tr >> nth=2"),
    ("history", "/history", _NARROW, "dark", "tbody tr >> nth=3"),
)


def _edit(page: Page) -> None:
    page.get_by_role("button", name="Edit letter").first.click()
    dialog = page.get_by_role("dialog")
    value = dialog.get_by_label("New value")
    value.fill(value.input_value().replace("CardOpened", "CardOpend"))
    dialog.get_by_label("Reason").fill("the card was named wrong")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_be_visible()


def _down(page: Page) -> None:
    for table in ("aggregated", "integrated", "curated"):
        page.get_by_role("button", name=f"What made {table}").first.click()
        expect(page.locator("[aria-expanded=true]").last).to_be_visible()
    page.locator("form[aria-label=Lineage]").evaluate("each => each.scrollIntoView()")


_STEPS: Mapping[str, Callable[[Page], None]] = {"edit-letter": _edit, "lineage": _down}
"""What is done before a picture is taken."""


def main() -> None:
    """Make them all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["FAULTY_BANK_MENDED"] = str(folder / "mended")
        _fill(folder / "data")
        with bank_process(folder / "data", app="tests.faulty_bank:application", layers="true") as bank:
            _make_dead_letters(bank)
            with dashboard_process(folder / "dashboard.log", bank.url) as dashboard:
                _shoot(dashboard.url, bank)
            shoot_superset(folder / "superset", bank.url)


def _fill(data: Path) -> None:
    amounts = ("--withdrawals", "4000", "--customers", "30", "--days", "21")
    command = [sys.executable, "-m", "mainstem", "simulate-bank", "--history", *amounts]
    subprocess.run(command, env={**os.environ, "MAINSTEM_DATA_DIR": str(data)}, check=True)


def _make_dead_letters(bank: BankProcess) -> None:
    with bank.client() as client:
        for card in ("card-z-1", "card-z-2"):
            client.post("/cards", json={"id": card, "limit": 100}).raise_for_status()


def _work(bank: BankProcess, stop: threading.Event) -> None:
    """Something goes on while the pictures are taken."""
    with bank.client() as client:
        while not stop.wait(0.05):
            client.post("/moneywithdrawals", json={"debitCard": "123456789", "amount": 0.25}).raise_for_status()


def _shoot(url: str, bank: BankProcess) -> None:
    with bank.client() as client:
        busiest = client.get("/analytics/top-cards", params={"limit": 1}).json()[0]["debitCardId"]
    stop = threading.Event()
    working = threading.Thread(target=_work, args=(bank, stop))
    working.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
            for name, path, (width, height), scheme, shown in _SHOTS:
                page = browser.new_page(base_url=url, viewport={"width": width, "height": height})
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                own = f"?card={busiest}" if name in ("spending", "history") else ""
                _take(page, name, path + own, shown)
                page.close()
            browser.close()
    finally:
        stop.set()
        working.join()


def shoot_superset(home: Path, api: str) -> None:
    """Its dashboard, of the bank that answers there."""
    with superset_process(home, "--api", api) as superset, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
        page = browser.new_page(base_url=superset.url, viewport={"width": 1200, "height": 1450})
        sign_in(page, superset)
        page.goto("/superset/dashboard/bank-duckdb/")
        await_charts(page)
        page.wait_for_timeout(3_000)  # they grow
        _save(page, "superset")
        browser.close()


def _take(page: Page, name: str, path: str, shown: str) -> None:
    page.goto(path)
    expect(page.locator(shown)).to_be_visible(timeout=_PATIENCE_MS)
    page.wait_for_timeout(12_000 if name == "flow" else 1_000)  # the chart of the flow shows what has been meanwhile
    if name in _STEPS:
        _STEPS[name](page)
    _save(page, name)


def _save(page: Page, name: str) -> None:
    target = FOLDER / f"{name}.png"
    page.screenshot(path=target)
    print(f"{target.name}: {target.stat().st_size:,} bytes")  # noqa: T201 - a script


if __name__ == "__main__":
    main()
