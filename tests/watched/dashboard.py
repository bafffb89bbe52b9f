"""A page of the dashboard about the dashboard itself: how many dialogs somebody is waited for in."""

import asyncio
from typing import Any

from nicegui import ui

from mainstem.dashboard.asking import answer_of
from mainstem.dashboard.frame import Desk, Page


def _waits_for_an_answer(task: "asyncio.Task[Any]") -> bool:
    inner: Any = task.get_coro()
    while inner is not None:
        if getattr(inner, "cr_code", None) is answer_of.__code__:
            return True
        inner = getattr(inner, "cr_await", None)
    return False


def build(_: Desk) -> None:
    """The page."""
    count = ui.label().props("role=status")

    def look() -> None:
        count.set_text(f"{sum(map(_waits_for_an_answer, asyncio.all_tasks()))} dialogs wait")

    ui.timer(0.2, look)


PAGES = (Page("/dialogs", "Dialogs", build),)
