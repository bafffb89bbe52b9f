"""What a process does for those who control its listeners: actions are carried out, what is wanted is followed.

It looks once in a second, and at once where it is woken. Pausing and restarting reach a listener between two batches;
actions on dead letters are carried out in the listener's own thread, by the member that has the key's partition, and
are done in the transaction that has their effect.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

import structlog
from msgspec.structs import replace

from mainstem.errors import LogError, MainstemError, RecordTooLarge, StoreError
from mainstem.listener.actions import (
    ACTIONS,
    DONE,
    DROP,
    EDIT,
    FAILED_ACTION,
    MEMBERS,
    MEMBERS_MAX,
    PAUSED,
    RESTART,
    RETRY,
    WAITING,
    Action,
    Member,
    waiting_of,
    wanted_of,
)
from mainstem.listener.batch import Interrupted
from mainstem.listener.dead_letters import Retried
from mainstem.listener.letters import read_letter_id
from mainstem.listener.runner import Runner
from mainstem.view.port import ViewStore, ViewTransaction

_log = structlog.get_logger(__name__)

_LOOK_S = 1.0
_TELL_S = 5.0
_AT_ONCE = 100
_PAGES_MAX = 100
_GONE_MS = 3_600_000
_TOLD_MAX = 500


class _Taken(Exception):
    """Another process has carried the action out."""


class Control:
    """Of the listeners that run in this process."""

    def __init__(self, runners: Mapping[str, Runner], views: ViewStore, clock_ms: Callable[[], int]) -> None:
        self._runners = runners
        self._views = views
        self._clock_ms = clock_ms
        self._process = f"{socket.gethostname()[:120]}:{os.getpid()}:{secrets.token_hex(3)}"
        self._waiting: dict[str, list[Action]] = {}
        self._seen: dict[str, tuple[bool, str]] = {}
        self._told: dict[str, Member] = {}
        self._told_at = -_TELL_S
        self._woken = threading.Event()
        for group, runner in runners.items():
            runner.each_turn = partial(self._turn, group, runner)

    def look(self) -> None:
        """At what is wanted and asked for. Before the listeners start, so that a paused one does not begin."""
        wanted = wanted_of(self._views) if self._runners else {}
        for group, runner in self._runners.items():
            now = (wanted.get((group, PAUSED)) == "yes", wanted.get((group, RESTART), ""))
            self._follow(runner, self._seen.get(group, (False, now[1])), now)
            self._seen[group] = now
            self._waiting[group] = self._waiting_for(group, runner)

    def _waiting_for(self, group: str, runner: Runner) -> list[Action]:
        """The oldest; where many wait, those for other members, which may be stuck, are not to hold back its own."""
        found: list[Action] = []
        last = ""
        for _ in range(_PAGES_MAX):
            page = waiting_of(self._views, group, _AT_ONCE, after=last)
            if len(page) < _AT_ONCE:
                return [*found, *page]
            found += [each for each in page if runner.has(each.key)]
            if len(found) >= _AT_ONCE:
                break
            last = page[-1].id
        return found

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    def run(self, stop: threading.Event) -> None:
        """Look and tell until `stop`; then the members of this process are gone."""
        trouble = ""
        while not stop.is_set():
            try:
                self.look()
                self._tell()
                trouble = ""
            except MainstemError as error:
                if str(error) != trouble:
                    _log.warning("listeners are out of control for now", cause=str(error))
                trouble = str(error)
            self._woken.wait(_LOOK_S)
            self._woken.clear()
        try:
            with self._views.transaction() as transaction:
                transaction.remove(MEMBERS, [(group, self._process) for group in self._runners])
        except MainstemError as error:
            _log.warning("the members of this process stay on record", cause=str(error))

    @staticmethod
    def _follow(runner: Runner, before: tuple[bool, str], now: tuple[bool, str]) -> None:
        """What has changed alone: whoever pauses a runner in its own process is not overruled."""
        if now[0] != before[0]:
            (runner.pause if now[0] else runner.resume)()
        if now[1] != before[1]:
            runner.restart()

    def _tell(self) -> None:
        """Rows of the members, where they have changed, and now and then to show that the process lives."""
        now_ms = self._clock_ms()
        rows = {group: self._member(group, runner, now_ms) for group, runner in self._runners.items()}
        due = time.monotonic() >= self._told_at + _TELL_S
        changed = [row for group, row in rows.items() if due or _is_other(row, self._told.get(group))]
        for row in changed:
            known = self._told.get(row.listener)
            if row.state == "stuck" and (known is None or known.state != "stuck"):
                _log.error("listener is stuck", group=row.listener, cause=row.reason)
        if not changed:
            return
        with self._views.transaction() as transaction:
            transaction.put(MEMBERS, changed)
            if due:
                told = self._views.find(MEMBERS, {}, limit=MEMBERS_MAX)
                gone = [MEMBERS.key_of(row) for row in told if row.at_ms < now_ms - _GONE_MS]
                transaction.remove(MEMBERS, gone)
        self._told = rows
        self._told_at = time.monotonic() if due else self._told_at

    def _member(self, group: str, runner: Runner, now_ms: int) -> Member:
        found = runner.status()
        partitions = ",".join(str(partition) for _, partition in sorted(runner.places()))
        figures = (found.state, found.reason, partitions, found.handled, found.dead)
        return Member(self._process, group, *figures, *self._seen.get(group, (False, "")), now_ms)

    def _turn(self, group: str, runner: Runner) -> None:
        """Between two batches, in the listener's thread."""
        actions, self._waiting[group] = self._waiting.get(group, []), []
        for action in actions:
            if runner.has(action.key):
                self._carry_out(runner, action)

    def _carry_out(self, runner: Runner, action: Action) -> None:
        work = {RETRY: self._retry, DROP: self._drop, EDIT: self._edit}.get(action.kind)
        try:
            if work is not None:
                work(runner, action)
        except _Taken:
            return
        except (StoreError, Interrupted):
            raise
        except Exception as error:
            if isinstance(error, LogError) and not isinstance(error, RecordTooLarge):
                raise
            self._end(action, FAILED_ACTION, str(error) or type(error).__name__)

    def _retry(self, runner: Runner, action: Action) -> None:
        """All letters of the key, a batch at a time, or the one that is named where it is the first."""
        _check_first(runner, action)
        most, count, more = (1 if action.letter else None), action.count, True

        def note(transaction: ViewTransaction, retried: Retried) -> None:
            done = count + retried.done
            if retried.failure is not None:
                told = f"{done} dead letters are done, the next fails: {retried.failure}"
                _note(transaction, action, FAILED_ACTION, told, done, self._clock_ms())
            else:
                over = most is not None or not retried.more
                _note(transaction, action, DONE if over else WAITING, "", done, self._clock_ms())

        while more:
            retried = runner.retry_batch(action.key, most=most, also=note)
            count += retried.done
            more = retried.more and most is None and retried.failure is None
        _log.info(
            "dead letters were tried again", group=action.listener, key=action.key[:200], letters=count, by=action.who
        )

    def _drop(self, runner: Runner, action: Action) -> None:
        _check_first(runner, action)

        def note(transaction: ViewTransaction, dropped: Retried) -> None:
            _note(transaction, action, DONE, "", dropped.done, self._clock_ms())

        count = runner.drop_letters(action.key, action.why, by=action.who, first=bool(action.letter), also=note)
        _log.info("dead letters are dropped", group=action.listener, key=action.key[:200], letters=count, by=action.who)

    def _edit(self, runner: Runner, action: Action) -> None:
        runner.letters.edit(*read_letter_id(action.letter), action.value or b"", action.why, action.who)
        self._end(action, DONE, "", 1)
        _log.info("a dead letter was edited", group=action.listener, letter=action.letter, by=action.who)

    def _end(self, action: Action, state: str, told: str, count: int = 0) -> None:
        try:
            with self._views.transaction() as transaction:
                _note(transaction, action, state, told, count or action.count, self._clock_ms())
        except _Taken:
            return


def _check_first(runner: Runner, action: Action) -> None:
    if action.letter and (first := runner.letters.first_of(action.key)) != action.letter:
        raise ValueError(f"{action.letter} is not the first letter of its key any more: that is {first or 'none'}")


def _note(transaction: ViewTransaction, action: Action, state: str, told: str, count: int, now_ms: int) -> None:
    """What has become of an action, once: raises _Taken where it does not wait any more."""
    stands = transaction.get(ACTIONS, [(action.id,)]).get((action.id,))
    if stands is None or stands.state != WAITING:
        raise _Taken
    done_at_ms = None if state == WAITING else now_ms
    row = replace(stands, state=state, told=told[:_TOLD_MAX], count=count, done_at_ms=done_at_ms)
    transaction.put(ACTIONS, [row])


def _is_other(row: Member, known: Member | None) -> bool:
    return known is None or replace(row, handled=known.handled, reason=None, at_ms=known.at_ms) != replace(
        known, reason=None
    )
