"""The supervisors of Druid's overlord: posted, watched, suspended, ended; and beside them the coordinator's upkeep."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from mainstem.errors import ConfigurationError, StoreBusy, StoreUnavailable
from mainstem.masks import shown
from mainstem.olap.druid_http import DruidHttp, Overdue, json_of
from mainstem.olap.druid_spec import Json, Reading, supervisor_spec
from mainstem.olap.druid_tasks import DruidTasks, Offsets, ReadTo, lowest, read_to
from mainstem.olap.druid_upkeep import upkeep_of
from mainstem.olap.druid_waiting import OneAtATime
from mainstem.olap.port import Datasource

_PATH = "/druid/indexer/v1/supervisor"
_TASKS = "/druid/indexer/v1/tasks"
_TASK = "/druid/indexer/v1/task"
_WORKERS = "/druid/indexer/v1/workers"
_DATASOURCES = "/druid/indexer/v1/datasources"
_COMPACTION = "/druid/coordinator/v1/config/compaction"
_RULES = "/druid/coordinator/v1/rules"
_UNENDED = ("running", "pending", "waiting")
_DROP_S = 60.0
_CALL_S = 10.0
_ENDS_S = 90.0
"""Druid answers when a supervisor's tasks have ended; it gives them 80 s (`shutdownTimeout`), busy or dead ones too."""

_TASKS_S, _TASKS_LATEST_S = 2.0, 120.0
_LOOK_S = 0.25
_REASON_MAX = 300
_OURS = "spec.ioConfig.consumerProperties"
"""What Druid adds nothing to: what is not declared there is left over, and may be somebody's password."""

_READING = ("RUNNING", "UNHEALTHY_TASKS")
"""UNHEALTHY_TASKS stays until three tasks in a row have ended well, which takes three times a task's duration."""


@dataclass(frozen=True)
class Difference:
    """A place in a supervisor's JSON where what stands is not what is declared; None where there is nothing.

    As text it has stars in the place of what may be a secret.
    """

    place: str
    stands: Any
    declared: Any

    def __str__(self) -> str:
        stands, declared = (shown(self.place, value) for value in (self.stands, self.declared))
        return f"{self.place}: {stands} stands, {declared} is declared"


@dataclass(frozen=True)
class Posted:
    """What posting has done: `created`, or `changed` with the differences; neither where it stood as declared."""

    created: bool
    differences: tuple[Difference, ...]

    @property
    def changed(self) -> bool:
        """Whether another specification stood."""
        return bool(self.differences)


@dataclass(frozen=True)
class SupervisorStatus:
    """How a supervisor is doing; Druid brings offsets and lag up to date every 5 s while tasks run.

    `state` is Druid's detailed state: CREATING_TASKS, RUNNING, SUSPENDED, LOST_CONTACT_WITH_STREAM and so on. `lag`
    counts by partition the offsets that are not yet read, None where that is not known yet. The end marker of a Kafka
    transaction takes an offset and is never read as a record: a lag of 1 can be a partition that is read to its end.
    `read` says by task and partition from where on records are not yet read; tasks that do not read any more are
    `publishing`.
    """

    state: str
    healthy: bool
    suspended: bool
    tasks: int
    publishing: tuple[str, ...]
    lag: Mapping[int, int | None]
    reason: str | None
    read: Mapping[str, Offsets]

    @property
    def offsets(self) -> Offsets:
        """By partition, from where on records are not yet read; of several tasks that read it the lowest."""
        return lowest(self.read.values())

    @property
    def running(self) -> bool:
        """Whether tasks read the topic now, also where several before them have failed."""
        return self.state in _READING and self.tasks > 0

    @property
    def read_to_end(self) -> bool:
        """Whether nothing of the topic waits but what may be the end markers of transactions."""
        return self.running and all(behind is not None and behind <= 1 for behind in self.lag.values())


