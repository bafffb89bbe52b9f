"""The simulator: one thread takes one step after the other, each by its own share of the seed, and meets the faults.

So that a run is the same whenever its seed is, a step's choices are its own: a fault that is taken out of the script
changes no choice of another step.
"""

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random

from structlog.testing import capture_logs

from mainstem.application import Sides
from mainstem.errors import Fenced, MainstemError, StoreBusy, StoreFull
from mainstem.log.port import Place
from mainstem.testing.simulation.checks import complaints, fingerprint
from mainstem.testing.simulation.client import Client
from mainstem.testing.simulation.declared import Crash, Run, Simulation, Wrong
from mainstem.testing.simulation.faults import Planned
from mainstem.testing.simulation.life import ARCHIVE, FORGET, OLAP, REBUILD, Life
from mainstem.testing.simulation.mishaps import Mishaps
from mainstem.testing.simulation.people import People
from mainstem.testing.simulation.statements import Moment, Statements
from mainstem.testing.simulation.virtual import VirtualTime
from mainstem.testing.simulation.watch import Watch

_COMMANDS = "commands"
_WEIGHTS = {_COMMANDS: 16, "relay": 8, "processes": 6, "snapshots": 2, "sealing": 1, "housekeeping": 1, REBUILD: 1}
_WEIGHTS |= {ARCHIVE: 1, FORGET: 1}
_WEIGHT = 3
_STEP_MAX_MS = 50
_REST_STEP_MS, _REST_ROUNDS = 200, 600
_STARTS_MAX = 20
_WHY_NO_REST = 5
_NOT_KEPT = shutil.ignore_patterns("*-shm", "mainstem.lock")
"""What the system takes away with a process that dies, or makes anew."""


