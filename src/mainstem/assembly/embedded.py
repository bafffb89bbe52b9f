"""The embedded form of an application, in one process and one folder.

The write side, the log, the views and the analytical store are files of their own, so that none waits for another's
lock. Threads run from `start` to `stop`: the writer, the relay, one for each listener and datasource, and housekeeping.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

import structlog

from mainstem.application import Application, Sides
from mainstem.assembly.flow import stages_before
from mainstem.assembly.personal import KeysWatch, open_keys, vault_on
from mainstem.assembly.places import raw_folder
from mainstem.assembly.running import (
    Life,
    Status,
    begin_processes,
    command_bus,
    controls,
    drivers,
    drop_old_snapshots,
    misfits_trouble,
    seen_driver,
    seen_listener,
    wake_by,
)
from mainstem.assembly.sealing import Sealed, keep_sealing
from mainstem.assembly.tenants import tenants_of
from mainstem.assembly.views import check_own, create_views, make_views, place_of
from mainstem.cdc.relay import Relay, producer_of
from mainstem.cdc.sqlite import MARK_TRANSACTION, SqliteCapture
from mainstem.clock import wall_clock_ms
from mainstem.errors import MainstemError, StoreCorrupt
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.eventstore.sqlite_integrity import SqliteIntegrity
from mainstem.folder import Folder
from mainstem.forgetting import Forgetter
from mainstem.health import Hop, Memory, Seen, Trouble, hop_of, trouble_of, waited_s
from mainstem.layers.archive import RawArchive
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.port import Place, Range
from mainstem.log.sqlite import SqliteLog
from mainstem.log_lines import configure_by
from mainstem.looks import Looks
from mainstem.olap.ingestion import Ingestion
from mainstem.rebuild import Rebuilds
from mainstem.reconciliation import Reconciliation, reconcile
from mainstem.settings import Settings

_log = structlog.get_logger(__name__)

_HOUSEKEEPING_S = 60.0
_WATCH_FIRST_S, _WATCH_S = 0.02, 1.0
_CAPTURE = "relay"
_STOP_S = 15.0
_SETTLE_S = 10.0
_SETTLE_LOOK_S = 0.02
_RECONCILE_ROUNDS = 5


def check_one_history(bounds: tuple[int, int], in_log: int | None) -> None:
    """Whether the capture and the log, files of their own, belong together: each change is in one of them or in both.

    Raises StoreCorrupt where one of the files was lost, cut off or put back from an older copy, which no check of a
    single file can see.
    """
    released, last = bounds
    taken = in_log or 0
    if taken > last:
        raise StoreCorrupt(
            f"events.db ends at change {last}, but log.db has changes up to {taken}: events.db is older or was cut off;"
            " put back the files that belong together"
        )
    if taken < released:
        raise StoreCorrupt(
            f"log.db ends at change {taken}, but events.db has given changes up to {released} away: log.db is older,"
            " was cut off or removed; put back the files that belong together"
        )


def check_been_there(ranges: Mapping[int, Range], done: Mapping[Place, int], binding: Binding[Any], views: str) -> None:
    """Whether the log has what a listener has done already. Raises StoreCorrupt where it has not."""
    for (topic, partition), offset in done.items():
        held = ranges.get(partition)
        if topic == binding.topic and (held is None or offset > held.end):
            raise StoreCorrupt(
                f"log.db ends before what listener {binding.group} has done of {topic}/{partition} (offset {offset}):"
                " log.db is older, was cut off or removed; put back the files that belong together, or remove"
                f" {views} to have the views made again from this log"
            )


class Embedded:
    """A running application. Use it as a context manager, or `start` it and `stop` it."""

    def __init__(
        self, application: Application, settings: Settings, clock_ms: Callable[[], int] = wall_clock_ms
    ) -> None:
        configure_by(settings)
        self.application = application.configured(settings)
        self.settings = settings
        self._clock_ms = clock_ms
        self._life = Life()
        self._memory = Memory()
        self.folder = Folder(settings.data_dir)
        self.folder.acquire()
        self._life.closing.callback(self.folder.release)
        try:
            self._open()
        except BaseException:
            self._life.closing.close()
            raise

    def _open(self) -> None:
        settings, folder = self.settings, self.settings.data_dir
        _log.info("opening and checking the files", folder=str(folder))
        tables = self.application.state_tables()
        archive = settings.archive_dir
        self.events = SqliteEventStore(
            folder / "events.db", tables, clock_ms=self._clock_ms, mark=MARK_TRANSACTION, archive=archive
        )
        self._life.closing.callback(self.events.close)
        self.tenants = tenants_of(settings, self.application.all_deciders(), self.events.tenants)
        self.application = application = replace(self.application, apart=self.tenants.apart)
        self.integrity = SqliteIntegrity(
            folder / "events.db", clock_ms=self._clock_ms, turn=self.events.turn, archive=archive
        )
        self._life.closing.callback(self.integrity.close)
        self.capture = SqliteCapture(folder / "events.db", application.name, application.all_captured())
        self._life.closing.callback(self.capture.close)
        self.capture.install()
        self.log = SqliteLog(folder / "log.db")
        self._life.closing.callback(self.log.close)
        for topic in application.all_topics(settings.topic_partitions):
            self.log.create(topic)
        check_one_history(self.capture.bounds(), self.log.last_sequence(producer_of(application.name)))
        self.views = make_views(settings)
        self._life.closing.callback(self.views.close)
        check_own(self.views, settings, self.capture.history)
        create_views(self.views, application.all_listeners())
        begin_processes(application, self.log, self.views, self._bring)
        for binding in application.all_listeners():
            check_been_there(
                self.log.ranges(binding.topic), self.views.offsets(binding.group), binding, place_of(settings)
            )
        from mainstem.olap.duckdb import DuckdbOlap  # large, and the distributed form does without it

        self.olap = DuckdbOlap(folder / "analytics.duckdb")
        self._life.closing.callback(self.olap.close)
        for datasource in application.datasources:
            self.olap.create(datasource)
        self._roles()

    def _bring(self) -> None:
        """To the log, before the relay runs."""
        Relay(self.capture, self.log, self.application.name).drain()

    def _roles(self) -> None:
        application, settings = self.application, self.settings
        keys = open_keys(settings)
        self._life.closing.callback(keys.close)
        self.vault = vault_on(keys, settings)
        self._personal = KeysWatch(application, self.events, self.views, keys)
        sides = Sides(self.events, self.log, self.views, self.olap)
        self.forgetter = Forgetter(application, sides, self.vault, clock_ms=self._clock_ms, raw=raw_folder(settings))
        self.commands = command_bus(
            application,
            settings,
            self.events,
            self.capture.wake,
            clock_ms=self._clock_ms,
            tenants=self.tenants,
            vault=self.vault,
        )
        self.looks, self._looking = Looks(stages_before(application, _CAPTURE)), threading.Lock()
        self.relay = Relay(self.capture, self.log, application.name)
        self.driver, self.processes = drivers(
            application, settings, self.commands, self.events, self.views, clock_ms=self._clock_ms
        )
        self.listeners = {b.group: Runner(b, self.log, self.views) for b in application.all_listeners()}
        wake_by(self.driver, application, self.listeners)
        self.control, self.bindings = controls(
            application, self.log, self.views, self.listeners, clock_ms=self._clock_ms
        )
        self.rebuilds = Rebuilds(application, self.log, [self.views], self._life.run, self.olap)
        self.sealed = Sealed() if settings.seal_every_ms else None
        self.ingestions = {
            d.name: Ingestion(self.olap, self.log, d, linger_ms=settings.olap_linger_ms)
            for d in application.datasources
        }

    def start(self) -> None:
        """Start all threads."""
        self._personal.begin()
        self._life.run("relay", self.relay.run)
        self._life.run("control", self.control.run)
        for group, runner in self.listeners.items():
            self._life.run(f"listener-{group}", runner.run)
        for name, ingestion in self.ingestions.items():
            self._life.run(f"olap-{name}", ingestion.run)
        if self.sealed is not None:
            sealing = partial(keep_sealing, self.integrity, self.settings.seal_every_ms, self.sealed)
            self._life.run("sealing", sealing)
        if self.application.processes:
            self._life.run("processes", self.driver.run)
        if self.application.layers is not None and self.settings.layers_archive_every_ms:
            archive = RawArchive(self.log, raw_folder(self.settings), self.application.layers.sources)
            self._life.run("raw-archive", partial(archive.run, self.settings.layers_archive_every_ms / 1000))
        self._life.run("watch", self._watch)
        self._life.run("housekeeping", self._keep_house)
        self.commands.start()

    def stop(self) -> None:
        """Carry out the waiting commands, end the threads, close the files. Stopping twice is allowed."""
        self.commands.stop(_STOP_S)
        self._life.end(_STOP_S, self._wake)

    def _wake(self) -> None:
        self.capture.wake()
        self.driver.wake()
        self.control.wake()

    def __enter__(self) -> "Embedded":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def announce(self, url: str) -> None:
        """In the folder."""
        self.folder.announce(url)

    def hops(self) -> tuple[Hop, ...]:
        """Every stage from the capture to the analytical store, in the order of the flow."""
        now_ms = wall_clock_ms()
        seen = {name: self.looks.take(name, look) for name, look in self._stages()}
        return tuple(hop_of(name, each, self._memory.since(name, each.works, now_ms)) for name, each in seen.items())

    def look(self, stage: str) -> None:
        """Look at it and at those before it at once, unless somebody looks already."""
        if self._looking.acquire(blocking=False):
            try:
                looks = dict(self._stages())
                for name in self.looks.up_to(stage):
                    self.looks.take(name, looks[name])
            finally:
                self._looking.release()

    def _stages(self) -> Iterator[tuple[str, Callable[[], Seen]]]:
        """In the order of the flow, so that each look begins behind those at the stages before."""
        yield _CAPTURE, self._seen_relay
        for group, runner in self.listeners.items():
            yield group, partial(self._seen_listener, group, runner)
        for name, ingestion in self.ingestions.items():
            yield f"olap-{name}", partial(_seen_ingestion, ingestion)
        if self.application.processes:
            yield "process-driver", lambda: seen_driver(self.driver, wall_clock_ms())

    def _seen_listener(self, group: str, runner: Runner) -> Seen:
        return seen_listener(runner, self.rebuilds.stale(group))

    def _seen_relay(self) -> Seen:
        relay = self.relay.status()
        waited = waited_s(relay.oldest_ms, wall_clock_ms())
        return Seen(relay.state, relay.reason, relay.lag, waited, handled=relay.moved)

    def troubles(self) -> Mapping[str, Trouble]:
        """What does not work at the moment, by name; empty where everything does."""
        found = {hop.name: trouble_of(hop) for hop in self.hops() if hop.since is not None}
        since = self._memory.since("commands", self.commands.status().running, wall_clock_ms())
        return found if since is None else {**found, "commands": Trouble("stopped", since)}

    def status(self) -> Status:
        """The command side's figures and every stage."""
        return Status(self.commands.status(), self._personal.parts(), self.hops())

    def settle(self, timeout_s: float = _SETTLE_S) -> bool:
        """Wait until no stage is behind; False where the time was over first."""
        deadline = time.monotonic() + timeout_s
        while any(hop.lag for hop in self.hops()) or self._goes_on():
            if time.monotonic() > deadline:
                return False
            self._life.over.wait(_SETTLE_LOOK_S)
        return True

    def _goes_on(self) -> bool:
        """Whether a process has gone on while the stages were looked at one after another, or does so now."""
        if not self.application.processes:
            return False
        steps = self.driver.status().steps
        return any(hop.lag for hop in self.hops()) or self.driver.status().steps != steps

    def reconcile(self) -> Reconciliation:
        """Hold all accounts against each other. While commands come in, only what differs in every round counts."""
        sides = Sides(self.events, self.log, self.views, self.olap)
        found = self._settled_account(sides)
        for _ in range(_RECONCILE_ROUNDS - 1):
            if found.clean:
                break
            found = self._settled_account(sides).lasting(found)
        return found

    def _settled_account(self, sides: Sides) -> Reconciliation:
        self.settle()
        return reconcile(self.application.ledgers, sides, self.application.listeners)

    def _watch(self, stop: threading.Event) -> None:
        """Look whether anybody asks or not, so that it is known since when something does not work; often at first."""
        pause_s = _WATCH_FIRST_S
        while not stop.wait(pause_s):
            pause_s = min(pause_s * 2, _WATCH_S)
            with suppress(MainstemError):  # whoever asks is told
                self.troubles()

    def _keep_house(self, stop: threading.Event) -> None:
        while not stop.wait(_HOUSEKEEPING_S):
            try:
                self.tidy_up(stop)
            except MainstemError as error:
                _log.warning("housekeeping is put off", cause=str(error))

    def tidy_up(self, stop: threading.Event) -> None:
        """Remove what is no longer to be kept, until `stop`."""
        now_ms = wall_clock_ms()
        self.log.apply_retention(now_ms)
        while self.events.forget_answers(now_ms - self.settings.answers_kept_ms) and not stop.is_set():
            continue
        drop_old_snapshots(self.application, self.events, now_ms, stop)


def _seen_ingestion(ingestion: Ingestion) -> Seen:
    found, lag = ingestion.status, ingestion.lag(wall_clock_ms())
    state = "running" if found.state == "idle" else found.state
    rejected = found.misfits.count
    trouble = found.last_error or misfits_trouble(rejected, f"; the first is {found.misfits.first}")
    return Seen(state, trouble, lag.records, lag.seconds, handled=found.rows, rejected=rejected)


def embedded(application: Application, settings: Settings, *, clock_ms: Callable[[], int] = wall_clock_ms) -> Embedded:
    """The application in one process, its files checked and open, its threads not yet started.

    `clock_ms` is what commands and events are stamped by: tests have one that they move.
    Raises StoreBusy where another process has the folder, StoreCorrupt for a damaged file, ConfigurationError for
    declarations that do not fit the files.
    """
    return Embedded(application, settings, clock_ms)
