"""How far Druid's tasks have read, by their own word: their supervisor hears the same of them, but only every 5 s.

Each is asked at its own place, which the overlord names. A place that cannot be reached from here (behind a NAT, of a
name that is known there alone) is left alone for a while, and what it would say is left out: nobody relies on it.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Meta, Struct

from mainstem.errors import ConfigurationError, MainstemError, StoreBusy, StoreUnavailable
from mainstem.olap.druid_http import DruidHttp
from mainstem.olap.druid_waiting import OneAtATime

T = TypeVar("T")
Offsets = Mapping[int, int]
"""By partition, from where on records are not yet read."""

_CHAT = "/druid/worker/v1/chat"
_SEGMENTS = "/druid-internal/v1/segments?counter=-1&hash=0&timeout=1000"
"""What Druid's broker asks too: a counter below 0 asks for all of them, which are told at once."""

_LIMIT_S = 1.0
_AWAY_S, _ODD_S = 30.0, 2.0
"""How long a host is left alone that cannot be reached, and a task whose answer is of no use, as when it begins."""

_LOCATE_S, _LOCATED_S = 2.0, 60.0
"""How long it is at least until places are asked for again, and how long they are believed."""


@dataclass(frozen=True)
class Word:
    """What a task says: how far it has read, and then, the unpublished segments of the datasource at its place."""

    offsets: Offsets
    segments: frozenset[str]


@dataclass(frozen=True)
class ReadTo:
    """How far all tasks have read. What lies before `offsets` can be asked for once all `segments` can.

    `told` is whether they were all asked themselves: else there may be other segments too.
    """

    offsets: Offsets
    segments: frozenset[str]
    told: bool


class _Change(Struct, rename="camel"):
    """A segment that a place serves (`load`), or something else about one."""

    action: str
    data_source: str = ""
    identifier: str = ""


class _Changes(Struct):
    requests: list[_Change]


class _OfNoUse(Exception):
    """A place has answered with something else than what was asked for."""


@dataclass(frozen=True)
class _Place:
    host: str
    url: str


class DruidTasks:
    """Clients of the tasks of the overlord at the URL, whose name and password they are shown, though not less safely.

    `running` lists the tasks that run, as the overlord does. From any thread.
    """

    def __init__(self, overlord: str, tls_ca: str | None, running: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        self._overlord = httpx.URL(overlord)
        self._tls_ca = tls_ca
        self._running = running
        self._asking = OneAtATime("Druid")
        self._guard = threading.Lock()
        self._places: dict[str, _Place] = {}
        self._located_at = float("-inf")
        self._clients: dict[str, DruidHttp] = {}
        self._rests: dict[str, float] = {}

    def words(self, datasource: str, tasks: Collection[str]) -> dict[str, Word]:
        """What each of them says; those that cannot be asked now are left out. Takes two seconds at most."""
        found: dict[str, Word] = {}
        until = time.monotonic() + _LIMIT_S
        places = self._places_of(tasks)
        for task, place in places.items():
            if time.monotonic() > until or self._rest(task) or self._rest(place.host):
                continue
            try:
                found[task] = self._asking.ask(place.host, partial(self._ask, place, task, datasource), _LIMIT_S)
            except StoreUnavailable:
                self._leave(place.host, _AWAY_S)
            except (_OfNoUse, StoreBusy, ConfigurationError):
                self._leave(task, _ODD_S)
        return found

    def close(self) -> None:
        """Give the connections back. Closing twice is allowed."""
        with self._guard:
            for client in self._clients.values():
                client.close()

    def _ask(self, place: _Place, task: str, datasource: str) -> Word:
        """First the offsets: a segment for what was read before is among those that are told afterwards."""
        client = self._client(place)
        chat = f"{_CHAT}/{quote(task, safe='')}/offsets/current"
        offsets = _answer(client, chat, dict[int, Annotated[int, Meta(ge=0)]])
        held = _answer(client, _SEGMENTS, _Changes).requests
        segments = frozenset(e.identifier for e in held if (e.action, e.data_source) == ("load", datasource))
        if "" in segments:
            raise _OfNoUse
        return Word(offsets, segments)

    def _client(self, place: _Place) -> DruidHttp:
        with self._guard:
            if place.url not in self._clients:
                self._clients[place.url] = DruidHttp(place.url, self._tls_ca)
            return self._clients[place.url]

    def _places_of(self, tasks: Collection[str]) -> dict[str, _Place]:
        """Of those that have one. The overlord is asked where one is new, or after a minute."""
        age_s = time.monotonic() - self._located_at
        if age_s > _LOCATED_S or (age_s > _LOCATE_S and not self._places.keys() >= {*tasks}):
            self._located_at = time.monotonic()
            with suppress(MainstemError):
                self._locate(self._asking.ask("", self._running, _LIMIT_S))
        places = self._places
        return {task: places[task] for task in tasks if task in places}

    def _locate(self, running: Iterable[Mapping[str, Any]]) -> None:
        found = {str(task["id"]): self._place(task.get("location") or {}) for task in running}
        with self._guard:
            self._places = {task: place for task, place in found.items() if place is not None}
            for url in self._clients.keys() - {place.url for place in self._places.values()}:
                self._clients.pop(url).close()

    def _place(self, location: Mapping[str, Any]) -> _Place | None:
        """By HTTPS where it is spoken there, as Druid itself does; None while the task is nowhere."""
        host, port, tls_port = (location.get(name) for name in ("host", "port", "tlsPort"))
        tls = isinstance(tls_port, int) and tls_port > 0
        port = tls_port if tls else port
        if not isinstance(host, str) or not host or not isinstance(port, int) or port <= 0:
            return None
        try:
            url = self._overlord.copy_with(scheme="https" if tls else "http", host=host, port=port, path="/")
        except httpx.InvalidURL:
            return None
        if self._overlord.scheme == "https" and not tls:
            url = url.copy_with(userinfo=b"")
        return _Place(host, str(url))

    def _rest(self, who: str) -> bool:
        return time.monotonic() < self._rests.get(who, 0.0)

    def _leave(self, who: str, for_s: float) -> None:
        now = time.monotonic()
        with self._guard:
            self._rests = {each: until for each, until in self._rests.items() if until > now} | {who: now + for_s}


def read_to(by_task: Mapping[str, Offsets], words: Mapping[str, Word]) -> ReadTo:
    """Of what the supervisor says of its tasks, and what they say themselves, which is newer and goes before.

    It may be less too, where a task has begun again. Of a partition that several tasks read, any of them may be asked:
    what all of them have read counts. `words` may have those of tasks that publish too: of them the segments count.
    """
    said = [_newest(offsets, words.get(task)) for task, offsets in by_task.items()]
    segments = frozenset[str]().union(*(word.segments for word in words.values()))
    return ReadTo(lowest(said), segments, words.keys() >= by_task.keys())


def lowest(said: Iterable[Offsets]) -> dict[int, int]:
    """By partition, what all that read it have read."""
    found: dict[int, int] = {}
    for offsets in said:
        for partition, offset in offsets.items():
            found[partition] = min(offset, found.get(partition, offset))
    return found


def _newest(offsets: Offsets, word: Word | None) -> Offsets:
    return offsets if word is None else {each: word.offsets.get(each, offset) for each, offset in offsets.items()}


def _answer(client: DruidHttp, path: str, kind: type[T]) -> T:
    response = client.call("GET", path, _LIMIT_S)
    if response.status_code != httpx.codes.OK:
        raise _OfNoUse
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as error:
        raise _OfNoUse from error
