"""An application, declared once: what it decides, captures, listens to and asks. `assembly` brings it to life."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mainstem.cdc.port import Captured, Outbox
from mainstem.decider import Decider
from mainstem.errors import ConfigurationError
from mainstem.eventstore.port import EventStore
from mainstem.listener.binding import Binding
from mainstem.log.port import Log, Topic
from mainstem.olap.port import Datasource, Olap
from mainstem.privacy.declared import kinds_of
from mainstem.process.deciding import decider_of
from mainstem.process.manager import ProcessManager
from mainstem.process.rows import bindings_of
from mainstem.settings import Settings
from mainstem.table import Table
from mainstem.view.port import ViewStore
from mainstem.view.projection import Joined

EVENT_TOPIC = "event"
REFUSAL_TOPIC = "refused_command"

_EVENT_OUTBOX = Outbox(
    key="stream",
    payload="payload",
    timestamp="occurred_at_ms",
    columns=(
        "stream",
        "version",
        "occurred_at_ms",
        "recorded_at_ms",
        "actor",
        "correlation_id",
        "schema_version",
        "causation_id",
    ),
)

Figures = Mapping[str, Decimal | int | str]
"""Named figures of one aggregate, as one side of a reconciliation holds them."""


@dataclass(frozen=True)
class Sides:
    """What a reconciliation reads: the command side's store, the log, the views and the analytical store."""

    events: EventStore
    log: Log
    views: ViewStore
    olap: Olap


@dataclass(frozen=True)
class Ledger:
    """One account of the facts: figures by aggregate. Ledgers that name the same figure must agree on it."""

    name: str
    figures: tuple[str, ...]
    read: Callable[[Sides], Iterable[tuple[str, Figures]]]


@dataclass(frozen=True)
class Application:
    """A whole application. Names are checked when it is declared: ConfigurationError says what does not fit."""

    name: str
    deciders: tuple[Decider[Any, Any, Any], ...]
    listeners: tuple[Binding[Any], ...] = ()
    datasources: tuple[Datasource, ...] = ()
    topics: tuple[Topic, ...] = ()
    ledgers: tuple[Ledger, ...] = ()
    captured: tuple[Captured, ...] = field(default=())
    processes: tuple[ProcessManager[Any], ...] = ()
    configure: "Callable[[Application, Settings], Application] | None" = None
    """What of it depends on the settings: the application as it is to run. Names and types stay the same."""
    apart: bool = False
    """Whether it runs for tenants, which are kept apart."""

    def __post_init__(self) -> None:
        listeners = self.all_listeners()
        _unique("listener", [binding.group for binding in listeners], [b.declared_at for b in listeners])
        _unique("datasource", [datasource.name for datasource in self.datasources])
        _unique("category", [decider.category for decider in self.all_deciders()])
        owners = [(b.projection.table.name, b.declared_at) for b in listeners if b.projection is not None]
        _unique("view", [name for name, _ in owners], [place for _, place in owners])
        _check_joins(listeners)
        known = {topic.name for topic in self.topics} | {captured.topic for captured in self.all_captured()}
        heard = [(b.topic, f" that {b.group} hears, declared at {b.declared_at}") for b in listeners]
        for topic, who in (*heard, *((d.topic, f" of the datasource {d.name}") for d in self.datasources)):
            if topic not in known:
                raise ConfigurationError(f"nobody makes the topic {topic!r}{who}; known are {sorted(known)}")
        self.personal_kinds()

    def configured(self, settings: Settings) -> "Application":
        """The application as it runs with those settings."""
        return self if self.configure is None else self.configure(self, settings)

    def all_deciders(self) -> tuple[Decider[Any, Any, Any], ...]:
        """The declared deciders, and those of the process managers."""
        return (*self.deciders, *map(decider_of, self.processes))

    def all_listeners(self) -> tuple[Binding[Any], ...]:
        """The declared listeners, and those of the process managers."""
        return (*self.listeners, *bindings_of(self.processes, EVENT_TOPIC, apart=self.apart))

    def state_tables(self) -> tuple[Table[Any], ...]:
        """The deciders' state tables."""
        return tuple(decider.state_row.table for decider in self.deciders if decider.state_row is not None)

    def views(self) -> tuple[Table[Any], ...]:
        """The tables of all listeners that keep a view."""
        return tuple(each.projection.table for each in self.all_listeners() if each.projection is not None)

    def personal_kinds(self) -> frozenset[str]:
        """The kinds of subjects that fields are marked as personal data of; none where no field is."""
        return kinds_of(self.all_deciders(), (*self.state_tables(), *self.views()))

    def all_captured(self) -> tuple[Captured, ...]:
        """Everything captured: the events, the refused commands, the state tables, and what the application adds."""
        own = (Captured("event", EVENT_TOPIC, _EVENT_OUTBOX), Captured("refused_command", REFUSAL_TOPIC))
        return (*own, *(Captured(table.name) for table in self.state_tables()), *self.captured)

    def all_topics(self, partitions: int) -> tuple[Topic, ...]:
        """The declared topics, and those of captured tables with that number of partitions."""
        declared = {topic.name: topic for topic in self.topics}
        captured = {c.topic: Topic(c.topic, partitions) for c in self.all_captured()}
        return tuple((captured | declared).values())


def _check_joins(listeners: Iterable[Binding[Any]]) -> None:
    projections = {each.group: each.projection for each in listeners if each.projection is not None}
    for group, projection in projections.items():
        if isinstance(projection, Joined):
            others = {each.table.name for each in projections.values()} - {projection.table.name}
            if projection.other.name not in others:
                raise ConfigurationError(
                    f"listener {group} joins {projection.other.name!r}; the other views are {sorted(others)}"
                )


def _unique(what: str, names: list[str], places: Sequence[str] = ()) -> None:
    """`places` say where each was declared."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        where = [place for name, place in zip(names, places, strict=False) if name in twice]
        declared = f", declared at {' and at '.join(where)}" if where else ""
        raise ConfigurationError(f"two of one name: {what} {', '.join(twice)}{declared}")
