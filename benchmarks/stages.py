"""What a command costs in each stage of the embedded form, alone: microseconds of processor time, by batches and cards.

Clocks say little on a shared machine; the processor's time says what a stage takes from the others of its process.
"""

import gc
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from bank.card import OpenCard, Withdraw
from bank.main import application
from figures import Figure, quiet, show
from mainstem.assembly import Embedded, embedded
from mainstem.settings import Settings

COMMANDS, CHUNK = 10_240, 512
"""So many commands; after each chunk of them, which is about what comes in 0.1 s, the other stages take their turns."""

SHAPES = ((16, 1), (16, 16), (256, 1), (256, 1_000))
"""Commands to a batch of the writer, and cards."""

_LIMIT, _ONE = Decimal(10) ** 12, Decimal("1.00")


def measured(batch: int, cards: int) -> Counter[str]:
    """Nanoseconds by stage, of all commands."""
    with tempfile.TemporaryDirectory() as name:
        bank = embedded(application, Settings(data_dir=Path(name) / "data", log_level="error"))
        bank.commands.open()
        for card in range(cards):
            bank.commands.execute(OpenCard(card=f"card-{card}", limit=_LIMIT))
        _take_turns(bank, Counter())
        gc.collect()
        gc.freeze()  # as the server does once it has started
        spent, numbers = Counter[str](), itertools.cycle(range(cards))
        for _ in range(COMMANDS // CHUNK):
            for _ in range(CHUNK // batch):
                for _ in range(batch):
                    bank.commands.submit(Withdraw(card=f"card-{next(numbers)}", amount=_ONE))
                _timed(spent, "commands", bank.commands.step)
            _take_turns(bank, spent)
        bank.stop()
        return spent


def _take_turns(bank: Embedded, spent: Counter[str]) -> None:
    stages: dict[str, Callable[[], int]] = {"relay": bank.relay.step}
    stages |= {group: runner.step for group, runner in bank.listeners.items()}
    stages |= {f"olap-{name}": ingestion.step for name, ingestion in bank.ingestions.items()}
    for name, step in stages.items():
        while _timed(spent, name, step):
            continue


def _timed(spent: Counter[str], name: str, step: Callable[[], int]) -> int:
    began = time.process_time_ns()
    done = step()
    spent[name] += time.process_time_ns() - began
    return done


def main() -> None:
    """All shapes."""
    quiet()
    for batch, cards in SHAPES:
        spent = measured(batch, cards)
        spent["all stages"] = spent.total()
        figures = [Figure(name, ns / COMMANDS / 1_000, None, "us/command", "", "") for name, ns in spent.items()]
        show(f"Processor time, batches of {batch}, {cards} cards", figures)


if __name__ == "__main__":
    main()
