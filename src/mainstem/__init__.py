"""CQRS, event sourcing and change data capture feeding real-time analytics.

These names are what an application is declared with. `mainstem.assembly` brings it to life, `mainstem.errors` has every
error, `mainstem.query` what an HTTP application is made of, `mainstem.testing` what it is tested with.
"""

from mainstem.application import EVENT_TOPIC, REFUSAL_TOPIC, Application, Figures, Ledger, Sides
from mainstem.boundary import Boundary
from mainstem.cdc.port import Captured, Outbox
from mainstem.codec import (
    Decoder,
    changes_of,
    iso_time,
    position_token,
    read_moment,
    read_position_token,
    read_time,
    recorded_events,
)
from mainstem.decider import Decider, Stamp, StateRow
from mainstem.declaring import keeps, sends
from mainstem.errors import MainstemError, Refused, Transient
from mainstem.eventstore.reader import EventReader
from mainstem.listener.binding import Binding, RetryPolicy
from mainstem.log.port import Topic
from mainstem.log.scan import scan
from mainstem.messages import (
    NOW,
    AsOf,
    Change,
    Command,
    Event,
    NewRecord,
    Origin,
    Position,
    Record,
    Recorded,
    by_aggregate,
)
from mainstem.olap.options import Compaction, Partitioning, Rollup, RollupMeasure
from mainstem.olap.port import Datasource, Dimension, Olap
from mainstem.privacy import AGGREGATE, Personal
from mainstem.process.manager import Accepted, Declined, Heard, Hearing, ProcessManager, Reaction, heard_event
from mainstem.process.step import Cancelled, Resumed, TimedOut
from mainstem.snapshots import Snapshots
from mainstem.table import Table
from mainstem.view.batched import Batched
from mainstem.view.projection import Fold, Joined, Rows, With
from mainstem.view.vectorised import Vectorised
from mainstem.view.window import Session, Sliding, Tumbling, Window, Windowed

__all__ = [
    "AGGREGATE",
    "EVENT_TOPIC",
    "NOW",
    "REFUSAL_TOPIC",
    "Accepted",
    "Application",
    "AsOf",
    "Batched",
    "Binding",
    "Boundary",
    "Cancelled",
    "Captured",
    "Change",
    "Command",
    "Compaction",
    "Datasource",
    "Decider",
    "Declined",
    "Decoder",
    "Dimension",
    "Event",
    "EventReader",
    "Figures",
    "Fold",
    "Heard",
    "Hearing",
    "Joined",
    "Ledger",
    "MainstemError",
    "NewRecord",
    "Olap",
    "Origin",
    "Outbox",
    "Partitioning",
    "Personal",
    "Position",
    "ProcessManager",
    "Reaction",
    "Record",
    "Recorded",
    "Refused",
    "Resumed",
    "RetryPolicy",
    "Rollup",
    "RollupMeasure",
    "Rows",
    "Session",
    "Sides",
    "Sliding",
    "Snapshots",
    "Stamp",
    "StateRow",
    "Table",
    "TimedOut",
    "Topic",
    "Transient",
    "Tumbling",
    "Vectorised",
    "Window",
    "Windowed",
    "With",
    "by_aggregate",
    "changes_of",
    "heard_event",
    "iso_time",
    "keeps",
    "position_token",
    "read_moment",
    "read_position_token",
    "read_time",
    "recorded_events",
    "scan",
    "sends",
]
