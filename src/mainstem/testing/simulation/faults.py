"""Faults as data: what goes wrong at which step. A script of them is made of the seed, or written by hand."""

from collections.abc import Collection
from enum import StrEnum
from random import Random

from msgspec import Struct


class Fault(StrEnum):
    """What may go wrong."""

    CRASH = "crash"
    """The process dies: before, within or behind a transaction. What its files hold then is all that is left."""

    UNANSWERED = "unanswered"
    """A command is carried out, and its answer is lost on the way."""

    DUPLICATE = "duplicate"
    """The capture begins anew some changes before: these come a second time, behind those that came."""

    OFFSETS_BACK = "offsets-back"
    """What a group has told the log of its offsets is gone back: the log takes it to be where it was before."""

    REORDER = "reorder"
    """For a while records come in small pieces, those of the partitions in any order among each other."""

    SLOW_COMMIT = "slow-commit"
    """A transaction is long about to commit; meanwhile the stages that do not wait for its file go on."""

    STALL = "stall"
    """A stage does nothing for a while."""

    REBALANCE = "rebalance"
    """In the middle of a batch another member takes the partitions over; the first knows nothing of it yet."""

    FULL_DISK = "full-disk"
    """For a while a file cannot grow."""

    TIME_LEAP = "time-leap"
    """The clock is put forward by up to hours, or back by up to seconds."""


FAULTS = tuple(Fault)

_EVERY = 7
"""On the average a fault comes so many steps behind the one before."""

_MUCH = {
    Fault.CRASH: 30,
    Fault.UNANSWERED: 4,
    Fault.DUPLICATE: 40,
    Fault.OFFSETS_BACK: 40,
    Fault.REORDER: 60,
    Fault.SLOW_COMMIT: 5,
    Fault.STALL: 40,
    Fault.REBALANCE: 3,
    Fault.FULL_DISK: 25,
    Fault.TIME_LEAP: 100,
}
_PLACES = 1_000


class Planned(Struct, frozen=True, array_like=True):
    """A fault that comes at a step. `where` picks the place that it meets, `much` is how long or how much of it.

    Of a crash, `where` picks the moment and `much` counts those moments until it comes.
    """

    at: int
    fault: Fault
    where: int = 0
    much: int = 1

    def __str__(self) -> str:
        return f"step {self.at}: {self.fault}, where {self.where}, much {self.much}"


def script(seed: int, steps: int, kinds: Collection[Fault] = FAULTS) -> tuple[Planned, ...]:
    """The faults of a run of so many steps, by its seed."""
    choice = Random(f"{seed} faults")
    known = [kind for kind in Fault if kind in kinds]
    planned: list[Planned] = []
    at = 0
    while known:
        at += choice.randint(1, 2 * _EVERY - 1)
        if at >= steps:
            break
        kind = choice.choice(known)
        planned.append(Planned(at, kind, choice.randrange(_PLACES), choice.randint(1, _MUCH[kind])))
    return tuple(planned)
