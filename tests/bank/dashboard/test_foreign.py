"""The dashboard before an API that answers what no application of mainstem does, and with keys that may be anything."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Told, dashboard_process

_PATIENCE_MS = 30_000


@contextmanager
def answering(content: Any) -> Iterator[str]:
    """A server that has the same JSON for every path."""
    body = json.dumps(content).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _page(chromium: Browser, url: str) -> tuple[Page, Told]:
    context = chromium.new_context(base_url=url)
    context.set_default_timeout(_PATIENCE_MS)
    expect.set_options(timeout=_PATIENCE_MS)
    page = context.new_page()
    return page, Told(page)


@pytest.mark.parametrize("content", [{"a": 1}, [1], "x"])
def test_another_api_is_told_from_the_applications(chromium: Browser, tmp_path: Path, content: Any) -> None:
    with answering(content) as api, dashboard_process(tmp_path / "dashboard.log", api) as dashboard:
        page, told = _page(chromium, dashboard.url)
        for path in ("", "views", "dead-letters", "system"):
            page.goto(f"/{path}")
            expect(page.locator(".ms-error:visible").first).to_contain_text(
                "does not understand: is it the application?"
            )
        assert told.errors == []
        page.context.close()


def test_keys_may_be_anything(chromium: Browser, tmp_path: Path) -> None:
    """None keeps those behind it from being shown, nor is a part of the page."""
    keys = ["a\nb\x00c\x1b[31m", "x" * 100_000, '"><img src=x onerror=alert(1)>', "it's \\ `c`", "\ud800", "plain"]
    letters = [
        {
            "listener": "l",
            "id": f"0-{number}",
            "key": key,
            "reason": "failed",
            "cause": "ValueError: no",
            "origin": f"t/0@{number}",
            "edited": False,
            "at": "2026-01-31T09:30:00.000Z",
        }
        for number, key in enumerate(keys)
    ]
    with answering(letters) as api, dashboard_process(tmp_path / "dashboard.log", api) as dashboard:
        page, told = _page(chromium, dashboard.url)
        page.goto("/dead-letters")
        items = page.get_by_role("listitem")
        expect(items).to_have_count(len(keys))
        expect(items.last).to_contain_text("l: plain")
        assert page.locator("img").count() == 0
        page.get_by_role("button", name="Drop key").first.click()
        expect(page.get_by_role("dialog")).to_contain_text("Drop key a�b�c�[31m of l")
        page.get_by_role("button", name="Leave it").click()
        page.get_by_role("button", name="Retry key x").click()
        assert len(page.get_by_role("dialog").inner_text()) < 1_000
        assert told.errors == []
        page.context.close()
