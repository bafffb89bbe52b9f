"""An application, declared once: what it decides, captures, listens to and asks. `assembly` brings it to life."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any

from msgspec import Struct

from mainstem.cdc.port import Captured, Outbox
from mainstem.decider import Decider
from mainstem.eventstore.port import EventStore
from mainstem.eventstore.refused import RefusalRow
from mainstem.layers.declared import Layers
from mainstem.listener.binding import Binding
from mainstem.log.port import Log, Topic
from mainstem.messages import Change, Recorded
from mainstem.olap.port import Datasource, Olap
from mainstem.privacy.declared import kinds_of
from mainstem.process.deciding import decider_of
from mainstem.process.manager import ProcessManager
from mainstem.process.rows import bindings_of
from mainstem.settings import Settings, read_own
from mainstem.table import Table
from mainstem.view.port import ViewStore
from mainstem.wiring import check_application, check_messages, check_names, check_tables, check_topics

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
    version: str = "0"
    """For its descriptions."""
    apart: bool = False
    """Whether it runs for tenants, which are kept apart."""
    own: Struct | None = None
    """Settings of its own, for `configure`: of a class whose fields all have a default, see `with_environment`."""
    layers: Layers | None = None
    """Its data layers, whose listeners and topics are among its own: see `with_layers`."""

    def __post_init__(self) -> None:
        listeners, deciders = self.all_listeners(), self.all_deciders()
        check_application(self.name)
        check_names(listeners, self.datasources, deciders)
        check_tables(listeners, self.state_tables(), self.all_captured())
        known = {topic.name for topic in self.topics} | {captured.topic for captured in self.all_captured()}
        check_topics(listeners, self.datasources, known)
        check_messages(listeners, self.datasources, deciders, self.carried(), EVENT_TOPIC)
        self.personal_kinds()

    def configured(self, settings: Settings) -> "Application":
        """The application as it runs with those settings."""
        return self if self.configure is None else self.configure(self, settings)

    @property
    def own_prefix(self) -> str:
        """How the variables of its own settings begin: with its name."""
        return f"{self.name.upper().replace('-', '_')}_"

    def with_environment(self, environment: Mapping[str, str]) -> "Application":
        """With the settings of its own that the environment names. Raises ConfigurationError for those it has not."""
        if self.own is None:
            return self
        return replace(self, own=read_own(type(self.own), self.own_prefix, environment))

    def with_layers(self, layers: Layers) -> "Application":
        """The application with the layers' listeners and topics behind its own."""
        listeners, topics = (*self.listeners, *layers.listeners), (*self.topics, *layers.topics)
        return replace(self, listeners=listeners, topics=topics, layers=layers)

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

    def carried(self) -> dict[str, Any]:
        """The type of the messages of each topic of which it is known."""
        found: dict[str, Any] = {
            each.topic: Change[each.row]  # type: ignore[name-defined]
            for each in self.all_captured()
            if each.row is not None
        }
        found |= {topic.name: topic.message for topic in self.topics if topic.message is not None}
        events = [event for decider in self.all_deciders() for event in decider.events]
        return {**found, EVENT_TOPIC: Recorded[reduce(or_, events)]} if events else found  # type: ignore[misc]

    def personal_kinds(self) -> frozenset[str]:
        """The kinds of subjects that fields are marked as personal data of; none where no field is."""
        return kinds_of(self.all_deciders(), (*self.state_tables(), *self.views()))

    def all_captured(self) -> tuple[Captured, ...]:
        """Everything captured: the events, the refused commands, the state tables, and what the application adds."""
        own = (
            Captured("event", EVENT_TOPIC, _EVENT_OUTBOX),
            Captured("refused_command", REFUSAL_TOPIC, row=RefusalRow),
        )
        return (*own, *(Captured(table.name, row=table.row) for table in self.state_tables()), *self.captured)

    def all_topics(self, partitions: int) -> tuple[Topic, ...]:
        """The declared topics, and those of captured tables with that number of partitions."""
        declared = {topic.name: topic for topic in self.topics}
        captured = {c.topic: Topic(c.topic, partitions) for c in self.all_captured()}
        return tuple((captured | declared).values())
