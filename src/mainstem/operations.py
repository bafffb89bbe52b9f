"""What operators ask of an application: of its running process where there is one, of its files otherwise."""

import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from mainstem.application import Application
from mainstem.assembly import Distributed, Embedded, Running, Status, bring_up, distributed
from mainstem.assembly.rebuilding import own_rebuilds
from mainstem.assembly.stages import Stages
from mainstem.assembly.stores import commands_of, events_file, open_events, stored_events
from mainstem.errors import Forbidden, InvalidQuery, MainstemError, Refused, StoreUnavailable, UnknownTenant
from mainstem.eventstore.port import KeptSnapshot
from mainstem.folder import owner_of
from mainstem.forgetting import Told
from mainstem.health import WORKS
from mainstem.messages import SYSTEM, Origin
from mainstem.privacy.port import Forgetting
from mainstem.process.desk import Listed, Processes
from mainstem.query.access import TENANT_HEADER
from mainstem.rebuild import Rebuilds, Standing
from mainstem.reconciliation import Reconciliation
from mainstem.refusals import KeptRefusal, RefusalFilter, refusal_id, retry_of
from mainstem.settings import Settings
from mainstem.tenancy import read_stream

_log = structlog.get_logger(__name__)

_ASK_S = 600.0
_LIVE_S = 5.0
_ALIVE_S = 5.0
_DETAIL_MAX = 65_536
_NO_ROUTE = "not-found"
_OPERATOR = "operator"
"""Who asks for what the command line itself carries out."""

_REFUSING = (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)