@dataclass(frozen=True)
class Ingested:
    """What the tasks that answer at the moment have made of the records: the count begins anew with each task.

    `thrown_away` did not fit their declaration, `unparseable` are no JSON object or have no time.
    """

    tasks: int
    rows: int
    thrown_away: int
    unparseable: int

    @property
    def left_out(self) -> int:
        """All of which no row was made."""
        return self.thrown_away + self.unparseable


class Supervisors:
    """A client of the overlord at `url`, as http://127.0.0.1:8081, which is the coordinator too, or a router to both.

    All calls raise StoreUnavailable where Druid cannot be reached or fails, and ConfigurationError where it refuses.
    """

    def __init__(self, url: str, *, tls_ca: str | None = None) -> None:
        self._http = DruidHttp(url, tls_ca)
        self._stats = OneAtATime(self._http.place)
        self._own = DruidTasks(url, tls_ca, partial(self._call, "GET", f"{_TASKS}?state=running"))

    def post(self, datasource: Datasource, reading: Reading) -> Posted:
        """Make the supervisor, or leave it where it stands as declared, also where it is suspended.

        A changed one is posted anew: its tasks publish what they have, and new ones go on from there.
        """
        declared = supervisor_spec(datasource, reading)
        stands = self.spec(datasource.name)
        found = () if stands is None else tuple(differences(stands, declared))
        if stands is None or found:
            suspended = stands is not None and bool(stands.get("suspended"))
            specification = msgspec.json.encode({**declared, "suspended": suspended})
            self._call("POST", _PATH, specification, limit_s=_ENDS_S)
        return Posted(stands is None, found)

    def spec(self, name: str) -> Json | None:
        """The specification that stands, as Druid completes it; None where there is none."""
        return self._found(self._of(name))

    def upkeep(self, name: str) -> Json:
        """The compaction and the rules that stand for a datasource, as `upkeep_of` declares them."""
        rules = self._call("GET", _below(_RULES, name))
        return {"compaction": _said(self._found(_below(_COMPACTION, name))), "rules": rules or []}

    def keep_up(self, datasource: Datasource) -> tuple[Difference, ...]:
        """Set what is declared, and end what is not; the differences that there were."""
        stands = self.upkeep(datasource.name)
        found: list[Difference] = []
        for kind, declared in upkeep_of(datasource).items():
            of_kind = list(differences(stands[kind], declared, kind))
            if of_kind:
                self._set_upkeep(datasource.name, kind, declared)
            found += of_kind
        return tuple(found)

    def _set_upkeep(self, name: str, kind: str, declared: Any) -> None:
        if kind == "rules":
            self._do("POST", _below(_RULES, name), msgspec.json.encode(declared))
        elif declared is None:
            self._do("DELETE", _below(_COMPACTION, name))
        else:
            self._do("POST", _COMPACTION, msgspec.json.encode(declared))

    def names(self) -> tuple[str, ...]:
        """All supervisors that have not been ended."""
        return tuple(sorted(self._call("GET", _PATH)))

    def status(self, name: str) -> SupervisorStatus:
        """How it is doing. Raises ConfigurationError where there is none of that name."""
        return _status(self._call("GET", f"{self._of(name)}/status")["payload"])

    def ingested(self, name: str) -> Ingested:
        """What its running tasks have read, by their own word: the status may have what a dead one said last.

        Raises StoreUnavailable where they leave Druid without an answer for 2 s.
        """
        asked = partial(self._call, "GET", f"{self._of(name)}/stats", limit_s=_TASKS_LATEST_S)
        groups: Mapping[str, Any] = self._stats.ask(name, asked, _TASKS_S)
        totals = [
            task["totals"]["buildSegments"]
            for group in groups.values()
            for task in group.values()
            if task and "totals" in task
        ]
        figures = ("processed", "thrownAway", "unparseable")
        return Ingested(len(totals), *(int(sum(total.get(figure, 0) for total in totals)) for figure in figures))

    def read_to(self, name: str, found: SupervisorStatus) -> ReadTo:
        """How far its tasks have read, by their own word where they can be asked, else by its status that was found."""
        return read_to(found.read, self._own.words(name, (*found.read, *found.publishing)))

    def has_no_rows(self, name: str) -> bool:
        """Whether its tasks have read the topic to the end, as far as Druid knew it up to 5 s ago, and made no row.

        Raises StoreUnavailable where nobody is to read it: there is no supervisor of that name.
        """
        stands = self._found(f"{self._of(name)}/status")
        if stands is None:
            raise StoreUnavailable(f"{self._http.place} has no supervisor {name}: see mainstem deploy")
        found = _status(stands["payload"])
        if not found.read_to_end:
            return False
        made = self.ingested(name)
        return made.tasks >= found.tasks and made.rows == 0

    def await_running(
        self, name: str, timeout_s: float = 120.0, progress: Callable[[SupervisorStatus], None] | None = None
    ) -> SupervisorStatus:
        """Wait until its tasks read the topic; `progress` is told each state that it comes into.

        Raises StoreUnavailable where the time is over first, with the reason that Druid gives, and ConfigurationError
        at once where it is suspended.
        """
        deadline = time.monotonic() + timeout_s
        told = None
        while True:
            found = self.status(name)
            if progress is not None and found.state != told:
                told = found.state
                progress(found)
            if found.running:
                return found
            if found.suspended:
                raise ConfigurationError(f"the supervisor {name} is suspended")
            if time.monotonic() > deadline:
                reason = f": {found.reason}" if found.reason else ""
                raise StoreUnavailable(f"the supervisor {name} is {found.state} after {timeout_s:g} s{reason}")
            time.sleep(_LOOK_S)

    def suspend(self, name: str) -> None:
        """Its tasks publish what they have read and end; their data stays."""
        self._call("POST", f"{self._of(name)}/suspend", limit_s=_ENDS_S)

    def resume(self, name: str) -> None:
        """Go on where it stopped."""
        self._call("POST", f"{self._of(name)}/resume")

    def terminate(self, name: str) -> None:
        """End it; its data, and the offsets up to where it came, stay. Nothing where there is none."""
        if self.spec(name) is not None:
            self._call("POST", f"{self._of(name)}/terminate", limit_s=_ENDS_S)

    def drop(self, name: str) -> None:
        """End it, its upkeep and its tasks, and have Druid forget its data.

        Another of that name would go on where it came to. What a task still published after its data are forgotten
        would come back, so they are ended first. Raises StoreUnavailable where they do not end within a minute.
        """
        self.terminate(name)
        for kind, stands in self.upkeep(name).items():
            if stands:
                self._set_upkeep(name, kind, [] if kind == "rules" else None)
        deadline = time.monotonic() + _DROP_S
        while tasks := self._tasks(name):
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"{self._http.place}: tasks of {name} have not ended after {_DROP_S:g} s")
            for task in tasks:
                self.end_task(task)
            time.sleep(_LOOK_S)
        self._call("DELETE", _below(_DATASOURCES, name))

    def lost_tasks(self, name: str) -> frozenset[str]:
        """Tasks that Druid takes for running in a process that does not know them, as it does where one has died.

        It sees that by itself within seconds, but not always: where ZooKeeper was away shortly before, a supervisor
        has waited for such a task until its duration, an hour, was over.
        """
        known: dict[str, set[str]] = {}
        for each in self._call("GET", _WORKERS):
            known.setdefault(str(each["worker"]["host"]), set()).update(each["runningTasks"])
        found = set()
        for task in self._tasks_in("running", name):
            place = f"{task['location']['host']}:{task['location']['port']}"
            if place in known and task["id"] not in known[place]:
                found.add(str(task["id"]))
        return frozenset(found)

    def end_task(self, task: str) -> None:
        """Its supervisor makes another, which goes on where the last segments end. One that has ended is left."""
        self._http.call("POST", f"{_TASK}/{quote(task, safe='')}/shutdown", _CALL_S)

    def _tasks(self, name: str) -> list[str]:
        """Those that have not ended."""
        return [str(each["id"]) for state in _UNENDED for each in self._tasks_in(state, name)]

    def _tasks_in(self, state: str, name: str) -> list[Json]:
        """Asked for all: by a datasource Druid finds none that it has taken up again after it had lost ZooKeeper."""
        return [each for each in self._call("GET", f"{_TASKS}?state={state}") if each["dataSource"] == name]

    def close(self) -> None:
        """Give the connections back. Closing twice is allowed."""
        self._own.close()
        self._http.close()

    def _of(self, name: str) -> str:
        return _below(_PATH, name)

    def _found(self, path: str) -> Json | None:
        response = self._http.call("GET", path, _CALL_S)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        found = self._content(response)
        return found if isinstance(found, dict) else None

    def _call(self, method: str, path: str, body: bytes | None = None, *, limit_s: float = _CALL_S) -> Any:
        return self._content(self._http.call(method, path, limit_s, body))

    def _do(self, method: str, path: str, body: bytes | None = None) -> None:
        """What is answered without a content."""
        self._check(self._http.call(method, path, _CALL_S, body))

    def _content(self, response: httpx.Response) -> Any:
        self._check(response)
        return json_of(response, self._http.place)

    def _check(self, response: httpx.Response) -> None:
        if response.status_code != httpx.codes.OK:
            if response.status_code == httpx.codes.NOT_FOUND:
                raise ConfigurationError(
                    f"{self._http.place} has no {response.request.url.path.removeprefix(_PATH)[1:]}"
                )
            error = self._http.error(response)
            if isinstance(error, StoreUnavailable | StoreBusy | ConfigurationError):
                raise error
            text = "too slow" if isinstance(error, Overdue) else str(error)
            raise ConfigurationError(f"{self._http.place} refuses: {text}") from error


