"""What waits for an answer in a dialog ends with the page that the dialog is on."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser import dashboard_process
from tests.process import bank_process

_PATIENCE_MS = 20_000


def test_a_dialog_ends_with_its_page(chromium: Browser, tmp_path: Path) -> None:
    """Whether somebody says that it is meant, or why it is done."""
    expect.set_options(timeout=_PATIENCE_MS)
    with (
        bank_process(tmp_path / "data") as bank,
        dashboard_process(tmp_path / "dashboard.log", bank.url, app="tests.watched.main:application") as dashboard,
    ):
        watching = chromium.new_context(base_url=dashboard.url).new_page()
        watching.goto("/dialogs")
        for path, name in (("/views", "Rebuild daily_spending"), ("/system", "Pause card-balance")):
            page = chromium.new_context(base_url=dashboard.url).new_page()
            page.goto(path)
            page.get_by_role("button", name=name, exact=True).click()
            expect(page.get_by_role("dialog")).to_be_visible()
            expect(watching.get_by_text("1 dialogs wait")).to_be_visible()
            page.context.close()
            expect(watching.get_by_text("0 dialogs wait")).to_be_visible()
        watching.context.close()
        assert "Traceback" not in dashboard.process.text()
        assert "deleted" not in dashboard.process.text()
