"""What people ask of listeners: each action on record, carried out by whichever process has the partition.

Actions and the wanted state are rows in the view store, so that they reach every process of a group, hold for one that
starts later, and survive a crash: what was asked for and is not done yet is done by the next that can.
"""

import secrets
import threading
from collections.abc import Sequence

from msgspec import Struct

from mainstem.table import Table
from mainstem.view.port import ViewStore

WAITING, DONE, FAILED_ACTION = "waiting", "done", "failed"
RETRY, DROP, EDIT = "retry", "drop", "edit"
PAUSE, RESUME, RESTART, MOVE = "pause", "resume", "restart", "move"


class Action(Struct, frozen=True):
    """One thing that somebody has asked of a listener: who, when and why; and what has come of it.

    `id` rises with time, and within a process from one to the next. `key` and `letter` name the dead letters that it is
    for, `count` how many letters are done.
    """

    id: str
    listener: str
    kind: str
    key: str
    letter: str
    value: bytes | None
    who: str
    why: str
    asked_at_ms: int
    state: str = WAITING
    told: str = ""
    count: int = 0
    done_at_ms: int | None = None


ACTIONS = Table(
    "mainstem_action",
    Action,
    key=("id",),
    indexes=(("listener", "state", "id"), ("listener", "id")),
)


class _Moments:
    """Numbered moments that rise from one to the next within a process, whatever the clock does."""

    def __init__(self) -> None:
        self._using = threading.Lock()
        self._latest_ms = 0
        self._number = 0

    def next(self, now_ms: int) -> str:
        with self._using:
            self._latest_ms, self._number = max(self._latest_ms, now_ms), self._number + 1
            return f"{self._latest_ms:013d}-{self._number:08x}"


_MOMENTS = _Moments()


def new_action(
    listener: str,
    kind: str,
    *,
    now_ms: int,
    who: str,
    why: str,
    key: str = "",
    letter: str = "",
    value: bytes | None = None,
) -> Action:
    """One that waits, with an id of its own."""
    own = f"{_MOMENTS.next(now_ms)}-{secrets.token_hex(4)}"
    return Action(own, listener, kind, key, letter, value, who, why, now_ms)


def waiting_of(views: ViewStore, listener: str, limit: int, *, after: str = "") -> Sequence[Action]:
    """The oldest that wait for the listener, behind the action of that id."""
    where = {"listener": listener, "state": WAITING}
    return views.find(ACTIONS, where, order=("id",), after=(after,) if after else None, limit=limit)


class Wanted(Struct, frozen=True):
    """What is wanted of a listener in every process, until somebody wants otherwise: pausing, or a restart."""

    listener: str
    what: str
    value: str
    changed_at_ms: int


WANTED = Table("mainstem_wanted", Wanted, key=("listener", "what"))
PAUSED = "paused"


class Member(Struct, frozen=True):
    """A listener in one process, by its own account at `at_ms`; `paused` and `restart` are the wishes it has seen."""

    process: str
    listener: str
    state: str
    reason: str | None
    partitions: str
    handled: int
    dead: int
    paused: bool
    restart: str
    at_ms: int


MEMBERS = Table("mainstem_member", Member, key=("listener", "process"))

MEMBERS_MAX = 1_000
_WANTED_MAX = 10_000
"""Two rows a listener."""
SILENT_MS = 15_000
"""A member that has said nothing for so long is not there any more, or its process hangs."""


def make_tables(views: ViewStore) -> None:
    """Those of actions, of what is wanted, and of the members."""
    views.create(ACTIONS)
    views.create(WANTED)
    views.create(MEMBERS)


def living(views: ViewStore, listener: str, now_ms: int) -> list[Member]:
    """The members of a listener that have told of themselves within the last seconds.

    One that has done so in the future has died before the clock was put back.
    """
    rows = views.find(MEMBERS, {"listener": listener}, limit=MEMBERS_MAX)
    return [row for row in rows if abs(now_ms - row.at_ms) < SILENT_MS]


def state_of(members: Sequence[Member], *, paused: bool) -> str:
    """Of a listener by its members: the worst of theirs, or what is wanted where there is none."""
    states = {member.state for member in members}
    for state in ("stuck", "stalled", "running", "paused"):
        if state in states:
            return state
    return "paused" if paused else "stopped"


def wanted_of(views: ViewStore) -> dict[tuple[str, str], str]:
    """By listener and what; what was never wanted is missing."""
    rows = views.find(WANTED, {}, limit=_WANTED_MAX)
    return {(each.listener, each.what): each.value for each in rows}


def is_paused(views: ViewStore, listener: str) -> bool:
    """Whether one listener is wanted to pause, by its row alone."""
    key = (listener, PAUSED)
    row = views.get(WANTED, [key]).get(key)
    return row is not None and row.value == "yes"
