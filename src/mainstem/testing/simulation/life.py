"""One life of the process: the embedded application without its threads, a step for each thing that they do."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Protocol, cast

import msgspec

from mainstem.assembly.archiving import archive
from mainstem.assembly.embedded import embedded
from mainstem.assembly.running import drivers
from mainstem.assembly.sealing import seal_all
from mainstem.command.answer import Answer
from mainstem.command.bus import CommandBus
from mainstem.errors import AnswerTimeout
from mainstem.eventstore.archiving import Asked
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.port import Place
from mainstem.messages import SYSTEM, Command, Origin, Record
from mainstem.olap.ingestion import Ingestion
from mainstem.olap.port import Datasource, IngestingOlap
from mainstem.testing.simulation.declared import Simulation
from mainstem.testing.simulation.deliveries import Between, delivering
from mainstem.testing.simulation.letters import retry_all, settle
from mainstem.testing.simulation.people import People
from mainstem.testing.simulation.rebuilding import Rebuilding
from mainstem.testing.simulation.statements import Moment
from mainstem.testing.simulation.virtual import VirtualStop, VirtualTime

Stage = Callable[[Random], int]
"""Does one thing that there is to do; how much that was."""

OLAP, REBUILD, FORGET = "olap-", "rebuild", "forgetting"
OLAP_FILE = "analytics.duckdb"
DRIVER = "a process's command"
ARCHIVE = "archive"


class World(Between, Protocol):
    """What a life is lived in."""

    people: People

    def reached(self, moment: Moment, place: str) -> None:
        """A moment has come at which the process may die."""

    def loses_answer(self) -> bool:
        """Whether the answer to a process's command is lost."""

    def tell(self, text: str) -> None:
        """A line of the trace."""


class Member:
    """A member of a listener's group, or of a datasource's; `overtaken`: another has done what this one held."""

    def __init__(self, work: Callable[[], int], close: Callable[[], None], strict: bool) -> None:
        self._work = work
        self.close = close
        self.strict = strict
        """Whether it is told so, by Fenced; else what it has is taken to be done."""
        self.holds: set[Place] = set()
        self.overtaken = False

    def step(self) -> int:
        """One batch."""
        self.holds, self.overtaken = set(), False
        return self._work()


