"""What operators ask of listeners: of the process that has the files open, or of the stores themselves."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from mainstem.application import Application
from mainstem.assembly import bring_up
from mainstem.assembly.stores import events_file, open_log
from mainstem.assembly.views import open_views
from mainstem.clock import wall_clock_ms
from mainstem.errors import Refused
from mainstem.listener.actions import make_tables
from mainstem.listener.desk import Listeners, Place
from mainstem.listener.letters import read_letter_id
from mainstem.operations import asked
from mainstem.query.bindings import BindingView, MoveView, bindings_of, move_view, target_of, wished
from mainstem.query.cursor import cursor_token
from mainstem.query.dead_letters import (
    ActionView,
    LetterView,
    WholeLetterView,
    action_view,
    letter_view,
    whole_view,
)
from mainstem.settings import Settings

_OPERATOR = "operator"
"""Who asks for what the command line itself puts on record."""

_PAGE = 1_000
_WAIT_S = 30.0
_LETTERS, _ACTIONS, _BINDINGS = "/dead-letters", "/actions", "/bindings"


def dead_letters(
    application: Application,
    settings: Settings,
    *,
    listener: str | None,
    key: str | None,
    behind: str | None,
    limit: int,
) -> list[LetterView]:
    """So many, behind the letter of the listener that is named."""
    after: Place | None = None
    if behind is not None:
        if listener is None:
            raise Refused("listener-unknown", "Name the listener too: each has letters of its own")
        after = (listener, dead_letter(application, settings, listener, behind).key, read_letter_id(behind)[1])
    named = {name: value for name, value in (("listener", listener), ("key", key)) if value is not None}
    found: list[LetterView] = []
    while len(found) < limit:
        size = min(limit - len(found), _PAGE)
        answer = _page(settings, _LETTERS, named, after, size)
        if answer is None:
            with _desk(application, settings) as desk:
                return [letter_view(each) for each in desk.dead_letters(listener, key, after=after, limit=limit)]
        rows = msgspec.json.decode(answer, type=list[LetterView])
        found += rows
        if len(rows) < size:
            break
        after = (rows[-1].listener, rows[-1].key, read_letter_id(rows[-1].id)[1])
    return found


def dead_letter(application: Application, settings: Settings, listener: str, letter: str) -> WholeLetterView:
    """One with all that is kept of it."""
    path = f"{_LETTERS}/{quote(listener, safe='')}/{quote(letter, safe='')}"
    answer = asked(settings, path)
    if answer is not None:
        return msgspec.json.decode(answer, type=WholeLetterView)
    with _desk(application, settings) as desk:
        return whole_view(listener, desk.dead_letter(listener, letter))


def actions(
    application: Application, settings: Settings, *, listener: str | None, behind: str | None, limit: int
) -> list[ActionView]:
    """What was asked for, the newest first, before the action of that id."""
    named = {} if listener is None else {"listener": listener}
    answer = _page(settings, _ACTIONS, named, None if behind is None else (behind,), min(limit, _PAGE))
    if answer is not None:
        return msgspec.json.decode(answer, type=list[ActionView])
    with _desk(application, settings) as desk:
        return [action_view(each) for each in desk.actions(listener, before=behind, limit=limit)]


def edit(
    application: Application, settings: Settings, listener: str, letter: str, value: bytes, why: str
) -> list[ActionView]:
    """Give a letter another value. Raises Refused where it is no message."""
    content = {"value": _raw(value), "reason": why}
    path = f"{_LETTERS}/{quote(listener, safe='')}/{quote(letter, safe='')}"
    answer = asked(settings, path, msgspec.json.encode(content), "PUT")
    if answer is not None:
        return msgspec.json.decode(answer, type=list[ActionView])
    with _desk(application, settings) as desk:
        return _ended(desk, desk.edit(listener, letter, value, who=_OPERATOR, why=why))


def take(
    application: Application,
    settings: Settings,
    what: str,
    listener: str,
    *,
    key: str | None,
    letter: str | None,
    why: str,
) -> list[ActionView]:
    """Have letters tried again (`what` is retry) or dropped: one, or all of a key; of all keys where none is named."""
    named = {name: value for name, value in (("key", key), ("letter", letter)) if value is not None}
    path = f"{_LETTERS}/{quote(listener, safe='')}/{what}"
    answer = asked(settings, path, msgspec.json.encode({**named, "reason": why}))
    if answer is not None:
        return msgspec.json.decode(answer, type=list[ActionView])
    with _desk(application, settings) as desk:
        ask = desk.retry if what == "retry" else desk.drop
        return _ended(desk, ask(listener, key=key, letter=letter, who=_OPERATOR, why=why))


def listeners(application: Application, settings: Settings) -> list[BindingView]:
    """The listeners by name."""
    answer = asked(settings, _BINDINGS)
    if answer is not None:
        return msgspec.json.decode(answer, type=list[BindingView])
    with _desk(application, settings) as desk:
        return bindings_of(desk)


def wish(application: Application, settings: Settings, what: str, listener: str, why: str) -> ActionView:
    """Pause, resume or restart a listener in every process. Raises Refused for an unknown one."""
    answer = asked(settings, f"{_BINDINGS}/{quote(listener, safe='')}/{what}", msgspec.json.encode({"reason": why}))
    if answer is not None:
        return msgspec.json.decode(answer, type=ActionView)
    with _desk(application, settings) as desk:
        ask = {"pause": desk.pause, "resume": desk.resume, "restart": desk.restart}[what]
        return wished(desk, ask(listener, who=_OPERATOR, why=why))


def moved(
    application: Application,
    settings: Settings,
    listener: str,
    to: str | None,
    offsets: Mapping[int, int],
    why: str,
    *,
    dry_run: bool,
) -> MoveView:
    """Move a listener, or see what that would do. Raises Refused where it is refused and was to be done."""
    content: dict[str, Any] = {"reason": why, "dryRun": dry_run}
    content |= {name: value for name, value in (("to", to), ("offsets", offsets)) if value}
    answer = asked(settings, f"{_BINDINGS}/{quote(listener, safe='')}/move", msgspec.json.encode(content))
    if answer is not None:
        return msgspec.json.decode(answer, type=MoveView)
    target = target_of(to, offsets)
    with _desk(application, settings) as desk:
        plan = desk.plan(listener, target) if dry_run else desk.move(listener, target, who=_OPERATOR, why=why)
        return move_view(plan, dry_run=dry_run)


@contextmanager
def _desk(application: Application, settings: Settings) -> Iterator[Listeners]:
    """Of the distributed form by its stores; of the embedded one by an application that is brought up for it."""
    if settings.form == "embedded":
        events_file(settings, "there are no listeners:")
        with bring_up(application, settings) as running:
            yield running.bindings
        return
    bindings = application.configured(settings).all_listeners()
    with closing(open_views(settings)) as views, closing(open_log(settings)) as log:
        make_tables(views)
        yield Listeners(bindings, log, views, clock_ms=wall_clock_ms)


def _ended(desk: Listeners, actions: Sequence[Any]) -> list[ActionView]:
    return [action_view(each) for each in desk.ended(actions, _WAIT_S)]


def _page(
    settings: Settings, path: str, named: Mapping[str, str], after: Sequence[str | int] | None, limit: int
) -> bytes | None:
    query = f"{path}?{urlencode(named)}"
    more: dict[str, str | int] = {"limit": limit}
    if after is not None:
        more["cursor"] = cursor_token(after, query)
    return asked(settings, f"{path}?{urlencode({**named, **more})}")


def _raw(value: bytes) -> msgspec.Raw:
    """Raises Refused where it is no JSON."""
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("value-unfit", f"The value is no JSON: {error}") from error
    return msgspec.Raw(value)
