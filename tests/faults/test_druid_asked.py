"""Whoever looks after Druid does not take its threads while it waits for tasks that say nothing."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import pytest

from deploy.configuration import Place
from mainstem.errors import StoreBusy, StoreUnavailable
from mainstem.olap.druid_supervisor import Supervisors
from tests.druid import fed
from tests.faults.parts import eventually, frozen, kill_part, sales, start_parts

pytestmark = [pytest.mark.stack, pytest.mark.slow]

_CALLERS = 24
"""So many ask through one client, each again as soon as it has given up."""

_LOOKING_S = 40.0


@pytest.fixture
def whole(stack: Place) -> Iterator[Place]:
    """The stack, all of which runs again afterwards."""
    try:
        yield stack
    finally:
        start_parts()


def test_it_answers_others_while_its_tasks_are_silent(whole: Place) -> None:
    held, rows = sales()
    own = Supervisors(f"http://{whole.host}:{whole.ports.coordinator}")

    def look() -> None:
        until = time.monotonic() + _LOOKING_S
        while time.monotonic() < until:
            with suppress(StoreUnavailable, StoreBusy):
                own.ingested(held.name)
                time.sleep(0.2)

    with fed(whole, [held], rows, {held.name: 2}) as supervisors, ExitStack() as stack:
        stack.enter_context(frozen("druid-indexer"))
        stack.enter_context(closing(own))
        pool = stack.enter_context(ThreadPoolExecutor(_CALLERS))
        looking = [pool.submit(look) for _ in range(_CALLERS)]
        while not all(each.done() for each in looking):
            began = time.monotonic()
            assert held.name in supervisors.names()
            assert time.monotonic() - began < 5
            time.sleep(0.5)
        for each in looking:
            each.result()


def test_a_task_that_nobody_runs_is_seen_and_ended(whole: Place) -> None:
    """As Druid has it for a moment where the process of a task has died and come back, and sometimes for long."""
    held, rows = sales()
    with fed(whole, [held], rows, {held.name: 2}) as supervisors:
        assert supervisors.lost_tasks(held.name) == frozenset()
        kill_part("druid-indexer")
        start_parts()
        eventually(lambda: supervisors.status(held.name).tasks == 1, "no task is made anew")
        eventually(lambda: supervisors.lost_tasks(held.name) == frozenset(), "a task stays lost")