class Life:
    """From the opening of the files on. Raises what `embedded` raises."""

    def __init__(self, simulation: Simulation, folder: Path, clock: VirtualTime, world: World) -> None:
        self._world = world
        self._stop = VirtualStop(clock)
        self._choice = Random(0)
        self.resting = False
        """Whether dead letters are all tried again, so that those that wait then are those that fail."""
        settings = msgspec.structs.replace(simulation.settings, data_dir=folder)
        self.running = running = embedded(simulation.application, settings, clock_ms=clock)
        try:
            running.commands.open()
            writer = _Writer(running.commands, world)
            parts = (running.application, settings, writer, running.events, running.views)
            self.driver, _ = drivers(*parts, clock_ms=clock, at_once=1)
            self._log = delivering(running.log, world)
            self._olap = cast("IngestingOlap", _Dying(running.olap, world))
            self._makes = {b.group: self._listening(b) for b in running.application.all_listeners()}
            self._makes |= {f"{OLAP}{d.name}": self._ingesting(d) for d in running.application.datasources}
            self.members = {group: [make()] for group, make in self._makes.items()}
            self._rebuilding = Rebuilding(running, self._stop)
            self.contested: set[str] = set()
            self.olap_moved = True
            self.at_work = (
                next(iter(self.members.values()))[0] if self.members else Member(lambda: 0, lambda: None, False)
            )
        except BaseException:
            running.stop()
            raise

    def stages(self) -> dict[str, Stage]:
        """What can be done, by name; the commands of clients are not here."""
        running = self.running
        found: dict[str, Stage] = {"relay": lambda _: running.relay.step()}
        for group in self.members:
            found[group] = self._stage_of(group)
        if running.application.processes:
            found["processes"] = lambda _: self.driver.round()
        found["snapshots"] = lambda _: running.commands.keep_snapshots()
        found["sealing"] = lambda _: seal_all(running.integrity)
        found["housekeeping"] = self._tidy_up
        found[ARCHIVE] = self._archive
        found[FORGET] = lambda choice: self._world.people.step(running, choice)
        found[REBUILD] = self._rebuild
        return found

    def _tidy_up(self, _: Random) -> int:
        self.running.tidy_up(self._stop)
        return 0

    def _archive(self, _: Random) -> int:
        """All events that may go."""
        running = self.running

        def progress(_: int) -> None:
            self._world.reached(Moment.WRITE, ARCHIVE)

        moved = archive(running.application, running.settings, Asked(fingerprints=()), progress=progress)
        return moved.events

    def _rebuild(self, choice: Random) -> int:
        self.olap_moved = True
        return self._rebuilding.step(choice)

    def _stage_of(self, group: str) -> Stage:
        def step(choice: Random) -> int:
            self.olap_moved |= group.startswith(OLAP)
            self.at_work, self._choice = choice.choice(self.members[group]), choice
            return self.at_work.step()

        return step

    def join(self, group: str) -> Member:
        """A further member."""
        self.contested.add(group)
        self.members[group].append(self._makes[group]())
        return self.members[group][-1]

    def leave(self, group: str, member: Member) -> None:
        """It is gone, unless it is the last."""
        if len(self.members[group]) > 1:
            self.members[group].remove(member)
            member.close()

    def leave_all_but_last(self, group: str) -> None:
        """The members that came before it are gone."""
        for member in self.members[group][:-1]:
            self.leave(group, member)

    def speaks(self, group: str) -> bool:
        """Whether the group's listener sends anything."""
        return any(each.group == group and each.emit is not None for each in self.running.application.all_listeners())

    def behind(self) -> list[str]:
        """The stages that have something left to do."""
        running, log = self.running, self.running.log
        found = ["relay"] if running.relay.status().lag else []
        for binding in running.application.all_listeners():
            done = {place[1]: offset for place, offset in running.views.offsets(binding.group).items()}
            if any(log.lag(binding.topic, done).values()):
                found.append(binding.group)
        for datasource in running.application.datasources:
            done = {place[1]: offset for place, offset in running.olap.offsets(datasource).items()}
            if any(log.lag(datasource.topic, done).values()):
                found.append(f"{OLAP}{datasource.name}")
        return [*found, "processes"] if running.application.processes and self.driver.status().due else found

    def end(self) -> None:
        """Close the files; of a process that has died, whatever that leads to."""
        with suppress(Exception):
            self.running.stop()

    def _listening(self, binding: Binding[Any]) -> Callable[[], Member]:
        def make() -> Member:
            runner = Runner(binding, self._log, self.running.views, self._stop)
            runner.each_turn = lambda: self._settle(runner)
            return Member(runner.step, runner.leave, strict=True)

        return make

    def _settle(self, runner: Runner) -> None:
        if self.resting:
            if done := retry_all(runner, self.running.views):
                self._world.tell(f"{runner.binding.group}: retry of all: {done} done")
            return
        told = settle(runner, self.running.views, self._choice)
        if told is not None:
            self._world.tell(told)

    def _ingesting(self, datasource: Datasource) -> Callable[[], Member]:
        linger_ms = self.running.settings.olap_linger_ms

        def make() -> Member:
            ingestion = Ingestion(self._olap, self._log, datasource, linger_ms=linger_ms)
            return Member(ingestion.step, ingestion.close, strict=False)

        return make


class _Writer:
    """The writer as the processes have it: the process may die before and behind, and answers may be lost."""

    def __init__(self, bus: CommandBus, world: World) -> None:
        self._bus, self._world = bus, world

    def execute(self, command: Command, *, key: str | None = None, origin: Origin = SYSTEM) -> Answer:
        """The writer's own."""
        return self._heard(lambda: self._bus.execute(command, key=key, origin=origin))

    def revoke(self, command: Command, *, key: str, origin: Origin = SYSTEM) -> Answer:
        """The writer's own."""
        return self._heard(lambda: self._bus.revoke(command, key=key, origin=origin))

    def _heard(self, carried_out: Callable[[], Answer]) -> Answer:
        self._world.reached(Moment.BEGIN, DRIVER)
        answer = carried_out()
        if self._world.loses_answer():
            raise AnswerTimeout("the answer is lost")
        return answer


class _Dying:
    """The analytical store, which has no statements to be met at: the process may die before a batch and behind it."""

    def __init__(self, olap: IngestingOlap, world: World) -> None:
        self._olap, self._world = olap, world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._olap, name)

    def ingest(self, datasource: Datasource, records: Sequence[Record]) -> int:
        """The store's own."""
        self._world.reached(Moment.COMMIT, OLAP_FILE)
        rows = self._olap.ingest(datasource, records)
        self._world.reached(Moment.COMMITTED, OLAP_FILE)
        return rows