def _said(stands: Any) -> Any:
    """Without the many settings of which nothing is said."""
    if not isinstance(stands, dict):
        return stands
    return {name: _said(value) for name, value in stands.items() if value is not None}


def _below(path: str, name: str) -> str:
    return f"{path}/{quote(name, safe='')}"


def differences(stands: Any, declared: Any, place: str = "") -> Iterator[Difference]:
    """Where JSON that stands lacks something of what is declared; Druid's own additions to objects are none."""
    if isinstance(declared, dict) and isinstance(stands, dict):
        names = {**declared, **stands} if place.startswith(_OURS) else declared
        for name in names:
            yield from differences(stands.get(name), declared.get(name), f"{place}.{name}" if place else name)
    elif isinstance(declared, list) and isinstance(stands, list) and len(declared) == len(stands):
        for number, value in enumerate(declared):
            yield from differences(stands[number], value, f"{place}[{number}]")
    elif stands != declared:
        yield Difference(place, stands, declared)


def _status(payload: Mapping[str, Any]) -> SupervisorStatus:
    tasks = payload.get("activeTasks") or []
    lag = {int(partition): None for task in tasks for partition in task.get("startingOffsets") or {}}
    known = {int(partition): int(behind) for partition, behind in (payload.get("minimumLag") or {}).items()}
    read = {str(task["id"]): _offsets(task) for task in tasks}
    errors = payload.get("recentErrors") or []
    reason = None
    if errors and not payload.get("healthy", False):
        reason = " ".join(str(errors[-1].get("message") or errors[-1].get("exceptionClass")).split())[:_REASON_MAX]
    return SupervisorStatus(
        state=str(payload.get("detailedState") or payload.get("state")),
        healthy=bool(payload.get("healthy")),
        suspended=bool(payload.get("suspended")),
        tasks=len(tasks),
        publishing=tuple(str(task["id"]) for task in payload.get("publishingTasks") or []),
        lag={**lag, **known},
        reason=reason,
        read=read,
    )


def _offsets(task: Mapping[str, Any]) -> Offsets:
    said = {**(task.get("startingOffsets") or {}), **(task.get("currentOffsets") or {})}
    return {int(partition): int(offset) for partition, offset in said.items()}