_WELL = (WORKS, "paused")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""What is on this machine is not asked through a proxy, which would see the token."""


def reconciliation(application: Application, settings: Settings) -> Reconciliation:
    """Hold the accounts against each other, by the process that has the files open, or by this one."""
    answer = asked(settings, "/reconciliation")
    if answer is not None:
        return msgspec.json.decode(answer, type=Reconciliation)
    if settings.form == "embedded":
        events_file(settings, "there is nothing to reconcile:")
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
        _log.info("the listeners run", groups=[binding.group for binding in application.all_listeners()])
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
    """The running application's parts and stages. Raises StoreUnavailable where none runs in this folder.

    Of the distributed form by one look, which tells what does not work and not since when.
    """
    if settings.form == "distributed":
        with closing(Stages(application.configured(settings), settings, {})) as stages:
            stages.look()
            parts = tuple(replace(part, since=None) for part in stages.parts())
            hops = tuple(replace(hop, since=None) for hop in stages.hops())
            return dict(msgspec.to_builtins(Status(None, parts, hops)))
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
    current = {(decider.category, decider.fingerprint()) for decider in application.all_deciders()}
    found: dict[tuple[str, str], SnapshotsOf] = {}
    with closing(open_events(settings)) as events:
        for each in events.kept_snapshots():
            place = (read_stream(each.stream).category, each.fingerprint)
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
    keep = {decider.fingerprint() for decider in application.all_deciders()} if old else set[str]()
    gone = 0
    with closing(open_events(settings)) as events:
        while dropped := events.drop_snapshots(keep=keep):
            gone += dropped
    return gone


class Retrial(Struct, frozen=True, rename="camel"):
    """What became of a retry: the version that its stream has come to, or the refusal that it led to."""

    refusal: str
    stream: str
    accepted: bool
    version: int | None = None
    refused_again: str | None = None
    reason: str | None = None
    text: str | None = None


def retry_refusal(application: Application, settings: Settings, number: int) -> Retrial:
    """Have a refused command tried again, by the process that has the files open, or by this one.

    What became of it is read from the store. Raises what the retry raises where it was neither accepted nor refused.
    """
    with closing(stored_events(settings)) as store:
        kept = store.refusals.find(number)
        if kept is None:
            raise InvalidQuery(f"there is no refusal {refusal_id(number)}")
        trouble = _retry(application, settings, kept)
        found = store.refusals.find(number)
        retried = None if found is None else found.retried
        again = store.refusals.page(RefusalFilter(retry_of=number), None, 1)
    told = (refusal_id(number), kept.refusal.stream)
    if retried is not None:
        return Retrial(*told, accepted=True, version=retried.version)
    if not again:
        raise trouble or StoreUnavailable("the command was neither accepted nor refused")
    second = again[0].refusal
    return Retrial(
        *told, accepted=False, refused_again=refusal_id(again[0].number), reason=second.reason, text=second.text
    )


def _retry(application: Application, settings: Settings, kept: KeptRefusal) -> MainstemError | None:
    try:
        tenant = read_stream(kept.refusal.stream).tenant
        if asked(settings, f"/refusals/{refusal_id(kept.number)}/retry", b"{}", tenant=tenant) is None:
            made = retry_of(kept, application.all_deciders(), _OPERATOR)
            with commands_of(application, settings) as commands:
                commands.execute(made.command, key=made.key, origin=made.origin, retry_of=made.retry_of)
    except MainstemError as error:
        return error
    return None


def list_processes(
    application: Application,
    settings: Settings,
    *,
    stuck: bool,
    manager: str | None,
    limit: int,
    tenant: str | None = None,
) -> list[Listed]:
    """How processes of a tenant stand, or those of none, by the process that has the files open, or by this one."""
    status = "stuck" if stuck else None
    named = {"status": status, "manager": manager, "limit": limit}
    query = urlencode({name: value for name, value in named.items() if value is not None})
    answer = asked(settings, f"/processes?{query}", tenant=tenant)
    if answer is not None:
        return msgspec.json.decode(answer, type=list[Listed])
    with _desk(application, settings, tenant) as processes:
        return processes.list(manager=manager, status=status, limit=limit, tenant=tenant)


def help_process(
    application: Application,
    settings: Settings,
    manager: str,
    process: str,
    cancel_because: str | None = None,
    *,
    tenant: str | None = None,
) -> str:
    """Resume a stuck process, or cancel one where it is said why; how it stands then. Raises Refused."""
    what = "resume" if cancel_because is None else "cancel"
    content = {} if cancel_because is None else {"reason": cancel_because}
    path = f"/processes/{quote(manager, safe='')}/{quote(process, safe='')}/{what}"
    answer = asked(settings, path, msgspec.json.encode(content), tenant=tenant)
    if answer is not None:
        return str(msgspec.json.decode(answer)["status"])
    origin = Origin(actor=SYSTEM.actor, tenant=tenant)
    with _desk(application, settings, tenant) as processes:
        if cancel_because is None:
            return processes.resume(manager, process, origin).status
        return processes.cancel(manager, process, cancel_because, origin).status


def forget_subject(
    application: Application,
    settings: Settings,
    subject: str,
    *,
    tenant: str | None,
    why: str,
    dry_run: bool,
    told: Told,
) -> Forgetting:
    """Forget a subject, or only look where its data are, by the process that has the files open, or by this one.

    Raises InvalidQuery for what is no subject, or without a reason, UnknownTenant where there is no such tenant,
    StoreUnavailable where there is nothing.
    """
    body = msgspec.json.encode({"why": why, "dryRun": dry_run})
    answer = asked(settings, f"/subjects/{quote(subject, safe='')}/forget", body, tenant=tenant)
    if answer is not None:
        return msgspec.json.decode(answer, type=Forgetting)
    with _brought_up(application, settings) as running:
        _check_tenant(tenant, running)
        return running.forgetter.forget(subject, tenant=tenant, actor=_OPERATOR, why=why, dry_run=dry_run, told=told)


def _check_tenant(tenant: str | None, running: Running) -> None:
    if tenant is not None and tenant not in running.tenants.known:
        raise UnknownTenant(f"there is no tenant {tenant[:40]!r}: see `mainstem tenants`")


def _opened(application: Application, settings: Settings, lacking: str) -> Running:
    """For commands and questions alone: of the distributed form its listeners are left to others."""
    if settings.form == "embedded":
        events_file(settings, lacking)
    return bring_up(application, settings if settings.form == "embedded" else replace(settings, roles="api"))


@contextmanager
def _brought_up(application: Application, settings: Settings) -> Iterator[Running]:
    """An application that is opened and not started. Raises StoreUnavailable where there is none."""
    running = _opened(application, settings, "there is")
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def _desk(application: Application, settings: Settings, tenant: str | None) -> Iterator[Processes]:
    """The processes of an application that is brought up for them. Raises StoreUnavailable where there is none.

    Raises UnknownTenant where there is no such tenant.
    """
    with _opened(application, settings, "there are no processes:") as running:
        _check_tenant(tenant, running)
        if isinstance(running, Embedded):
            running.settle()
        yield running.processes


def asked(
    settings: Settings, path: str, body: bytes | None = None, method: str | None = None, *, tenant: str | None = None
) -> bytes | None:
    """What the process answers that has the embedded form's files open; None where none has, or of the other form.

    Raises Refused, Forbidden, InvalidQuery, UnknownTenant or StoreUnavailable where its answer is a problem.
    """
    if settings.form != "embedded" or _running_at(settings) is None:
        return None
    return _ask(settings, path, body, tenant, method)


@contextmanager
def rebuilds(application: Application, settings: Settings, workers: int) -> Iterator["Rebuilds | _Asked"]:
    """The rebuilds of the process that has the files open, or of this one."""
    if settings.form == "embedded" and _running_at(settings) is not None:
        yield _Asked(settings)
        return
    with own_rebuilds(application.configured(settings), settings, workers) as own:
        yield own


class _Asked:
    """The rebuilds of the running process; what each refuses is Refused here too."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def look(self, view: str) -> Standing:
        """How a view stands."""
        found = msgspec.json.decode(_ask(self._settings, "/rebuilds"), type=list[Standing])
        return next(each for each in found if each.view == view)

    def begin(self, view: str, *, swap: bool = True) -> Standing:
        """Begin a rebuild, or go on with one."""
        return self._do(view, "" if swap else "/compare")

    def cancel(self, view: str) -> Standing:
        """End it, and drop what it has built."""
        return self._do(view, "/cancel")

    def roll_back(self, view: str) -> Standing:
        """Put back what was replaced."""
        return self._do(view, "/roll-back")

    def forget(self, view: str) -> Standing:
        """Drop what was replaced."""
        return self._do(view, "/forget")

    def _do(self, view: str, what: str) -> Standing:
        answer = _ask(self._settings, f"/rebuilds/{quote(view, safe='')}{what}", b"{}")
        return msgspec.json.decode(answer, type=Standing)


