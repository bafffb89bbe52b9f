"""What one command costs on MySQL, on streams of 10 to 1,000,000 events, with snapshots and without."""

from contextlib import closing

import snapshots
from bank.card import DEBIT_CARD
from deploy.configuration import APPLICATION_USER, DEVELOPMENT_PASSWORD, Place
from mainstem.clock import wall_clock_ms
from mainstem.eventstore.mysql import MysqlEventStore
from mainstem.mysql import MysqlServer
from tests.stack import run_sql

_DATABASE = "bench_snapshots"


def measure(place: Place) -> None:
    """In a database of its own, which no connector reads."""
    run_sql(place, f"DROP DATABASE IF EXISTS {_DATABASE}", f"CREATE DATABASE {_DATABASE}")
    server = MysqlServer(place.host, place.ports.mysql, APPLICATION_USER, DEVELOPMENT_PASSWORD, _DATABASE)
    with closing(MysqlEventStore(server, [DEBIT_CARD], clock_ms=wall_clock_ms)) as store:
        snapshots.measure(store, "MySQL")
    run_sql(place, f"DROP DATABASE {_DATABASE}")
