"""What the faults of a script do, and which of them are waiting for their moment."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from mainstem.cdc.relay import producer_of
from mainstem.errors import MainstemError, StoreFull
from mainstem.log.port import Place, Range
from mainstem.testing.simulation.checks import Again
from mainstem.testing.simulation.client import Client
from mainstem.testing.simulation.faults import Fault, Planned
from mainstem.testing.simulation.life import DRIVER, OLAP_FILE, Life, Member
from mainstem.testing.simulation.statements import Moment, Statements
from mainstem.testing.simulation.virtual import VirtualTime

FILES = ("events.db", "log.db", "views.db")
_DIES_AT = (*Moment, OLAP_FILE, DRIVER)
"""A moment of any transaction, or anything of these two, which come less often than the others by so much:"""

_RARE = 10
_LASTS_MS = 25
"""What lasts, lasts so long for each of how much it is."""

_LEAPS_MS = (-50, 1_000, 1_000, 60_000)


class Met(Protocol):
    """What faults do their work on: a run, at the step that it is at."""

    step: int
    clock: VirtualTime
    client: Client
    statements: Statements
    life: Life

    def tell(self, text: str) -> None:
        """A line of the trace."""

    def stages(self) -> Sequence[str]:
        """The names of all stages."""

    def die(self, at: str) -> None:
        """The process dies; does not return."""

    def within(self, what: str) -> AbstractContextManager[None]:
        """In the middle of a step something else comes."""

    def goes_on_beside(self, name: str, steps: int) -> bool:
        """While a transaction on the file stays open, other stages take steps; whether there was any."""


class Mishaps:
    """Of one run, through all of its lives."""

    def __init__(self, simulator: Met) -> None:
        self._simulator = simulator
        self.again: set[Again] = set()
        self._begins: Mapping[Fault, Callable[[Planned], str]] = {
            Fault.CRASH: self._arm_crash,
            Fault.UNANSWERED: self._lose_answers,
            Fault.DUPLICATE: self._send_again,
            Fault.OFFSETS_BACK: self._put_offsets_back,
            Fault.REORDER: self._reorder,
            Fault.SLOW_COMMIT: self._arm_slow_commit,
            Fault.STALL: self._stall,
            Fault.REBALANCE: self._arm_rebalance,
            Fault.FULL_DISK: self._fill,
            Fault.TIME_LEAP: self._leap,
        }
        self.calm()

    def calm(self) -> None:
        """Nothing is wrong, and nothing waits to go wrong."""
        self._crashes: list[tuple[str, int]] = []
        self._slow: list[tuple[str, int]] = []
        self._rebalances: list[Planned] = []
        self._unheard = 0
        self._reordered_until = 0
        self.forget()
        for name in self._simulator.statements.full:
            self._simulator.statements.empty(name)

    def forget(self) -> None:
        """The process has died: what it was held up by is over."""
        self._stalled: dict[str, int] = {}
        self._full: dict[str, int] = {}

    def begin(self, planned: Planned) -> None:
        """What is planned for this step."""
        self._simulator.tell(f"! {planned.fault}: {self._begins[planned.fault](planned)}")

    def pass_by(self) -> None:
        """What was to last for a while, and has."""
        now_ms = self._simulator.clock.ran_ms
        self._stalled = {name: until for name, until in self._stalled.items() if until > now_ms}
        for name in [name for name, until in self._full.items() if until <= now_ms]:
            del self._full[name]
            self._simulator.statements.empty(name)

    def stalls(self, stage: str) -> bool:
        """Whether the stage does nothing now."""
        return stage in self._stalled

    @property
    def reorders(self) -> bool:
        """Whether records come in pieces now."""
        return self._simulator.step < self._reordered_until

    def loses_answer(self) -> bool:
        """Whether the next answer to a process is lost."""
        if not self._unheard:
            return False
        self._unheard -= 1
        return True

    def reached(self, moment: Moment, place: str) -> None:
        """Some crashes and slow commits have waited for this moment."""
        self._crashes = [(wanted, left - (wanted in (moment, place))) for wanted, left in self._crashes]
        due = next((each for each in self._crashes if each[1] <= 0), None)
        if due is not None:
            self._crashes.remove(due)
            self._simulator.die(f"{moment} of {place}")
        if moment is Moment.COMMIT:
            slow = next((each for each in self._slow if each[0] == place), None)
            if slow is not None and self._simulator.goes_on_beside(*slow):
                self._slow.remove(slow)

    def between(self, group: str, member: Member, when: str, *, speaks: bool) -> None:
        """A member has polled, or sent; `speaks` is whether its group ever sends."""
        for planned in self._rebalances:
            if when == ("sent" if planned.where % 2 and speaks else "polled"):
                self._rebalances.remove(planned)
                self._take_over(group, member, planned.much)
                return

    def _take_over(self, group: str, member: Member, batches: int) -> None:
        simulator = self._simulator
        views = simulator.life.running.views
        before, done = views.offsets(group), 0
        with simulator.within(f"another member of {group} takes over"):
            simulator.life.at_work = other = simulator.life.join(group)
            try:
                for _ in range(batches):
                    done += other.step()
            except MainstemError as error:
                simulator.tell(f"it fails: {type(error).__name__}")
            simulator.tell(f"it has done {done}")
        moved = {place for place, offset in views.offsets(group).items() if offset != before.get(place)}
        member.overtaken = bool(moved & member.holds)

    def _arm_crash(self, planned: Planned) -> str:
        wanted = _DIES_AT[planned.where % len(_DIES_AT)]
        left = planned.much if wanted in tuple(Moment) else 1 + planned.much // _RARE
        self._crashes.append((wanted, left))
        return f"at {wanted} number {left}"

    def _arm_slow_commit(self, planned: Planned) -> str:
        name = FILES[planned.where % len(FILES)]
        self._slow.append((name, planned.much))
        return f"of {name}"

    def _arm_rebalance(self, planned: Planned) -> str:
        self._rebalances.append(planned)
        return f"once records are {'sent' if planned.where % 2 else 'polled'}"

    def _lose_answers(self, planned: Planned) -> str:
        if planned.where % 2:
            self._simulator.client.lost += planned.much
            return f"{planned.much} of clients"
        self._unheard += planned.much
        return f"{planned.much} of processes"

    def _reorder(self, planned: Planned) -> str:
        self._reordered_until = self._simulator.step + planned.much
        return f"until step {self._reordered_until}"

    def _stall(self, planned: Planned) -> str:
        names = self._simulator.stages()
        name = names[planned.where % len(names)]
        self._stalled[name] = self._simulator.clock.ran_ms + planned.much * _LASTS_MS
        return f"{name} for {planned.much * _LASTS_MS} ms"

    def _fill(self, planned: Planned) -> str:
        name = FILES[planned.where % len(FILES)]
        self._full[name] = self._simulator.clock.ran_ms + planned.much * _LASTS_MS
        self._simulator.statements.fill(name)
        return f"{name} for {planned.much * _LASTS_MS} ms"

    def _leap(self, planned: Planned) -> str:
        leap_ms = _LEAPS_MS[planned.where % len(_LEAPS_MS)] * planned.much
        self._simulator.clock.leap(leap_ms)
        return f"{leap_ms:+d} ms"

    def _send_again(self, planned: Planned) -> str:
        """As a capture that is at least once does after its restart: from a change before on, in the same order."""
        running = self._simulator.life.running
        position = running.log.last_sequence(producer_of(running.application.name)) or 0
        after = max(0, position - planned.much)
        records = running.capture.read(after, planned.much).records
        records = [each for each in records if int((each.identity or "::").split(":")[1]) <= position]
        before = {name: running.log.ranges(name) for name in {each.topic for each in records}}
        try:
            running.log.append([msgspec.structs.replace(each, identity=None) for each in records])
        except StoreFull:
            return "nothing, the disk is full"
        for name, ranges in before.items():
            self.again.update(_new(name, ranges, running.log.ranges(name)))
        return f"{len(records)} changes behind position {after}"

    def _put_offsets_back(self, planned: Planned) -> str:
        running = self._simulator.life.running
        groups = list(self._simulator.life.members)
        group = groups[planned.where % len(groups)]
        begins = {
            (topic, n): held.begin for topic in running.log.topics() for n, held in running.log.ranges(topic).items()
        }
        back: dict[Place, int] = {
            place: max(begins[place], offset - planned.much) for place, offset in running.log.committed(group).items()
        }
        try:
            running.log.commit(group, back)
        except StoreFull:
            return "nothing, the disk is full"
        return f"of {group} by {planned.much}"


def _new(topic: str, before: Mapping[int, Range], now: Mapping[int, Range]) -> set[Again]:
    return {(topic, n, offset) for n, held in now.items() for offset in range(before[n].end, held.end)}