class Simulator:
    """One run. It is the world that its lives are lived in."""

    def __init__(self, simulation: Simulation, seed: int, planned: Sequence[Planned], root: Path) -> None:
        self._simulation, self._seed, self._faults = simulation, seed, planned
        self._planned: dict[int, list[Planned]] = defaultdict(list)
        for each in planned:
            self._planned[each.at].append(each)
        self.step = 0
        self.trace: list[str] = []
        self.clock = VirtualTime()
        self.choice = Random(f"{seed}")
        deciders = simulation.application.configured(simulation.settings).all_deciders()
        self.client = Client(simulation.commands(Random(f"{seed} commands")), deciders)
        self.statements = Statements(root, self.clock, self.reached)
        self.mishaps = Mishaps(self)
        self.people = People(simulation.subjects)
        self.life: Life
        self._root, self._folders = root, 0
        self._folder = self._new_folder()
        self._watch = Watch()
        self._events = 0
        self._quiet, self._resting, self._starting, self._depth = True, False, True, 0

    def run(self) -> Run:
        """All steps, with a rest in the middle and at the end. Raises Wrong."""
        with self.clock.everywhere(self._seed), self.statements.met(), capture_logs():
            self._live()
            try:
                steps = self._simulation.steps
                for number in range(steps):
                    self.step = number
                    self._take_step()
                    if number in (steps // 2, steps - 1):
                        self._rest()
            finally:
                self._quiet = True
                self.life.end()
        digest = hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]
        asked, lives = len(self.client.asked), self._folders
        return Run(self._seed, digest, self.trace, self._simulation.steps, asked, self._events, lives, self._faults)

    def tell(self, text: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{self.step:4d} {self.clock.ran_ms:9d} ms  {'    ' * self._depth}{text}")

    def stages(self) -> list[str]:
        """The names of all, in one order."""
        return [_COMMANDS, *self.life.stages()]

    # Steps

    def _take_step(self) -> None:
        self.choice = Random(f"{self._seed} step {self.step}")
        self.clock.run(self.choice.randint(1, _STEP_MAX_MS))
        try:
            with self._quietly():  # a fault is done as a whole: what it has changed is to be known
                for each in self._planned[self.step]:
                    self.mishaps.begin(each)
            self.mishaps.pass_by()
            names = [name for name in self.stages() if not self.mishaps.stalls(name)]
            if names:
                self._carry_out(self._chosen(names))
            self._look()
        except Crash as crash:
            self._die(crash)

    def _chosen(self, names: Sequence[str]) -> str:
        return self.choice.choices(names, [_WEIGHTS.get(name, _WEIGHT) for name in names])[0]

    def _carry_out(self, name: str) -> int:
        """One step of a stage; its trouble is met as its thread would meet it. How much was done. Raises Wrong."""
        done = 0
        try:
            done = self._work(name)
            if not self._depth:
                self.statements.over()
        except Fenced as error:
            told = self._fenced(name, error)
        except StoreFull as error:
            if not self.statements.full:
                raise Wrong(f"{name} fails: {error!r}") from error
            told = "finds no room"
        except StoreBusy as error:
            told = f"waits: {str(error)[:60]}"
        except MainstemError as error:
            raise Wrong(f"{name} fails: {error!r}") from error
        else:
            told = str(done)
        if done or not self._resting:
            self.tell(f"{name}: {told}")
        return done

    def _work(self, name: str) -> int:
        life = self.life
        if name == _COMMANDS:
            commands, events = life.running.commands, life.running.events
            done = self.client.step(commands, events, self.clock(), self.choice, new=not self._resting)
            if self.client.wrong:
                raise Wrong(*self.client.wrong)
            return done
        done = life.stages()[name](self.choice)
        if name in life.members and life.at_work.overtaken and life.at_work.strict:
            raise Wrong(f"{name} was not fenced, and has written what another member had done")
        return done

    def _fenced(self, name: str, error: Fenced) -> str:
        """Only where there is another member, or was, which was faster."""
        life = self.life
        if name not in life.contested:
            raise Wrong(f"{name} is fenced, and has no other member: {error}")
        if len(life.members[name]) == 1:
            life.contested.discard(name)  # from here on it stands where its group does
        if self.choice.random() < 0.5:
            self.life.leave(name, self.life.at_work)
            return "is fenced, and gone"
        return "is fenced"

    def _look(self) -> None:
        with self._quietly():
            self._watch.look(self.life)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Nothing comes between."""
        quiet, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = quiet

    # Rests

    def _rest(self) -> None:
        """Nothing goes wrong any more until all is done; then everything must hold."""
        self.mishaps.calm()
        self.client.lost = 0
        self.clock.catch_up()  # what was to be done later than now is not late, and is waited for
        self._resting, self.choice = True, Random(f"{self._seed} rest {self.step}")
        self.life.resting = True
        for group in self.life.members:
            self.life.leave_all_but_last(group)
        for _ in range(_REST_ROUNDS):
            self.clock.run(_REST_STEP_MS)
            done = sum([self._carry_out(name) for name in self.stages() if name not in (REBUILD, FORGET)])
            self._look()
            if not done and not self.client.waiting and not self.life.behind():
                break
        else:
            waiting = len(self.client.waiting)
            wrong = f"no rest: {', '.join(self.life.behind()) or 'nothing'} behind, {waiting} commands wait"
            with self._quietly():
                raise Wrong(wrong, *islice(self._complaints(), _WHY_NO_REST))
        with self._quietly():
            self._check()
        self._resting = self.life.resting = False

    def _complaints(self) -> Iterator[str]:
        return complaints(self.life.running, self.client.asked, self.mishaps.again)

    def _check(self) -> None:
        running, wrong = self.life.running, list(self._complaints())
        wrong += self.people.complaints(running)
        sides = Sides(running.events, running.log, running.views, running.olap)
        for invariant in self._simulation.invariants:
            wrong += invariant(sides)
        if wrong:
            raise Wrong(*wrong)
        self._events, told = fingerprint(running)
        self.tell(f"rests: {self._events} events, all {told}")

    # Lives

    def _new_folder(self) -> Path:
        self._folders += 1
        return self._root / f"life-{self._folders}"

    def _live(self) -> None:
        """Open the files, which the process may die of too."""
        for _ in range(_STARTS_MAX):
            self._quiet, self._starting = False, True
            try:
                self.life = Life(self._simulation, self._folder, self.clock, self)
                self.statements.over()
            except Crash as crash:
                self.tell(f"dies at its start: {crash.at}")
                self._bury(crash)
            except MainstemError as error:
                raise Wrong(f"the files cannot be opened again: {error!r}") from error
            else:
                self._starting = False
                return
        raise Wrong(f"it has died at {_STARTS_MAX} starts")

    def _die(self, crash: Crash) -> None:
        self._depth = 0
        self.tell(f"dies: {crash.at}")
        self.life.end()
        self._bury(crash)
        self._live()

    def _bury(self, crash: Crash) -> None:
        self.statements.forget()
        self.mishaps.forget()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = crash.folder

    def die(self, at: str) -> None:
        """What the files hold at this moment is what the next life finds."""
        self._quiet = True
        folder = self._new_folder()
        shutil.copytree(self._folder, folder, ignore=_NOT_KEPT)
        raise Crash(folder, at)

    # What comes between

    @contextmanager
    def within(self, what: str) -> Iterator[None]:
        """In the middle of a step something else comes."""
        self.tell(what)
        at_work = self.life.at_work
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self.life.at_work = at_work

    def goes_on_beside(self, name: str, steps: int) -> bool:
        """While a transaction on the file stays open, what does not wait for it goes on. Whether there was any."""
        if self._depth or self._resting or self._starting:
            return False
        beside = [each for each in self._beside(name) if not self.mishaps.stalls(each)]
        if not beside:
            return False
        with self.within(f"{name} is slow to commit"):
            for _ in range(steps):
                self._carry_out(self._chosen(beside))
        return True

    def _beside(self, name: str) -> list[str]:
        datasources = [group for group in self.life.members if group.startswith(OLAP)]
        return {
            "events.db": ["relay", *self.life.members],
            "log.db": [_COMMANDS, "snapshots"],
            "views.db": [_COMMANDS, "snapshots", "relay", *datasources],
        }[name]

    def reached(self, moment: Moment, place: str) -> None:
        """A moment of a transaction has come."""
        if not self._quiet:
            self.mishaps.reached(moment, place)

    def loses_answer(self) -> bool:
        """Whether that of a process's command is lost."""
        return self.mishaps.loses_answer()

    def pieces(self) -> Random | None:
        """What chooses the pieces in which records come."""
        return self.choice if self.mishaps.reorders else None

    def polled(self, group: str, places: Sequence[Place]) -> None:
        """A member holds records."""
        self.life.at_work.holds = set(places)
        self._between(group, "polled")

    def sent(self, group: str) -> None:
        """A member has sent."""
        self._between(group, "sent")

    def _between(self, group: str, when: str) -> None:
        if not self._depth and not self._resting:
            self.mishaps.between(group, self.life.at_work, when, speaks=self.life.speaks(group))
