"""Questions about refused commands, in SQL that SQLite and MySQL both take."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from msgspec import Struct

from mainstem.eventstore.port import EVERY_REFUSAL, KeptRefusal, Refusal, RefusalCount, RefusalFilter, Retried
from mainstem.tenancy import MARK, qualified

REFUSAL = "stream, command, content, reason, text, refused_at_ms, actor, correlation_id, causation_id, retry_of"
"""The columns of a refusal beside its number."""

LATER = ("causation_id", "retry_of")
"""Columns that tables of older releases lack."""

Ask = Callable[[str, Sequence[Any]], Iterable[Any]]
"""Rows of a statement with `?` for each value."""

_ORDER = "refused_at_ms DESC, id DESC"
_SAME = "r.refused_at_ms DESC, r.id DESC"
_EQUAL = ("stream", "reason", "command", "actor", "retry_of")


class RefusalRow(Struct, frozen=True):
    """A row of the table `refused_command`, as its changes carry it; `content` is the command as JSON text."""

    id: int
    stream: str
    command: str
    content: str
    reason: str
    text: str
    refused_at_ms: int
    actor: str
    correlation_id: str | None = None
    causation_id: str | None = None
    retry_of: int | None = None


class RefusedCommands:
    """The refusals of a store. `lacking` names the later columns that its tables, of an older release, do not have."""

    def __init__(self, ask: Ask, lacking: Collection[str] = ()) -> None:
        self._ask = ask
        self._columns = ", ".join(f"NULL AS {n}" if n in lacking else n for n in REFUSAL.split(", "))
        self._retried, self._joined = "t.version, t.at_ms, t.actor", " LEFT JOIN retried_refusal t ON t.id = r.id"
        if "retry_of" in lacking:
            self._retried, self._joined = "NULL, NULL, NULL", ""

    def find(self, number: int) -> KeptRefusal | None:
        """By primary key."""
        rows = self._with_retries(f"SELECT id, {self._columns} FROM refused_command WHERE id = ?", (number,))
        return next(iter(rows), None)

    def page(
        self, asked: RefusalFilter = EVERY_REFUSAL, after: tuple[int, int] | None = None, limit: int = 100
    ) -> Sequence[KeptRefusal]:
        """By the index of what is named, which has the times behind it."""
        return self._with_retries(*self.page_statement(asked, after, limit))

    def counts(
        self, asked: RefusalFilter = EVERY_REFUSAL, period_ms: int | None = None, limit: int = 1000
    ) -> Sequence[RefusalCount]:
        """From an index alone where none or one of reason and time is named."""
        rows = self._ask(*self.counts_statement(asked, period_ms, limit))
        return [RefusalCount(reason, number, begin) for begin, reason, number in rows]

    def page_statement(
        self, asked: RefusalFilter, after: tuple[int, int] | None, limit: int
    ) -> tuple[str, Sequence[Any]]:
        """The statement of a page, with its values."""
        conditions, values = _conditions(asked)
        if after is not None:
            conditions += ["refused_at_ms <= ?", "(refused_at_ms < ? OR id < ?)"]
            values += [after[0], *after]
        sql = f"SELECT id, {self._columns} FROM refused_command{_where(conditions)}"
        return f"{sql} ORDER BY {_ORDER} LIMIT ?", [*values, limit]

    def _with_retries(self, sql: str, values: Sequence[Any]) -> Sequence[KeptRefusal]:
        """Joined once the page is found: else MySQL would join all, and sort."""
        rows = self._ask(f"SELECT r.*, {self._retried} FROM ({sql}) r{self._joined} ORDER BY {_SAME}", values)
        return [_kept(row) for row in rows]

    @staticmethod
    def counts_statement(asked: RefusalFilter, period_ms: int | None, limit: int) -> tuple[str, Sequence[Any]]:
        """The statement of counts, with its values."""
        conditions, values = _conditions(asked)
        if period_ms is None:
            sql = f"SELECT NULL, reason, count(*) FROM refused_command{_where(conditions)}"
            return f"{sql} GROUP BY reason ORDER BY 3 DESC, 2 LIMIT ?", [*values, limit]
        sql = f"SELECT refused_at_ms - refused_at_ms % ?, reason, count(*) FROM refused_command{_where(conditions)}"
        return f"{sql} GROUP BY 1, 2 ORDER BY 1 DESC, 3 DESC, 2 LIMIT ?", [period_ms, *values, limit]


def refusal_row(refusal: Refusal) -> tuple[Any, ...]:
    """The values of a refusal's columns."""
    values = (refusal.stream, refusal.command, refusal.content.decode(), refusal.reason, refusal.text)
    more = (refusal.refused_at_ms, refusal.actor, refusal.correlation_id, refusal.causation_id, refusal.retry_of)
    return (*values, *more)


def _kept(row: Sequence[Any]) -> KeptRefusal:
    number, stream, command, content, reason, text, refused_at_ms, *origin = row[:11]
    actor, correlation_id, causation_id, retry_of = origin
    refusal = Refusal(
        stream=stream,
        command=command,
        content=content.encode(),
        reason=reason,
        text=text,
        refused_at_ms=refused_at_ms,
        actor=actor,
        correlation_id=correlation_id,
        causation_id=causation_id,
        retry_of=retry_of,
    )
    return KeptRefusal(number, refusal, None if row[11] is None else Retried(*row[11:]))


def _conditions(asked: RefusalFilter) -> tuple[list[str], list[Any]]:
    named = {name: value for name in _EQUAL if (value := getattr(asked, name)) is not None}
    conditions, values = [f"{name} = ?" for name in named], list(named.values())
    if asked.tenant == "" and asked.category is None:
        conditions.append("substr(stream, 1, 1) <> ?")
        values.append(MARK)
    elif asked.tenant or asked.category is not None:
        # As no range of streams: a category is much of the whole, which would be sorted by time then.
        prefix = qualified(asked.tenant or None, "" if asked.category is None else f"{asked.category}-")
        conditions.append("substr(stream, 1, ?) = ?")
        values += [len(prefix), prefix]
    for value, condition in ((asked.from_ms, "refused_at_ms >= ?"), (asked.to_ms, "refused_at_ms < ?")):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return conditions, values


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
