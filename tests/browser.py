"""Chromium, for the tests that need a real browser, and the dashboard as a process."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.process import MainstemProcess

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-blink-features=ComputedAccessibilityInfo",
)


def executable() -> str | None:
    """Chromium of this machine, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser with a fresh profile. Without Chromium the tests are skipped.

    With MAINSTEM_REQUIRE_BROWSER=1 its absence is a failure.
    """
    found = executable()
    if found is None:
        text = "there is no Chromium: apt-get install chromium"
        if os.environ.get("MAINSTEM_REQUIRE_BROWSER") == "1":
            pytest.fail(text)
        pytest.skip(text)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


class DashboardProcess:
    """`mainstem dashboard` of an API, on a free port, with these settings."""

    def __init__(self, output: Path, api: str, **settings: str) -> None:
        self.url = ""
        self.process = MainstemProcess(output, settings, ("dashboard", "--api", api, "--port", "0"))

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.process.start(self._listens)

    def _listens(self) -> bool:
        found = re.search(r"The dashboard is at (http://[\d.]+:\d+)", self.process.text())
        self.url = found[1] if found else ""
        return found is not None


@contextmanager
def dashboard_process(output: Path, api: str, **settings: str) -> Iterator[DashboardProcess]:
    """A running dashboard, which must end well when it is asked to."""
    dashboard = DashboardProcess(output, api, **settings)
    dashboard.start()
    try:
        yield dashboard
        assert dashboard.process.stop() == 0, dashboard.process.text()
    finally:
        if dashboard.process.running():
            dashboard.process.kill()


class Told:
    """What a page has asked of the network, and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda each: self.errors.append(each.text) if each.type in ("error", "warning") else None)
        page.on("pageerror", lambda each: self.errors.append(str(each)))
        page.on("request", lambda each: self.requests.append(each.url))


def low_contrasts(page: Page) -> list[str]:
    """Texts that stand out from what is behind them by less than WCAG's AA wants."""
    found: list[str] = page.evaluate(_CONTRAST)
    return found


def nameless_controls(page: Page) -> list[str]:
    """Controls that have no name in Chromium's own tree for readers of the screen."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return [
        str(each["role"]["value"])
        for each in tree
        if not each["ignored"] and each["role"]["value"] in _CONTROLS and not each.get("name", {}).get("value")
    ]


def unreached_by_tab(page: Page) -> list[str]:
    """Controls that can be seen and used, and that the tab key does not come to."""
    page.evaluate("document.activeElement.blur()")
    total: int = page.evaluate(_MARK)
    for _ in range(total + 20):
        page.keyboard.press("Tab")
        page.evaluate("document.activeElement.closest('[data-control]')?.setAttribute('data-reached', '')")
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('[data-control]:not([data-reached])')].map(each => each.outerHTML.slice(0, 200))"
    )
    return found


_CONTROLS = {
    "button",
    "link",
    "textbox",
    "combobox",
    "slider",
    "checkbox",
    "radio",
    "searchbox",
    "spinbutton",
    "dialog",
}

_MARK = """
() => {
  const all = [...document.querySelectorAll('button, a[href], input, textarea, .q-slider [tabindex], [role=slider]')]
    .filter(each => each.checkVisibility() && !each.disabled && each.tabIndex >= 0);
  all.forEach(each => each.setAttribute('data-control', ''));
  return all.length;
}
"""

_CONTRAST = """
() => {
  const parsed = text => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return [found[0], found[1], found[2], found[3] === undefined ? 1 : found[3]];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement)
      layers.push(parsed(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = color => {
    const [r, g, b] = color.map(each => each / 255).map(each =>
      each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  for (const element of document.body.querySelectorAll('*')) {
    const text = [...element.childNodes].filter(each => each.nodeType === 3).map(each => each.data.trim()).join('');
    const style = getComputedStyle(element);
    if (!text || !element.checkVisibility({visibilityProperty: true}) || element.closest('.disabled, [disabled], svg'))
      continue;
    if (element.closest('.ms-skip, script, style')) continue;
    const back = behind(element);
    const [a, b] = [light(over(parsed(style.color), back)), light(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const wanted = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < wanted) bad.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)} ${style.color} on ${back}`);
  }
  return bad;
}
"""
