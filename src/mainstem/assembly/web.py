"""What an HTTP application asks of a running one."""

from functools import partial

from mainstem.assembly.running import Running
from mainstem.asyncapi import asyncapi_document
from mainstem.query.metrics import Metrics
from mainstem.query.reading import Sources
from mainstem.query.web import Operations


def operations_of(running: Running, metrics: Metrics) -> Operations:
    """All that `web_application` needs of it."""
    application = running.application
    return Operations(
        running.troubles,
        running.status,
        running.reconcile,
        metrics,
        partial(asyncapi_document, application, running.settings),
        Sources(
            running.views,
            running.looks,
            running.look,
            frozenset(each.group for each in application.all_listeners() if each.has_positions),
            running.settings.query_wait_max_ms / 1000,
            apart=running.tenants.apart,
        ),
    )
