"""What a running application shows of itself, whatever its form."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol

from msgspec import Struct

from mainstem.application import Application
from mainstem.assembly.sealing import Sealed
from mainstem.clock import wall_clock_ms
from mainstem.command.bus import BusLimits, BusStatus, CommandBus
from mainstem.command.closing import Closing
from mainstem.command.handler import Handler
from mainstem.eventstore.port import EventStore
from mainstem.forgetting import Forgetter
from mainstem.health import Hop, Part, Seen, Trouble, waited_s
from mainstem.listener.actions import make_tables
from mainstem.listener.beginning import begin_now
from mainstem.listener.binding import Binding
from mainstem.listener.control import Control
from mainstem.listener.desk import Listeners
from mainstem.listener.runner import Runner
from mainstem.log.port import Log
from mainstem.looks import Looks
from mainstem.olap.port import Olap
from mainstem.privacy.vault import Vault
from mainstem.process.desk import Processes
from mainstem.process.driver import AT_ONCE, Commands, Driver
from mainstem.process.keys import Keys
from mainstem.process.rows import groups_of, hearing_groups
from mainstem.rebuild import Rebuilds
from mainstem.reconciliation import Reconciliation
from mainstem.settings import Settings
from mainstem.snapshots import Snapshots
from mainstem.tenancy import NONE, Tenants
from mainstem.view.port import ViewStore

_OLD_SNAPSHOT_MS = 24 * 3_600_000


class Life:
    """The threads of a running application, and what is to be given back at its end."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.closing = ExitStack()
        self._threads: list[threading.Thread] = []

    def run(self, name: str, work: Callable[[threading.Event], None]) -> None:
        """Start a thread, which ends when the event is set."""
        thread = threading.Thread(target=work, args=(self.over,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self, within_s: float, wake: Callable[[], None] = lambda: None) -> None:
        """End all threads, wait for them, give everything back. Ending twice is allowed."""
        self.over.set()
        wake()
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()
        self.closing.close()


class Status(Struct, frozen=True):
    """A picture of the running application; of its commands only where a process that takes them was asked."""

    commands: BusStatus | None
    parts: tuple[Part, ...]
    hops: tuple[Hop, ...]


def controls(
    application: Application,
    log: Log,
    views: ViewStore,
    runners: Mapping[str, Runner],
    clock_ms: Callable[[], int] = wall_clock_ms,
) -> tuple[Control, Listeners]:
    """What follows those who control the listeners of this process, and what people ask of all listeners."""
    make_tables(views)
    control = Control(runners, views, clock_ms)
    control.look()
    return control, Listeners(application.all_listeners(), log, views, clock_ms=clock_ms, wake=control.wake)


class Running(Protocol):
    """A running application: a context manager that starts and stops it."""

    application: Application
    settings: Settings
    commands: CommandBus
    tenants: Tenants
    vault: Vault
    forgetter: Forgetter
    sealed: Sealed | None
    """When all events were sealed last; None where this process does not seal."""

    @property
    def events(self) -> EventStore:
        """The events."""

    @property
    def log(self) -> Log:
        """The log."""

    @property
    def views(self) -> ViewStore:
        """The views."""

    @property
    def olap(self) -> Olap:
        """The analytical store."""

    @property
    def processes(self) -> Processes:
        """The processes, as people ask of them."""

    @property
    def bindings(self) -> Listeners:
        """The listeners and their dead letters, as people ask of them, in whichever process they run."""

    @property
    def rebuilds(self) -> Rebuilds:
        """The views' rebuilds, as people ask of them."""

    @property
    def looks(self) -> Looks:
        """Up to when every view and datasource has everything, by the looks at the stages."""

    def look(self, stage: str) -> None:
        """Look at the stage and at those before it at once, or have that done soon."""

    def hops(self) -> tuple[Hop, ...]:
        """Every stage from the capture to the analytical store, in the order of the flow."""

    def troubles(self) -> Mapping[str, Trouble]:
        """What does not work at the moment, by name; empty where everything does."""

    def status(self) -> Status:
        """The command side's figures and every stage."""

    def reconcile(self) -> Reconciliation:
        """Hold all accounts against each other. While commands come in, only what differs in every round counts."""

    def announce(self, url: str) -> None:
        """Let others on this machine know where it is reached."""

    def start(self) -> None:
        """Start all threads."""

    def stop(self) -> None:
        """Carry out the waiting commands, end the threads, give everything back. Stopping twice is allowed."""

    def __enter__(self) -> "Running": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def command_bus(
    application: Application,
    settings: Settings,
    events: EventStore,
    on_commit: Callable[[], None] = lambda: None,
    clock_ms: Callable[[], int] = wall_clock_ms,
    *,
    tenants: Tenants = NONE,
    vault: Vault,
) -> CommandBus:
    """The writer of one process, with the settings' limits."""
    personal = bool(application.personal_kinds())
    handler = Handler(
        application.all_deciders(),
        clock_ms=clock_ms,
        remembered=settings.aggregates_remembered,
        snapshots=Snapshots(every_events=settings.snapshot_every or None),
        tenants=tenants,
        closing=Closing(application.all_deciders(), vault) if personal else None,
    )
    limits = BusLimits(
        queue_max=settings.command_queue_max,
        batch_max=settings.command_batch_max,
        answer_timeout_s=settings.command_timeout_ms / 1000,
    )
    return CommandBus(events, handler, limits=limits, on_commit=on_commit)


def drivers(
    application: Application,
    settings: Settings,
    commands: Commands,
    events: EventStore,
    views: ViewStore,
    clock_ms: Callable[[], int] = wall_clock_ms,
    at_once: int = AT_ONCE,
    mine: Callable[[str], bool] = lambda _: True,
) -> tuple[Driver, Processes]:
    """What drives the processes that are `mine`, so many at once, and what people ask of all of them."""
    driver = Driver(
        application.processes,
        application.deciders,
        commands=commands,
        events=events,
        views=views,
        clock_ms=clock_ms,
        answers_kept_ms=settings.answers_kept_ms,
        keys=Keys(apart=application.apart, has_tenants=lambda: next(iter(events.tenants.names()), None) is not None),
        at_once=at_once,
        mine=mine,
    )
    desk = Processes(
        application.processes,
        commands=commands,
        events=events,
        views=views,
        clock_ms=clock_ms,
        apart=application.apart,
    )
    return driver, desk


def begin_processes(
    application: Application, log: Log, views: ViewStore, bring: Callable[[], None] = lambda: None
) -> None:
    """Keep where managers begin that are to hear what comes from now on, before anything comes.

    `bring` is called where one has not begun yet, for what the log has not got of before.
    """
    groups = hearing_groups([each for each in application.processes if each.begin == "now"])
    for binding in application.all_listeners():
        if binding.group in groups:
            begin_now(binding.group, binding.topic, log, views, bring)


def wake_by(driver: Driver, application: Application, listeners: Mapping[str, Runner]) -> None:
    """Have the driver look at once when one of these listeners has heard something for a process."""
    for group in groups_of(application.processes):
        if group in listeners:
            listeners[group].on_rows = driver.wake


def drop_old_snapshots(application: Application, events: EventStore, now_ms: int, stop: threading.Event) -> None:
    """Drop the snapshots that no fold of this application has made, and that nobody has replaced for a day.

    Where two releases run side by side, each leaves the other's for as long.
    """
    current = {decider.fingerprint() for decider in application.all_deciders()}
    while events.drop_snapshots(keep=current, before_ms=now_ms - _OLD_SNAPSHOT_MS) and not stop.is_set():
        continue


def seen_listener(runner: Runner, stale: str | None = None) -> Seen:
    """A listener of this process; `stale` says what to do about its view."""
    listener = runner.status()
    trouble = together(listener.reason, parked_trouble(runner.binding, listener.parked), stale)
    lag = runner.lag(wall_clock_ms())
    return Seen(listener.state, trouble, lag.records, lag.seconds, listener.parked, handled=listener.handled)


def together(*troubles: str | None) -> str | None:
    """All that there is to say of a stage: what is mended first must not hide the rest. None for nothing."""
    return "; ".join(filter(None, troubles)) or None


def seen_driver(driver: Driver, now_ms: int) -> Seen:
    """The processes, by the driver of this process."""
    found = driver.status()
    trouble = found.reason or stuck_trouble(found.stuck)
    return Seen(found.state, trouble, found.due, waited_s(found.oldest_ms, now_ms), handled=found.steps)


def stuck_trouble(stuck: int) -> str | None:
    """What stuck processes wait for; None where none is stuck."""
    return f"{stuck} processes are stuck: see `mainstem processes list --stuck`" if stuck else None


def misfits_trouble(misfits: int, more: str) -> str | None:
    """What records a datasource has left out, and what more is known of them; None where it has left out none."""
    return f"{misfits} records do not fit its declaration and were left out{more}" if misfits else None


def parked_trouble(binding: Binding[Any], parked: int) -> str | None:
    """What parked keys wait for; None where none is parked."""
    return f"{parked} keys wait behind dead letters in {binding.dead_letter_topic}" if parked else None
