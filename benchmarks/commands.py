"""Commands in process: so many a second by 16 callers, and what a long stream costs."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from bank.card import OpenCard, Withdraw
from bank.main import application
from figures import Figure, medians, peer, percentile, quiet, show
from mainstem.assembly import Embedded, embedded
from mainstem.settings import Settings

CALLERS = 16
SECONDS = 3.0
SHORT, LONG = 10, 100_000
_LIMIT = Decimal(10) ** 12
_ONE = Decimal("1.00")


@contextmanager
def writing(cards: int, remembered: int = 10_000) -> Iterator[Embedded]:
    """The write side with its capture, synchronous=FULL; the stages behind it do not run."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), log_level="error", aggregates_remembered=remembered)
        running = embedded(application, settings)
        running.commands.start()
        try:
            for card in range(cards):
                running.commands.execute(OpenCard(card=f"card-{card}", limit=_LIMIT))
            yield running
        finally:
            running.stop()


def by_tasks(cards: int) -> float:
    """Commands a second by 16 tasks of one event loop."""
    with writing(cards) as running:
        return asyncio.run(_tasks(running, cards))


async def _tasks(running: Embedded, cards: int) -> float:
    began, done = time.monotonic(), 0

    async def call(number: int) -> None:
        nonlocal done
        while time.monotonic() < began + SECONDS:
            await running.commands.send(Withdraw(card=f"card-{number % cards}", amount=_ONE))
            done += 1

    await asyncio.gather(*(call(number) for number in range(CALLERS)))
    return done / (time.monotonic() - began)


def by_threads(cards: int) -> float:
    """Commands a second by 16 threads."""
    with writing(cards) as running:
        began, done = time.monotonic(), [0] * CALLERS

        def call(number: int) -> None:
            while time.monotonic() < began + SECONDS:
                running.commands.execute(Withdraw(card=f"card-{number % cards}", amount=_ONE))
                done[number] += 1

        threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.monotonic() - began)


def cost(events: int) -> float:
    """The median seconds of one command on a card with so many events, each loaded anew: nothing is remembered."""
    with writing(2, remembered=1) as running:
        asyncio.run(_fill(running, events))
        taken = []
        for _ in range(500):
            running.commands.execute(Withdraw(card="card-1", amount=_ONE))  # so that card-0 is not remembered
            began = time.perf_counter()
            running.commands.execute(Withdraw(card="card-0", amount=_ONE))
            taken.append(time.perf_counter() - began)
        return percentile(taken, 50) * 1e6


async def _fill(running: Embedded, events: int) -> None:
    left = events - 1

    async def call() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await running.commands.send(Withdraw(card="card-0", amount=_ONE))

    await asyncio.gather(*(call() for _ in range(256)))


def main() -> None:
    """All of it, against `eventsourcing` 9.5.6 on SQLite with synchronous=FULL."""
    quiet()
    figures = []
    for cards, name in ((CALLERS, "a card for each caller"), (1, "one card for all callers")):
        words = ("commands", "--callers", str(CALLERS), "--cards", str(cards), "--seconds", str(SECONDS))
        tasks, threads, plain, cached = medians(
            name,
            lambda cards=cards: by_tasks(cards),
            lambda cards=cards: by_threads(cards),
            lambda words=words: peer(*words)["rate"],
            lambda words=words: peer(*words, "--cached")["rate"],
        )
        for ours, how in ((tasks, "tasks"), (threads, "threads")):
            figures += [
                Figure(f"{name}, 16 {how}", ours, plain, "commands/s", "eventsourcing", ">= 20"),
                Figure(f"{name}, 16 {how}", ours, cached, "commands/s", "eventsourcing, with its cache", ">= 20"),
            ]
    long, short = medians("long streams", lambda: cost(LONG), lambda: cost(SHORT))
    against = f"a card with {SHORT} events"
    figures.append(Figure(f"one command, card with {LONG} events", long, short, "us", against, "<= 1.5"))
    show("Commands in process", figures)


if __name__ == "__main__":
    main()
