"""Connectors of Kafka Connect, through its REST interface: put, watched, restarted, removed."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from mainstem.errors import ConfigurationError, StoreBusy, StoreUnavailable
from mainstem.masks import shown
from mainstem.tls import trusting

_CALL_S = 10.0
_LOOK_S = 0.1
_TRIES = 50
_TEXT_MAX = 500


@dataclass(frozen=True)
class Put:
    """What putting a connector has done: `created`, or changed `differences`, each as text without secrets."""

    created: bool
    differences: tuple[str, ...]


@dataclass(frozen=True)
class ConnectorStatus:
    """A connector's state and those of its tasks: RUNNING, FAILED, PAUSED, UNASSIGNED; `trouble` is what has failed."""

    state: str
    tasks: tuple[str, ...]
    trouble: str | None
    position: Mapping[str, Any] | None
    """How far it has come in its source, as it last told Connect; None before its first record."""

    @property
    def failed(self) -> bool:
        """Whether it or one of its tasks has ended by an error, and waits for a restart."""
        return "FAILED" in (self.state, *self.tasks)

    @property
    def running(self) -> bool:
        """Whether it and all of its tasks run, and its first picture of the tables is done."""
        states = {self.state, *self.tasks}
        began = self.position is not None and not self.position.get("snapshot")
        return states == {"RUNNING"} and bool(self.tasks) and began


class Connect:
    """A worker of a Connect cluster at `url`, as http://127.0.0.1:8083.

    With `tls_ca` (a file) it must show a certificate of one of those authorities.

    Raises StoreUnavailable where it cannot be reached, ConfigurationError where it refuses, and StoreBusy where its
    cluster shares its connectors out for too long.
    """

    def __init__(self, url: str, *, tls_ca: str | None = None) -> None:
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigurationError("the address of Connect must be as http://127.0.0.1:8083")
        self.place = f"Connect at {parsed.host}:{parsed.port or parsed.scheme}"
        self._client = httpx.Client(
            base_url=parsed.copy_with(userinfo=b""),
            auth=httpx.BasicAuth(parsed.username, parsed.password) if parsed.username else None,
            timeout=_CALL_S,
            trust_env=False,
            verify=trusting(tls_ca),
        )

    def put(self, name: str, config: Mapping[str, str]) -> Put:
        """Make the connector, or change it where it stands otherwise, or leave it."""
        stands = self.config(name)
        found = () if stands is None else tuple(_differences(stands, config))
        if stands is None or found:
            self._call("PUT", f"{_of(name)}/config", msgspec.json.encode({**config, "name": name}))
        return Put(stands is None, found)

    def names(self) -> tuple[str, ...]:
        """All connectors that there are."""
        return tuple(sorted(self._call("GET", "/connectors")))

    def config(self, name: str) -> Mapping[str, str] | None:
        """As it stands, secrets included; None where there is none."""
        found: Mapping[str, str] | None = self._call("GET", f"{_of(name)}/config", none=True)
        return found

    def status(self, name: str) -> ConnectorStatus:
        """How it is doing. Raises ConfigurationError where there is none of that name."""
        if self.config(name) is None:
            raise ConfigurationError(f"{self.place} has no connector {name}")
        found = self._call("GET", f"{_of(name)}/status", none=True)
        if found is None:
            return ConnectorStatus("UNASSIGNED", (), None, None)
        parts = (found["connector"], *found["tasks"])
        trouble = next((_cause(part["trace"]) for part in parts if part.get("trace")), None)
        states = tuple(task["state"] for task in found["tasks"])
        return ConnectorStatus(found["connector"]["state"], states, trouble, self._position(name))

    def await_running(
        self, name: str, timeout_s: float = 120.0, progress: Callable[[ConnectorStatus], None] | None = None
    ) -> ConnectorStatus:
        """Wait until it reads its source's log; `progress` is told each state that it comes into.

        Raises StoreUnavailable where the time is over first, or at once where a task has failed.
        """
        deadline = time.monotonic() + timeout_s
        told: tuple[str, tuple[str, ...]] | None = None
        while True:
            found = self.status(name)
            if progress is not None and told != (found.state, found.tasks):
                told = (found.state, found.tasks)
                progress(found)
            if found.running:
                return found
            if found.failed:
                raise StoreUnavailable(f"the connector {name} has failed: {found.trouble}")
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"the connector {name} is {found.state} {found.tasks} after {timeout_s:g} s")
            time.sleep(_LOOK_S)

    def restart(self, name: str, *, all_of_it: bool = False) -> None:
        """Start what has failed of it again, or all of it."""
        self._call("POST", f"{_of(name)}/restart?includeTasks=true&onlyFailed={str(not all_of_it).lower()}")

    def remove(self, name: str) -> None:
        """Remove it. Its position stays, so one of the same name goes on from there. Nothing where there is none."""
        self._call("DELETE", _of(name), none=True)

    def close(self) -> None:
        """Give the connections back. Closing twice is allowed."""
        self._client.close()

    def _position(self, name: str) -> Mapping[str, Any] | None:
        found = self._call("GET", f"{_of(name)}/offsets", none=True)
        offsets = (found or {}).get("offsets") or []
        position: Mapping[str, Any] | None = offsets[0]["offset"] if offsets else None
        return position

    def _call(self, method: str, path: str, body: bytes | None = None, *, none: bool = False) -> Any:
        """The answer's content; None for 404 where that is an answer too. A cluster that shares out is asked again."""
        for _ in range(_TRIES):
            response = self._ask(method, path, body)
            if response.status_code == httpx.codes.NOT_FOUND and none:
                return None
            if not _shares_out(response):
                return self._content(response)
            time.sleep(_LOOK_S)
        raise StoreBusy(f"{self.place} shares its connectors out for too long")

    def _ask(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        if self._client.is_closed:
            raise StoreUnavailable(f"{self.place} is closed")
        try:
            headers = {"Content-Type": "application/json"}
            return self._client.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"{self.place} cannot be reached: {type(error).__name__}: {error}") from error

    def _content(self, response: httpx.Response) -> Any:
        try:
            content = msgspec.json.decode(response.content) if response.content else {}
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"{self.place} has answered with something else than JSON") from error
        if response.is_success:
            return content
        text = f"status {response.status_code}: {content.get('message', '')}"[:_TEXT_MAX]
        if response.is_server_error:
            raise StoreUnavailable(f"{self.place}: {text}")
        raise ConfigurationError(f"{self.place} refuses: {text}")


def _shares_out(response: httpx.Response) -> bool:
    """Whether it is to be asked again: some requests that come while connectors are shared out get a 500 for it."""
    if response.status_code == httpx.codes.CONFLICT:
        return True
    return response.is_server_error and b"rebalance is expected" in response.content


def _cause(trace: str) -> str:
    """What is at the bottom of a Java stack trace."""
    lines = trace.strip().splitlines()
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines)[-1][:_TEXT_MAX]


def _of(name: str) -> str:
    return f"/connectors/{quote(name, safe='')}"


def _differences(stands: Mapping[str, str], declared: Mapping[str, str]) -> list[str]:
    found = []
    for name in sorted({*stands, *declared} - {"name"}):
        old, new = stands.get(name), declared.get(name)
        if old != new:
            texts = [shown(name, value) if value is not None else "nothing" for value in (old, new)]
            found.append(f"{name}: {texts[0]} stands, {texts[1]} is declared")
    return found
