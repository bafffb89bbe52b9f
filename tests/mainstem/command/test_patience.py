"""Answers that are overdue: each caller is told in time, and nothing is kept of those that were answered."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from bank.card import CARD, OpenCard
from mainstem.command.answer import Answer
from mainstem.command.bus import BusLimits, CommandBus
from mainstem.command.handler import Handler
from mainstem.command.patience import Patience
from mainstem.errors import AnswerTimeout
from mainstem.eventstore.sqlite import SqliteEventStore

_ANSWER = Answer(aggregate_id="1", version=1, occurred_at_ms=1)


def test_each_is_overdue_at_its_own_time() -> None:
    async def story() -> list[float]:
        loop = asyncio.get_running_loop()
        patience, began, told = Patience(loop, 0.2), loop.time(), list[float]()

        async def caller(after_s: float) -> None:
            await asyncio.sleep(after_s)
            future: asyncio.Future[Answer] = loop.create_future()
            patience.wait_for(future)
            with pytest.raises(AnswerTimeout):
                await future
            told.append(loop.time() - began - after_s)

        await asyncio.gather(*(caller(after_s) for after_s in (0.0, 0.05, 0.1, 0.5)))
        return told

    waited = asyncio.run(story())
    assert len(waited) == 4
    assert min(waited) >= 0.199
    assert max(waited) < 5


def test_who_is_answered_or_gone_is_not_kept_and_not_told() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        patience = Patience(loop, 0.05)
        answered, gone, late = (loop.create_future() for _ in range(3))
        for future in (answered, gone, late):
            patience.wait_for(future)
        answered.set_result(_ANSWER)
        gone.cancel()
        with pytest.raises(AnswerTimeout):
            await late
        assert answered.result() is _ANSWER
        for _ in range(1_000):
            future = loop.create_future()
            patience.wait_for(future)
            future.set_result(_ANSWER)
        assert len(patience._waiting) == 1

    asyncio.run(story())


def test_a_command_that_nobody_carries_out_is_overdue(tmp_path: Path) -> None:
    store = SqliteEventStore(tmp_path / "events.db", [], clock_ms=lambda: 1)
    bus = CommandBus(store, Handler([CARD], clock_ms=lambda: 1), limits=BusLimits(answer_timeout_s=0.05))
    bus.open()
    for _ in range(2):  # each time in another loop
        with pytest.raises(AnswerTimeout, match="may still be carried out"):
            asyncio.run(bus.send(OpenCard(card="1", limit=Decimal(1))))
    assert len(bus._patience) == 1
    bus.stop()
    store.close()
