"""What operators ask of an application: of its running process where there is one, of its files otherwise."""

import signal
import threading
import urllib.error
import urllib.request
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from mainstem.application import Application
from mainstem.assembly import Distributed, Status, bring_up, distributed
from mainstem.assembly.stages import Stages
from mainstem.assembly.stores import open_events
from mainstem.errors import Forbidden, StoreUnavailable
from mainstem.eventstore.port import KeptSnapshot
from mainstem.folder import owner_of
from mainstem.health import WORKS
from mainstem.reconciliation import Reconciliation
from mainstem.settings import Settings

_log = structlog.get_logger(__name__)

_ASK_S = 600.0
_LIVE_S = 5.0
_ALIVE_S = 5.0
_WELL = (WORKS, "paused")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""What is on this machine is not asked through a proxy, which would see the token."""


def reconciliation(application: Application, settings: Settings) -> Reconciliation:
    """Hold the accounts against each other, by the process that has the files open, or by this one."""
    if settings.form == "embedded" and _running_at(settings) is not None:
        return msgspec.json.decode(_ask(settings, "/reconciliation"), type=Reconciliation)
    if settings.form == "embedded" and not (settings.data_dir / "events.db").is_file():
        raise StoreUnavailable(f"there is nothing to reconcile: no events.db in the folder {settings.data_dir}")
    running = bring_up(application, settings)
    try:
        if settings.form == "embedded":
            running.start()
        return running.reconcile()
    finally:
        running.stop()


def keep_views(application: Application, settings: Settings) -> None:
    """Run the listeners of the distributed form, without HTTP, until SIGINT or SIGTERM."""
    running = distributed(application, settings)  # a signal while it waits for a server ends the process at once
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    with running:
        _log.info("the listeners run", groups=[binding.group for binding in application.listeners])
        while not told.wait(_ALIVE_S):
            _touch_while_working(settings.alive_file, running)


def _touch_while_working(file: Path | None, running: Distributed) -> None:
    if file is None or not all(runner.status().state in _WELL for runner in running.listeners.values()):
        return
    try:
        file.touch()
    except OSError as error:
        _log.warning("the file that shows that the listeners work cannot be touched", cause=str(error))


def status(application: Application, settings: Settings) -> dict[str, Any]:
    """The running application's parts and stages. Raises StoreUnavailable where none runs in this folder."""
    if settings.form == "distributed":
        with closing(Stages(application, settings, {})) as stages:
            stages.look()
            return dict(msgspec.to_builtins(Status(None, stages.parts(), stages.hops())))
    return msgspec.json.decode(_ask(settings, "/status"), type=dict[str, Any])


class SnapshotsOf(Struct, frozen=True):
    """The snapshots of one category and one fingerprint; those that are not `current` nobody reads any more."""

    category: str
    fingerprint: str
    current: bool
    snapshots: int
    bytes: int
    newest_ms: int


def snapshots_by_code(application: Application, settings: Settings) -> list[SnapshotsOf]:
    """What is kept, added up, in the order of categories."""
    current = {(decider.category, decider.fingerprint()) for decider in application.deciders}
    found: dict[tuple[str, str], SnapshotsOf] = {}
    with closing(open_events(settings)) as events:
        for each in events.kept_snapshots():
            place = (each.stream.partition("-")[0], each.fingerprint)
            known = found.get(place) or SnapshotsOf(*place, place in current, 0, 0, 0)
            found[place] = SnapshotsOf(
                *place,
                known.current,
                known.snapshots + 1,
                known.bytes + each.size,
                max(known.newest_ms, each.taken_at_ms),
            )
    return [found[place] for place in sorted(found)]


def snapshots_of(settings: Settings, stream: str) -> list[KeptSnapshot]:
    """What is kept of one stream."""
    with closing(open_events(settings)) as events:
        return list(events.kept_snapshots(stream))


def drop_snapshots(application: Application, settings: Settings, *, old: bool) -> int:
    """Drop all, or those alone that the application's code has not made; how many went. Nothing but speed changes."""
    keep = {decider.fingerprint() for decider in application.deciders} if old else set[str]()
    gone = 0
    with closing(open_events(settings)) as events:
        while dropped := events.drop_snapshots(keep=keep):
            gone += dropped
    return gone


def _running_at(settings: Settings) -> str | None:
    owner = owner_of(settings.data_dir)
    return owner.url if owner is not None and owner.url else None


def _ask(settings: Settings, path: str) -> bytes:
    url = _running_at(settings)
    if url is None:
        raise StoreUnavailable(f"no application runs on the folder {settings.data_dir}")
    headers = {} if settings.auth_token is None else {"Authorization": f"Bearer {settings.auth_token.value}"}
    request = urllib.request.Request(url + path, headers=headers)  # noqa: S310 - the owner's own address
    try:
        _DIRECT.open(f"{url}/health/live", timeout=_LIVE_S).close()  # the answer may take long, but not this one
        with _DIRECT.open(request, timeout=_ASK_S) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            text = "wants a token with the scope operator: set MAINSTEM_AUTH_TOKEN"
            raise Forbidden(f"the application at {url} {text}") from error
        raise StoreUnavailable(f"the application at {url} answers with status {error.code}") from error
    except (urllib.error.URLError, OSError) as error:
        raise StoreUnavailable(f"the application at {url} does not answer: {error}") from error
