"""The one place where adapters are put together: the embedded form of an application, in one process and one folder."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import structlog

from mainstem.application import Application, Sides
from mainstem.cdc.relay import Relay
from mainstem.cdc.sqlite import MARK_TRANSACTION, SqliteCapture
from mainstem.command.bus import BusLimits, CommandBus
from mainstem.command.handler import Handler
from mainstem.errors import ConfigurationError, MainstemError, StoreBusy
from mainstem.eventstore.sqlite import SqliteEventStore
from mainstem.folder import Folder
from mainstem.listener.runner import Runner
from mainstem.log.sqlite import SqliteLog
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.olap.ingestion import Ingestion
from mainstem.reconciliation import Reconciliation, reconcile
from mainstem.settings import Settings
from mainstem.view.sqlite import SqliteViews

_log = structlog.get_logger(__name__)

_HOUSEKEEPING_S = 60.0
_STOP_S = 15.0
_RECONCILE_ROUNDS = 5


def wall_clock_ms() -> int:
    """Now, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Hop:
    """One stage behind the command side: how many messages it is behind, and what is wrong with it, if anything."""

    name: str
    lag: int
    state: str
    trouble: str | None
