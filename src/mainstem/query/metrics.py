"""Metrics for Prometheus: requests by route and status, and gauges that are read when they are asked for."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from litestar.enums import ScopeType
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Sample(Struct, frozen=True):
    """One figure of the moment; a name that ends in ``_total`` is a counter, any other a gauge."""

    name: str
    text: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Samples(samples))
        ProcessCollector(registry=self._registry)
        labels = ("method", "route", "status")
        self._requests = Counter("http_requests", "Requests answered", labels, registry=self._registry)
        self._seconds = Histogram(
            "http_request_seconds", "Time to answer", ("route",), buckets=_BUCKETS, registry=self._registry
        )
        self._known: dict[tuple[str, str, int], Any] = {}

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. Routes are templates, so that their number is bounded."""
        key = (method, route, status)
        children = self._known.get(key)
        if children is None:
            counter = self._requests.labels(method, route, str(status))
            children = self._known[key] = (counter, self._seconds.labels(route))
        children[0].inc()
        children[1].observe(seconds)


class _Samples(Collector):
    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        self._read = samples

    def collect(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for sample in self._read():
            kind = CounterMetricFamily if sample.name.endswith("_total") else GaugeMetricFamily
            names = [name for name, _ in sample.labels]
            family = families.setdefault(sample.name, kind(sample.name, sample.text, labels=names))
            family.add_metric([value for _, value in sample.labels], sample.value)
        return families.values()

    def describe(self) -> Iterable[Metric]:
        return ()


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


def observed(app: "ASGIApp", metrics: Metrics) -> "ASGIApp":
    """The application with each of its answers counted and timed."""

    async def call(scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def sending(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, sending)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = str(scope.get("path_template") or "unknown")
            metrics.observe(method, route, status, time.perf_counter() - began)

    return call
