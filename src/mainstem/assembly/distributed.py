"""The distributed form of an application: one process of several, on MySQL, Kafka, Connect and Druid.

Each process has the roles that its settings name. Commands, events and views are in MySQL, which Debezium on Connect
captures; listeners share Kafka's partitions out; Druid reads the topics by its own supervisors.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

import structlog
from msgspec.structs import replace

from mainstem.application import Application, Sides
from mainstem.assembly.places import connector_name, kafka_servers, mysql_server
from mainstem.assembly.running import Hop, Status, command_bus, listener_hop, wall_clock_ms
from mainstem.cdc.connect import Connect
from mainstem.errors import MainstemError
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.kafka import KafkaLog
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.reconciliation import Reconciliation, reconcile
from mainstem.settings import Settings
from mainstem.view.mysql import MysqlViews

_log = structlog.get_logger(__name__)

_HOUSEKEEPING_S = 60.0
_STOP_S = 15.0
_FRESH_S = 0.5
_AGREE_S = 30.0
_AGREE_LOOK_S = 0.25


class Distributed:
    """One process of a running application. Use it as a context manager, or `start` it and `stop` it."""

    def __init__(self, application: Application, settings: Settings) -> None:
        self.application = application
        self.settings = settings
        self._stack = ExitStack()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._looking = threading.Lock()
        self._looked: tuple[float, tuple[Hop, ...]] = (0.0, ())
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise

    def _open(self) -> None:
        application, settings = self.application, self.settings
        server = mysql_server(settings)
        self.events = MysqlEventStore(server, application.state_tables(), clock_ms=wall_clock_ms)
        self._stack.callback(self.events.close)
        self.views = MysqlViews(server)
        self._stack.callback(self.views.close)
        for binding in application.listeners:
            if binding.projection is not None:
                self.views.create(binding.projection.table)
        self.log = KafkaLog(kafka_servers(settings), copies=settings.kafka_copies)
        self._stack.callback(self.log.close)
        for topic in application.all_topics(settings.topic_partitions):
            self.log.create(topic)
        self.olap = DruidOlap(settings.druid_url, application.datasources)
        self._stack.callback(self.olap.close)
        self.connect = Connect(settings.connect_url)
        self._stack.callback(self.connect.close)
        self.supervisors = Supervisors(settings.druid_overlord_url)
        self._stack.callback(self.supervisors.close)
        self.commands = command_bus(application, settings, self.events)
        keeping = "listeners" in settings.roles
        self.listeners = {b.group: Runner(b, self.log, self.views) for b in application.listeners if keeping}

    def start(self) -> None:
        """Start the threads of this process's roles."""
        for group, runner in self.listeners.items():
            self._thread(f"listener-{group}", runner.run)
        self._thread("housekeeping", self._keep_house)
        if "api" in self.settings.roles:
            self.commands.start()

    def stop(self) -> None:
        """Carry out the waiting commands, leave the groups, give the connections back. Stopping twice is allowed."""
        self.commands.stop(_STOP_S)
        self._stop.set()
        for thread in self._threads:
            thread.join(_STOP_S)
        self._threads.clear()
        self._stack.close()

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
        """Every stage, of whichever process it is; asked of the parts at most twice a second."""
        with self._looking:
            at, found = self._looked
            if time.monotonic() - at > _FRESH_S:
                found = tuple(self._look())
                self._looked = (time.monotonic(), found)
        return found

    def _look(self) -> list[Hop]:
        application = self.application
        listeners = [_seen(each.group, partial(self._listener, each)) for each in application.listeners]
        olap = [_seen(f"olap-{each.name}", partial(self._datasource, each.name)) for each in application.datasources]
        return [_seen("capture", self._capture), *listeners, *olap]

    def _capture(self) -> Hop:
        found = self.connect.status(connector_name(self.application))
        state = "failed" if found.failed else "running" if found.running else found.state.lower()
        return Hop("capture", state, 0, found.trouble)

    def _listener(self, binding: Binding[Any]) -> Hop:
        """How far its view is; its state by its own account where it runs here, else by who has joined its group."""
        done = {partition: offset for (_, partition), offset in self.views.offsets(binding.group).items()}
        lag = sum(self.log.lag(binding.topic, done).values())
        own = self.listeners.get(binding.group)
        if own is not None:
            return replace(listener_hop(own), lag=lag)
        parked = len(self.views.parked(binding.group))
        state = "running" if self.log.members(binding.group) else "stopped"
        return Hop(binding.group, state, lag, None, parked)

    def _datasource(self, name: str) -> Hop:
        found = self.supervisors.status(name)
        lag = sum(behind or 0 for behind in found.lag.values())
        state = "running" if found.running else found.state.lower()
        return Hop(f"olap-{name}", state, max(0, lag - len(found.lag)), found.reason)

    def troubles(self) -> Mapping[str, str]:
        """What does not work at the moment, by name; empty where everything does."""
        found = {hop.name: hop.trouble or hop.state for hop in self.hops() if hop.state not in ("running", "paused")}
        if "api" in self.settings.roles and not self.commands.status().running:
            found["commands"] = "stopped"
        return found

    def status(self) -> Status:
        """This process's command side, and every stage."""
        return Status(self.commands.status(), self.hops())

    def reconcile(self) -> Reconciliation:
        """Until the accounts agree, or differ for half a minute: Druid shows what it has read a moment later."""
        sides = Sides(self.events, self.views, self.olap)
        deadline = time.monotonic() + _AGREE_S
        while True:
            found = reconcile(self.application.ledgers, sides)
            if found.clean or time.monotonic() > deadline:
                return found
            self._stop.wait(_AGREE_LOOK_S)

    def _thread(self, name: str, run: Callable[[threading.Event], None]) -> None:
        thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep_house(self, stop: threading.Event) -> None:
        while not stop.wait(_HOUSEKEEPING_S):
            try:
                before_ms = wall_clock_ms() - self.settings.answers_kept_ms
                while self.events.forget_answers(before_ms) and not stop.is_set():
                    continue
            except MainstemError as error:
                _log.warning("housekeeping is put off", cause=str(error))


def _seen(name: str, look: Callable[[], Hop]) -> Hop:
    try:
        return look()
    except MainstemError as error:
        return Hop(name, "unavailable", 0, str(error))


def distributed(application: Application, settings: Settings) -> Distributed:
    """One process of the application, its tables and topics made, its threads not yet started.

    Raises StoreUnavailable where MySQL or Kafka is away, ConfigurationError for what stands there otherwise declared.
    """
    return Distributed(application, settings)
