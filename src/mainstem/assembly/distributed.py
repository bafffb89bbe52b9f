"""The distributed form of an application: one process of several, on MySQL, Kafka, Connect and Druid.

Each process has the roles that its settings name. Commands, events and views are in MySQL, which Debezium on Connect
captures; listeners share Kafka's partitions out, and with them the processes, each of which is brought on by whoever
has the partition of its events; Druid reads the topics by its own supervisors.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from types import TracebackType

import structlog

from mainstem.application import Application, Sides
from mainstem.assembly.analytics import Analytics
from mainstem.assembly.mending import Mending
from mainstem.assembly.personal import KeysWatch, open_keys, vault_on
from mainstem.assembly.places import archive_folder, connector_name, kafka_servers, mysql_server, raw_folder
from mainstem.assembly.running import (
    Life,
    Status,
    begin_processes,
    command_bus,
    controls,
    drivers,
    drop_old_snapshots,
    wake_by,
)
from mainstem.assembly.sealing import Sealed, keep_sealing
from mainstem.assembly.stages import Stages
from mainstem.assembly.tenants import tenants_of
from mainstem.assembly.views import create_views, make_views
from mainstem.cdc.connect import Connect
from mainstem.clock import wall_clock_ms
from mainstem.errors import MainstemError, StoreUnavailable
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.eventstore.mysql_integrity import MysqlIntegrity
from mainstem.forgetting import Forgetter
from mainstem.health import Hop, Memory, Part, Trouble, trouble_of
from mainstem.listener.runner import Runner
from mainstem.log.kafka import KafkaLog
from mainstem.log_lines import configure_by
from mainstem.process.rows import GROUP as PROCESSES
from mainstem.rebuild import Rebuilds
from mainstem.reconciliation import Reconciliation, reconcile
from mainstem.settings import Settings

_log = structlog.get_logger(__name__)

_HOUSEKEEPING_S = 60.0
_START_LOOK_S = 1.0
_STOP_S = 15.0
_AGREE_S = 30.0
_MEND_FIRST_S = 5.0
_MEND_LONGEST_S = 300.0
_AGREE_LOOK_S = 0.25


class Distributed:
    """One process of a running application. Use it as a context manager, or `start` it and `stop` it."""

    def __init__(self, application: Application, settings: Settings) -> None:
        self.application = application.configured(settings)
        self.settings = settings
        self._life = Life()
        self._memory = Memory()
        try:
            self._open()
        except BaseException:
            self._life.closing.close()
            raise

    def _open(self) -> None:
        settings, server = self.settings, mysql_server(self.settings)
        tables, archive = self.application.state_tables(), archive_folder(self.settings)
        self.events = MysqlEventStore(server, tables, clock_ms=wall_clock_ms, archive=archive)
        self._life.closing.callback(self.events.close)
        self.tenants = tenants_of(settings, self.application.all_deciders(), self.events.tenants)
        self.application = application = replace(self.application, apart=self.tenants.apart)
        self.integrity = MysqlIntegrity(server, clock_ms=wall_clock_ms, archive=archive)
        self._life.closing.callback(self.integrity.close)
        self.views = make_views(settings)
        self._life.closing.callback(self.views.close)
        create_views(self.views, application.all_listeners())
        self.log = KafkaLog(kafka_servers(settings), copies=settings.kafka_copies)
        self._life.closing.callback(self.log.close)
        keeping = "listeners" in settings.roles
        for topic in application.all_topics(settings.topic_partitions) if keeping else ():
            self.log.create(topic)  # commands need MySQL alone: where only they are taken, Kafka may be away
        if keeping:
            begin_processes(application, self.log, self.views)
        self.analytics = Analytics(application, settings, self.views, self._life.closing)
        self.olap = self.analytics.olap
        keys = open_keys(settings)
        self._life.closing.callback(keys.close)
        self.vault = vault_on(keys, settings)
        self._personal = KeysWatch(application, self.events, self.views, keys)
        sides = Sides(self.events, self.log, self.views, self.olap)
        self.forgetter = Forgetter(application, sides, self.vault, clock_ms=wall_clock_ms, raw=raw_folder(settings))
        self.commands = command_bus(application, settings, self.events, tenants=self.tenants, vault=self.vault)
        self.sealed = Sealed() if settings.seal_every_ms and "api" in settings.roles else None
        self.rebuilds = Rebuilds(application, self.log, [self.views], self._life.run, self.analytics.versioned)
        self.listeners = {b.group: Runner(b, self.log, self.views) for b in application.all_listeners() if keeping}
        self._driving = keeping and bool(application.processes)
        mine = self.listeners[PROCESSES].has if self._driving else _nothing
        self.driver, self.processes = drivers(application, settings, self.commands, self.events, self.views, mine=mine)
        wake_by(self.driver, application, self.listeners)
        self.control, self.bindings = controls(application, self.log, self.views, self.listeners)
        self.stages = Stages(application, settings, self.listeners, self.driver if self._driving else None)
        self.looks = self.stages.looks
        self._life.closing.callback(self.stages.close)

    def start(self) -> None:
        """Start the threads of this process's roles."""
        self._personal.begin()
        for group, runner in self.listeners.items():
            self._life.run(f"listener-{group}", runner.run)
        if self.listeners:
            self._life.run("control", self.control.run)
        for name in self.stages.names():
            self._life.run(f"look-{name}", partial(self.stages.keep_looking, name))
        self._life.run("housekeeping", self._keep_house)
        if self._driving or "api" in self.settings.roles:
            self.commands.start()
        if self._driving:
            self._life.run("processes", self.driver.run)
        if "api" in self.settings.roles:
            self._life.run("capture", self._keep_capturing)
            self._life.run("ingestion", Mending(self.application, self.settings, self.views).run)
        if self.sealed is not None:
            sealing = partial(keep_sealing, self.integrity, self.settings.seal_every_ms, self.sealed)
            self._life.run("sealing", sealing)

    def stop(self) -> None:
        """Carry out the waiting commands, leave the groups, give the connections back. Stopping twice is allowed."""
        self.commands.stop(_STOP_S)
        self._life.end(_STOP_S, self._wake)

    def _wake(self) -> None:
        self.control.wake()
        self.stages.wake()

    def __enter__(self) -> "Distributed":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def announce(self, url: str) -> None:
        """Nobody else on this machine needs to know."""

    def hops(self) -> tuple[Hop, ...]:
        """Every stage, of whichever process it is, as it was seen a second ago."""
        return self.stages.hops()

    def look(self, stage: str) -> None:
        """Have it and those before it looked at again soon: each look is in its thread, and may be slow."""
        self.stages.hurry(stage)

    def troubles(self) -> Mapping[str, Trouble]:
        """What does not work at the moment, by name; empty where everything does."""
        seen: tuple[Part | Hop, ...] = (*self.stages.parts(), *self.stages.hops())
        found = {each.name: trouble_of(each) for each in seen if each.since is not None}
        if "api" not in self.settings.roles:
            return found
        since = self._memory.since("commands", self.commands.status().running, wall_clock_ms())
        return found if since is None else {**found, "commands": Trouble("stopped", since)}

    def status(self) -> Status:
        """This process's command side, every server and every stage."""
        parts = (*self.stages.parts(), *self._personal.parts())
        return Status(self.commands.status(), parts, self.stages.hops())

    def reconcile(self) -> Reconciliation:
        """Until the accounts agree, or differ in the same for half a minute: Druid shows what it read a moment later.

        Raises StoreUnavailable where one of them cannot be read for as long.
        """
        sides = Sides(self.events, self.log, self.views, self.olap)
        deadline = time.monotonic() + _AGREE_S
        before: Reconciliation | None = None
        while True:
            try:
                found = reconcile(self.application.ledgers, sides, self.application.listeners)
                found = before = found if before is None else found.lasting(before)
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
            else:
                if found.clean or time.monotonic() > deadline:
                    return found
            self._life.over.wait(_AGREE_LOOK_S)

    def _keep_capturing(self, stop: threading.Event) -> None:
        """Start a connector that has failed again, less often each time it fails: what it met may be over."""
        name, pause_s = connector_name(self.application), _MEND_FIRST_S
        with closing(Connect(self.settings.connect_url, tls_ca=self.settings.connect_tls_ca)) as connect:
            while not stop.wait(pause_s):
                try:
                    found = connect.status(name)
                    if found.failed:
                        _log.warning("the connector has failed and is started again", name=name, cause=found.trouble)
                        connect.restart(name)
                    pause_s = min(pause_s * 2, _MEND_LONGEST_S) if found.failed else _MEND_FIRST_S
                except MainstemError:  # what is away is told by the looks at the parts
                    continue

    def _keep_house(self, stop: threading.Event) -> None:
        while not stop.wait(_HOUSEKEEPING_S):
            try:
                now_ms = wall_clock_ms()
                while self.events.forget_answers(now_ms - self.settings.answers_kept_ms) and not stop.is_set():
                    continue
                drop_old_snapshots(self.application, self.events, now_ms, stop)
            except MainstemError as error:
                _log.warning("housekeeping is put off", cause=str(error))


def _nothing(_stream: str) -> bool:
    return False


def distributed(application: Application, settings: Settings) -> Distributed:
    """One process of the application, its tables and topics made, its threads not yet started.

    Waits for MySQL, and for Kafka where listeners are to run, as long as the settings say; then raises
    StoreUnavailable. Raises ConfigurationError for what stands there otherwise declared.
    """
    configure_by(settings)
    deadline = time.monotonic() + settings.start_wait_max_ms / 1000
    while True:
        try:
            return Distributed(application, settings)
        except StoreUnavailable as error:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise
            _log.warning("waiting for a server", cause=str(error), seconds_left=round(left_s))
            time.sleep(min(_START_LOOK_S, left_s))
