"""How the parts and stages of a distributed application are doing, asked of the servers themselves.

Each is looked at in a thread of its own, once in a second, with clients of its own: a server that hangs delays neither
the look at another nor whoever asks how things are.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import structlog

from mainstem.application import EVENT_TOPIC, Application
from mainstem.assembly.flow import stages_before
from mainstem.assembly.places import connector_name, druid_reading, kafka_servers, mysql_server
from mainstem.assembly.running import (
    misfits_trouble,
    parked_trouble,
    seen_driver,
    seen_listener,
    stuck_trouble,
    together,
)
from mainstem.assembly.views import engine_of, make_views
from mainstem.cdc.connect import Connect
from mainstem.clock import wall_clock_ms
from mainstem.errors import MainstemError, StoreUnavailable
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.health import WORKS, Hop, Memory, Part, Seen, hop_of, unseen, waited_s
from mainstem.listener.actions import is_paused, living, make_tables, state_of
from mainstem.listener.binding import Binding
from mainstem.listener.runner import Runner
from mainstem.log.kafka import KafkaLog
from mainstem.log.lag import lag_of
from mainstem.log.scan import LAST_FIRST, last_records
from mainstem.looks import Looks
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_supervisor import Ingested, Supervisors
from mainstem.olap.druid_versions import DruidVersions
from mainstem.olap.port import Datasource
from mainstem.olap.zookeeper import ZooKeeper
from mainstem.process.driver import Driver
from mainstem.process.rows import PROCESS
from mainstem.rebuild.pointing import Pointers, stale_datasource, undeployed_datasource
from mainstem.rebuild.versions import Codes
from mainstem.settings import Settings
from mainstem.view.port import ViewStore

_log = structlog.get_logger(__name__)

_CAPTURE = "capture"
_EVERY_S = 1.0
_PAUSE_S = 0.05
_DUE_MAX = 1_000
_SILENT_S = 15.0
_DECLARED_S = 10.0
_LAST_MANY = 1_000
"""How many of the last records are looked at where the last one alone may not be the highest."""


class _Closing(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closing)


class _Client(Generic[C]):
    """Made when it is first needed, since making it may need its server."""

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._making = threading.Lock()
        self._made: C | None = None
        self._closed = False

    def get(self) -> C:
        """Raises what making it raises."""
        with self._making:
            if self._closed:
                raise StoreUnavailable("the application is stopping")
            if self._made is None:
                self._made = self._make()
            return self._made

    def close(self) -> None:
        with self._making:
            self._closed = True
            if self._made is not None:
                self._made.close()


def _left_out(datasource: Datasource, made: Ingested) -> str | None:
    """Druid counts the late ones among those that do not fit, and anew with each task."""
    late = " or are late" if datasource.late_after_s is not None else ""
    return misfits_trouble(made.left_out, f"{late}, of those that its tasks have read by now")


def _zookeeper(members: ZooKeeper) -> Seen:
    return Seen(trouble=members.look())


def _views_of(settings: Settings) -> ViewStore:
    views = make_views(settings)
    make_tables(views)
    Pointers(views).create()
    return views


class Stages:
    """Looks at everything of one application. `own` and `driver` run in this process."""

    def __init__(
        self, application: Application, settings: Settings, own: Mapping[str, Runner], driver: Driver | None = None
    ) -> None:
        self._application = application
        self._own = own
        self._memory = Memory()
        self._codes = Codes(application.listeners)
        server, tables = mysql_server(settings), application.state_tables()
        self._events = _Client(lambda: MysqlEventStore(server, tables, clock_ms=wall_clock_ms))
        self._views = _Client(lambda: _views_of(settings))
        self._log = _Client(lambda: KafkaLog(kafka_servers(settings)))
        self._workers = _Client(lambda: Connect(settings.connect_url, tls_ca=settings.connect_tls_ca))
        self._supervisors = _Client(lambda: Supervisors(settings.druid_overlord_url, tls_ca=settings.druid_tls_ca))
        self._olap = _Client(lambda: DruidOlap(settings.druid_url, tls_ca=settings.druid_tls_ca))
        self._druid_reading = partial(druid_reading, settings)
        self._live: dict[str, Datasource] = {}
        self._misfits: dict[str, tuple[float, str | None]] = {}
        self._parts: dict[str, Callable[[], Seen]] = {
            "mysql": self._event_store,
            engine_of(settings): self._view_store,  # of MySQL one look is enough
            "kafka": self._kafka,
            "connect": self._connect,
            "druid": self._druid,
        }
        if settings.zookeeper:
            self._parts["zookeeper"] = partial(_zookeeper, ZooKeeper(settings.zookeeper))
        self._hops: dict[str, Callable[[], Seen]] = {_CAPTURE: self._capture}
        self._hops |= {each.group: partial(self._listener, each) for each in application.all_listeners()}
        self._hops |= {f"olap-{each.name}": partial(self._datasource, each) for each in application.datasources}
        if application.processes:
            self._hops["process-driver"] = self._processes
        self._driver = driver
        self._captured_to = 0
        self._all = self._parts | self._hops
        self._seen: dict[str, tuple[float, Seen]] = {}
        self.looks = Looks(stages_before(application, _CAPTURE))
        self._wanted = {name: threading.Event() for name in self._all}

    def names(self) -> list[str]:
        """Of everything that is looked at."""
        return list(self._all)

    def keep_looking(self, name: str, stop: threading.Event) -> None:
        """Look at one of them again and again, often at first, until `stop`."""
        wanted, pause_s = self._wanted[name], _PAUSE_S
        while not stop.is_set():
            wanted.clear()
            self._look(name)
            pause_s = min(pause_s * 2, _EVERY_S)
            if not stop.wait(_PAUSE_S):
                wanted.wait(pause_s - _PAUSE_S)

    def hurry(self, stage: str) -> None:
        """Somebody waits for looks at the stage, and at those before it, that begin from now on."""
        for name in self.looks.up_to(stage):
            self._wanted[name].set()

    def wake(self) -> None:
        """Let whoever keeps looking see that it is to stop."""
        for wanted in self._wanted.values():
            wanted.set()

    def look(self) -> None:
        """Look at all of them once, at the same time."""
        with ThreadPoolExecutor(len(self._all)) as pool:
            list(pool.map(self._look, self._all))

    def parts(self) -> tuple[Part, ...]:
        """The servers, as they were last seen."""
        return tuple(Part(name, seen.state, seen.trouble, since) for name, seen, since in map(self._last, self._parts))

    def hops(self) -> tuple[Hop, ...]:
        """The stages in the order of the flow, as they were last seen."""
        return tuple(hop_of(*self._last(name)) for name in self._hops)

    def close(self) -> None:
        """Give all clients back."""
        for client in (self._events, self._views, self._log, self._workers, self._supervisors, self._olap):
            client.close()

    def _look(self, name: str) -> None:
        try:
            seen = self.looks.take(name, self._all[name])
        except MainstemError as error:
            seen = unseen("unavailable", str(error))
        except Exception as error:
            _log.error("a look at a part met a fault in the program", part=name, exc_info=error)
            seen = unseen("unavailable", f"a fault in the program: {type(error).__name__}; it was logged")
        self._seen[name] = (time.monotonic(), seen)
        self._memory.since(name, seen.works, wall_clock_ms())

    def _last(self, name: str) -> tuple[str, Seen, str | None]:
        at, seen = self._seen.get(name, (time.monotonic(), unseen("unknown", "not looked at yet")))
        silent_s = time.monotonic() - at
        if silent_s > _SILENT_S:
            seen = unseen("unavailable", f"no answer for {silent_s:.0f} s")
        return name, seen, self._memory.since(name, seen.works, wall_clock_ms())

    def _event_store(self) -> Seen:
        self._events.get().read("", limit=1)
        return Seen()

    def _view_store(self) -> Seen:
        self._views.get().offsets("")
        for datasource in self._application.datasources:
            self._look_up(datasource)
        return Seen()

    def _look_up(self, datasource: Datasource) -> Datasource:
        """The live version. The look at the views has it looked up: one that hangs must not delay the look at Druid."""
        self._live[datasource.name] = Pointers(self._views.get()).live(datasource)
        return self._live[datasource.name]

    def _kafka(self) -> Seen:
        self._log.get().ranges(EVENT_TOPIC)
        return Seen()

    def _connect(self) -> Seen:
        self._workers.get().names()
        return Seen()

    def _druid(self) -> Seen:
        self._olap.get().check()
        self._supervisors.get().names()
        return Seen()

    def _capture(self) -> Seen:
        """By the events that are not on their topic yet: what else is captured has no order of its own to go by."""
        found = self._workers.get().status(connector_name(self._application))
        state = "failed" if found.failed else WORKS if found.running else found.state.lower()
        reached = self.captured_to()
        lag, oldest_ms = self._events.get().waiting(reached)
        if lag and reached <= self._captured_to:
            reached = self.captured_to(_LAST_MANY)
            lag, oldest_ms = self._events.get().waiting(reached)
        self._captured_to = reached
        return Seen(state, found.trouble, lag, waited_s(oldest_ms, wall_clock_ms()), handled=reached)

    def captured_to(self, of_last: int = LAST_FIRST) -> int:
        """The highest position of an event among so many of the last ones in each partition of the event topic.

        Events come in the order of their commits, so the last of a partition may have a lower position than others.
        """
        log = self._log.get()
        found = (last_records(log, EVENT_TOPIC, n, held, of_last) for n, held in log.ranges(EVENT_TOPIC).items())
        return max((int(record.header("id") or 0) for records in found for record in records), default=0)

    def _listener(self, binding: Binding[Any]) -> Seen:
        """By its own account where it runs here; else by how far its view is, and by what its members tell."""
        own = self._own.get(binding.group)
        stale = self._codes.stale(self._views.get(), binding.group)
        if own is not None:
            return seen_listener(own, stale)
        views, now_ms = self._views.get(), wall_clock_ms()
        offsets = views.offsets(binding.group)
        lag = lag_of(self._log.get(), binding.topic, offsets, now_ms)
        handled = sum(offset for (topic, _), offset in offsets.items() if topic == binding.topic)
        parked = len(views.parked(binding.group))
        members = living(views, binding.group, now_ms)
        paused = is_paused(views, binding.group)
        state = state_of(members, paused=paused)
        reason = next((each.reason for each in members if each.reason), None)
        trouble = together(reason, parked_trouble(binding, parked), stale)
        return Seen(state, trouble, lag.records, lag.seconds, parked, handled=handled)

    def _processes(self) -> Seen:
        """By the own driver where it runs here; else by what is due in the view."""
        now_ms = wall_clock_ms()
        if self._driver is not None:
            return seen_driver(self._driver, now_ms)
        views = self._views.get()
        rows = views.find(PROCESS, {"driven": True}, order=("next_at_ms", "manager", "id"), limit=_DUE_MAX)
        due = [row.next_at_ms for row in rows if row.next_at_ms <= now_ms]
        stuck = len(views.find(PROCESS, {"status": "stuck"}, limit=_DUE_MAX))
        return Seen(WORKS, stuck_trouble(stuck), len(due), waited_s(min(due, default=None), now_ms))

    def _datasource(self, datasource: Datasource) -> Seen:
        """By how far its tasks have read. They are asked that first: it holds where they are seen alive afterwards.

        What was read last may be in a segment of its own that questions do not reach for a moment. Until they do, how
        much can be asked for is not known.
        """
        live = self._live.get(datasource.name) or self._look_up(datasource)
        supervisors, olap = self._supervisors.get(), self._olap.get()
        found = supervisors.status(live.name)
        read = supervisors.read_to(live.name, found)
        done = {(live.topic, partition): offset for partition, offset in read.offsets.items()}
        lag = lag_of(self._log.get(), live.topic, done, wall_clock_ms())
        if not found.running:
            return Seen(found.state.lower(), found.reason, lag.records, lag.seconds, holds=found.suspended)
        try:
            made = supervisors.ingested(live.name)
        except StoreUnavailable as error:
            return Seen("unavailable", str(error), lag.records, lag.seconds, holds=False)
        if made.tasks < found.tasks:
            why = "a task that reads its topic does not answer"
            return Seen("lost", why, lag.records, lag.seconds, holds=False)
        served = olap.served_by_tasks(live.name) if made.rows or read.segments else frozenset()
        reached = olap.serves(live.name, read.segments - served)
        if made.rows and not served and not (read.told and reached):
            why = "what its tasks have read cannot be asked for yet"
            return Seen("unserved", why, lag.records, lag.seconds, holds=False)
        trouble = found.reason or self._misfit(datasource, live) or _left_out(datasource, made)
        if not reached:
            return Seen(WORKS, trouble, None, None, rejected=made.left_out)
        handled = sum(done.values())
        return Seen(WORKS, trouble, lag.records, lag.seconds, handled=handled, rejected=made.left_out)

    def _misfit(self, datasource: Datasource, live: Datasource) -> str | None:
        """What to do where it is declared otherwise, as it stood at most ten seconds ago: only people change that."""
        asked_at, trouble = self._misfits.get(live.name, (-_DECLARED_S, None))
        if time.monotonic() < asked_at + _DECLARED_S:
            return trouble
        asked_at = time.monotonic()
        found = DruidVersions(self._supervisors.get(), self._olap.get(), self._druid_reading).otherwise(live)
        trouble = None
        if found is not None and found.rows:
            trouble = stale_datasource(datasource)
        elif found is not None and found.segments:
            trouble = undeployed_datasource(datasource)
        self._misfits[live.name] = (asked_at, trouble)
        return trouble
