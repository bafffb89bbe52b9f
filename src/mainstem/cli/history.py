"""What `mainstem history` prints."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table as Grid

from mainstem.application import Application
from mainstem.codec import iso_time
from mainstem.decider import Decider
from mainstem.errors import ConfigurationError
from mainstem.eventstore.reader import Streams
from mainstem.history import Between, Change, Happened, HappenedTagged, Past
from mainstem.privacy.vault import Vault


def decider_of(
    declared: Application, category: str | None, store: Streams, aggregate: str, tenant: str | None
) -> Decider[Any, Any, Any]:
    """The decider of that category; where none is named, the only one that has such an aggregate, or the first.

    A process that has an aggregate's name is shown where it is asked for. Raises ConfigurationError where there is no
    such category, or several have the aggregate.
    """
    known = {decider.category: decider for decider in declared.all_deciders()}
    for deciders in (declared.deciders, tuple(known.values())) if category is None else ():
        having = [each for each in deciders if store.read(each.stream(aggregate, tenant), limit=1)]
        if len(having) == 1:
            return having[0]
        if having:
            break
    else:
        if category is None:
            return next(iter(known.values()))
    if category not in known:
        raise ConfigurationError(f"name a category with --category: {', '.join(sorted(known))}")
    return known[category]


class Opening:
    """Opens personal data with the vault; without one they stay as they are."""

    def __init__(self, vault: Vault | None, stream: str) -> None:
        self._vault = vault
        self._stream = stream

    def events(self, events: Sequence[Happened]) -> Sequence[Happened]:
        """Of events."""
        if self._vault is None:
            return events
        opened = self._vault.open_all([each.event for each in events], self._stream)
        return [replace(each, event=event) for each, event in zip(events, opened, strict=True)]

    def past(self, past: Past) -> Past:
        """Of a state."""
        return past if self._vault is None else replace(past, state=self._vault.open(past.state, self._stream))

    def between(self, between: Between) -> Between:
        """Of two states."""
        if self._vault is None:
            return between
        before, after = self.past(between.before), self.past(between.after)
        names = [each.field for each in between.changes]
        changes = [Change(name, getattr(before.state, name), getattr(after.state, name)) for name in names]
        return Between(before, after, tuple(changes))


def print_events(out: Console, events: Sequence[Happened], *, as_json: bool) -> None:
    """What happened, the oldest first."""
    if as_json:
        _print_json(out, [_event_fields(each) for each in events])
        return
    grid = _grid("version")
    for each in events:
        grid.add_row(str(each.version), *_cells(each))
    out.print(grid)


def print_tagged(out: Console, events: Sequence[HappenedTagged], *, as_json: bool) -> None:
    """What happened to whichever aggregates, the oldest first."""
    if as_json:
        fields = [{"number": e.number, "stream": e.stream, **_event_fields(e.happened)} for e in events]
        _print_json(out, fields)
        return
    grid = _grid("number", "stream", "version")
    for each in events:
        grid.add_row(str(each.number), each.stream, str(each.happened.version), *_cells(each.happened))
    out.print(grid)


def _grid(*place: str) -> Grid:
    grid = Grid(*place, "event", "occurred", "actor")
    for column in grid.columns:
        column.overflow = "fold"
    return grid


def _cells(happened: Happened) -> tuple[str, str, str]:
    data = "".join(f"\n  {name} {value}" for name, value in msgspec.structs.asdict(happened.event).items())
    because = "" if happened.causation_id is None else f"\nbecause of {happened.causation_id}"
    what = f"{type(happened.event).__name__}{data}"
    return what, iso_time(happened.occurred_at_ms), f"{happened.actor}{because}"


def print_past(out: Console, past: Past, *, as_json: bool) -> None:
    """How it stood."""
    if as_json:
        times = {"occurredAt": iso_time(past.occurred_at_ms), "recordedAt": iso_time(past.recorded_at_ms)}
        _print_json(
            out,
            {"id": past.aggregate_id, "version": past.version, **times, "state": msgspec.structs.asdict(past.state)},
        )
        return
    when = f"since {iso_time(past.occurred_at_ms)}" if past.version else "nothing had happened"
    out.print(f"{past.aggregate_id}, version {past.version}, {when}", highlight=False, soft_wrap=True, markup=False)
    grid = Grid("field", "value")
    for name, value in msgspec.structs.asdict(past.state).items():
        grid.add_row(name, str(value))
    out.print(grid)


def print_between(out: Console, between: Between, *, as_json: bool) -> None:
    """What has changed."""
    versions = between.before.version, between.after.version
    if as_json:
        changes = [msgspec.structs.asdict(change) for change in between.changes]
        _print_json(out, {"from": versions[0], "to": versions[1], "changes": changes})
        return
    title = f"{between.before.aggregate_id}, from version {versions[0]} to {versions[1]}"
    out.print(title, highlight=False, soft_wrap=True, markup=False)
    grid = Grid("field", "before", "after")
    for change in between.changes:
        grid.add_row(change.field, str(change.before), str(change.after))
    out.print(grid)


def _event_fields(happened: Happened) -> dict[str, Any]:
    return {
        "version": happened.version,
        "type": type(happened.event).__name__,
        "data": msgspec.structs.asdict(happened.event),
        "occurredAt": iso_time(happened.occurred_at_ms),
        "recordedAt": iso_time(happened.recorded_at_ms),
        "actor": happened.actor,
        "correlationId": happened.correlation_id,
        "causationId": happened.causation_id,
    }


def _print_json(out: Console, content: Any) -> None:
    out.print_json(msgspec.json.encode(content).decode())
