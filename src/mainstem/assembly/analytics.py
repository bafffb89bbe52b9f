"""Druid of a distributed application: questions to it, and the versions of its datasources."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from mainstem.application import Application
from mainstem.assembly.places import druid_reading, mysql_server
from mainstem.errors import Refused, StoreBusy
from mainstem.mysql import MysqlServer, Session
from mainstem.mysql_schema import one_at_a_time
from mainstem.olap.druid import DruidOlap
from mainstem.olap.druid_supervisor import Supervisors
from mainstem.olap.druid_versions import DruidVersions
from mainstem.rebuild import Versioned
from mainstem.rebuild.pointing import LiveNames, Pointers, check_declared
from mainstem.settings import Settings
from mainstem.view.port import ViewStore


class Analytics:
    """Clients of Druid, closed with the stack. Nobody is asked yet, but for the view store, where a table is made."""

    def __init__(self, application: Application, settings: Settings, views: ViewStore, stack: ExitStack) -> None:
        check_declared([datasource.name for datasource in application.datasources])
        pointers = Pointers(views)
        pointers.create()
        self.supervisors = stack.enter_context(
            closing(Supervisors(settings.druid_overlord_url, tls_ca=settings.druid_tls_ca))
        )
        self.olap = stack.enter_context(
            closing(
                DruidOlap(
                    settings.druid_url,
                    application.datasources,
                    has_no_rows=self.supervisors.has_no_rows,
                    live=LiveNames(pointers),
                    tls_ca=settings.druid_tls_ca,
                )
            )
        )
        versions = DruidVersions(self.supervisors, self.olap, partial(druid_reading, settings))
        self.versioned = Versioned(versions, pointers, partial(_alone, mysql_server(settings)))


@contextmanager
def _alone(server: MysqlServer, name: str) -> Iterator[None]:
    """By a lock of MySQL's, which ends with the connection of whoever has it."""
    session = Session(server)
    try:
        with session.use() as connection, ExitStack() as stack:
            try:
                stack.enter_context(one_at_a_time(connection, f"{server.database}.rebuild.{name}", 0))
            except StoreBusy:
                raise Refused("rebuild-running", f"another process rebuilds {name}") from None
            yield
    finally:
        session.close()
