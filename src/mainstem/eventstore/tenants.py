"""Whose events a store has, in SQL that SQLite and MySQL both take: found by the index of streams, never by a scan."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mainstem.eventstore.port import TenantCounts
from mainstem.eventstore.refused import Ask
from mainstem.tenancy import LAST, read_stream, span

_PAGE = 1_000
_TABLES = ("event", "refused_command")


class TenantStreams:
    """The streams of a store by tenant."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def names(self) -> Iterator[str]:
        """Those that have events or refused commands: one look for each, in either table."""
        after, end = span(None)
        while found := min((stream for table in _TABLES for stream in self._first(table, after, end)), default=None):
            tenant = read_stream(found).tenant or ""
            yield tenant
            _, after = span(tenant)

    def marked(self, categories: Iterable[str]) -> str | None:
        """A stream of no tenant whose aggregate's id begins with a slash; None where there is none."""
        begin, end = span(None)
        found = (
            stream
            for category in categories
            for table in _TABLES
            for stream in self._first(table, f"{category}-{begin}", f"{category}-{end}")
        )
        return next(found, None)

    def counts(self, tenant: str | None, told: Callable[[int], None] = lambda _: None) -> TenantCounts:
        """Page by page. Versions count without gaps, so that the last of a stream tells how many events it has."""
        events = streams = refused = 0
        for begin, end in _ranges(tenant):
            last = begin
            while page := self._page(last, end):
                last = page[-1][0]
                streams += len(page)
                events += sum(version for _, version in page)
                told(len(page))
            sql = "SELECT count(*) FROM refused_command WHERE stream >= ? AND stream < ?"
            refused += sum(number for (number,) in self._ask(sql, (begin, end)))
        return TenantCounts(tenant, events, streams, refused)

    def _page(self, after: str, end: str) -> Sequence[tuple[str, int]]:
        sql = "SELECT stream, max(version) FROM event WHERE stream > ? AND stream < ? GROUP BY stream"
        return [
            (stream, int(version)) for stream, version in self._ask(f"{sql} ORDER BY 1 LIMIT {_PAGE}", (after, end))
        ]

    def _first(self, table: str, begin: str, end: str) -> Sequence[str]:
        sql = f"SELECT stream FROM {table} WHERE stream >= ? AND stream < ? ORDER BY stream LIMIT 1"
        rows: Iterable[Any] = self._ask(sql, (begin, end))
        return [stream for (stream,) in rows]


def _ranges(tenant: str | None) -> Sequence[tuple[str, str]]:
    """Between which names the streams are; those of no tenant are on both sides of all others."""
    if tenant is not None:
        return (span(tenant),)
    begin, end = span(None)
    return (("", begin), (end, LAST))