def _running_at(settings: Settings) -> str | None:
    owner = owner_of(settings.data_dir)
    return owner.url if owner is not None and owner.url else None


def _ask(
    settings: Settings, path: str, body: bytes | None = None, tenant: str | None = None, method: str | None = None
) -> bytes:
    url = _running_at(settings)
    if url is None:
        raise StoreUnavailable(f"no application runs on the folder {settings.data_dir}")
    headers = {} if settings.auth_token is None else {"Authorization": f"Bearer {settings.auth_token.value}"}
    headers |= {} if body is None else {"Content-Type": "application/json"}
    headers |= {} if tenant is None else {TENANT_HEADER: tenant}
    request = urllib.request.Request(url + path, data=body, headers=headers, method=method)  # noqa: S310 - the owner's own address
    try:
        _DIRECT.open(f"{url}/health/live", timeout=_LIVE_S).close()  # the answer may take long, but not this one
        with _DIRECT.open(request, timeout=_ASK_S) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            whose = "" if tenant is None else f" of tenant {tenant}"
            text = f"wants a token{whose} with the scope operator: set MAINSTEM_AUTH_TOKEN"
            raise Forbidden(f"the application at {url} {text}") from error
        told = _told(error)
        name = told.type.rpartition(":")[2]
        if name == _NO_ROUTE:
            text = (
                f"the application at {url} has no route {urlsplit(path).path}: add those of mainstem.query to its own"
            )
            raise StoreUnavailable(text) from error
        if error.code in _REFUSING and name:
            raise Refused(name, told.detail) from error
        if error.code == HTTPStatus.BAD_REQUEST and name:
            raise (UnknownTenant if name == "unknown-tenant" else InvalidQuery)(told.detail) from error
        text = f"the application at {url} answers {path} with status {error.code}"
        raise StoreUnavailable(f"{text}: {told.detail[:500]}" if told.detail else text) from error
    except (urllib.error.URLError, OSError) as error:
        raise StoreUnavailable(f"the application at {url} does not answer: {error}") from error


class _Told(Struct):
    type: str = ""
    detail: str = ""


def _told(error: urllib.error.HTTPError) -> _Told:
    """What its problem says, if it is one."""
    try:
        return msgspec.json.decode(error.read(_DETAIL_MAX), type=_Told)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError):
        return _Told()
