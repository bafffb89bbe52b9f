"""What must hold whenever everything has come to rest, of any application."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from msgspec import Struct

from mainstem.application import EVENT_TOPIC, Sides
from mainstem.assembly.embedded import Embedded
from mainstem.assembly.stores import open_integrity
from mainstem.assembly.views import scratch_views
from mainstem.codec import Placed
from mainstem.eventstore.verifying import verify
from mainstem.history.views import fill
from mainstem.listener.binding import Binding
from mainstem.listener.letters import DROPPED, RETRIED, described
from mainstem.log.port import Log
from mainstem.log.scan import scan
from mainstem.messages import Record
from mainstem.rebuild.versions import projection_of
from mainstem.reconciliation import reconcile
from mainstem.testing.simulation.client import Asked, Facts, held
from mainstem.view.apply import working
from mainstem.view.port import ViewStore
from mainstem.view.projection import Joined

_SHOWN = 5

Again = tuple[str, int, int]
"""Topic, partition and offset of a record that came a second time, since a fault wanted it to."""


class _Placed(Struct, frozen=True):
    stream: str
    version: int


def complaints(running: Embedded, asked: Sequence[Asked], again: Collection[Again]) -> Iterator[str]:
    """What does not hold: nothing, where all is well."""
    facts = Facts(running.events)
    yield from held(asked, facts)
    yield from _streams_are_whole(running, facts)
    yield from _events_are_chained(running)
    yield from _log_has_each_event_once(running.log, facts.heads, again)
    yield from _views_are_their_folds(running, again)
    yield from _accounts_agree(running)
    yield from _datasources_have_each_record(running)


def _streams_are_whole(running: Embedded, facts: Facts) -> Iterator[str]:
    """Each stream is read by itself as it is among all events, wherever its events are kept by now."""
    for stream, expected in facts.streams.items():
        found = [each.version for each in running.events.read(stream, 0, len(expected) + 1)]
        if not found == expected == list(range(1, len(expected) + 1)):
            yield f"of {stream} the versions {found} are read, and among all events {expected}"


def _events_are_chained(running: Embedded) -> Iterator[str]:
    """By their hashes and the seals, as `mainstem verify` holds them."""
    for found in verify(partial(open_integrity, running.settings)).findings[:_SHOWN]:
        yield f"verifying finds {found}"


def _log_has_each_event_once(log: Log, heads: Mapping[str, int], again: Collection[Again]) -> Iterator[str]:
    """Of each stream the versions from 1 on, in their order and without a gap."""
    decoder = msgspec.json.Decoder(_Placed)
    found: dict[str, int] = {}
    for page in scan(log, EVENT_TOPIC):
        for record in page:
            if (record.topic, record.partition, record.offset) in again:
                continue
            place = decoder.decode(record.value or b"")
            if place.version != found.get(place.stream, 0) + 1:
                yield f"the log has {place.stream}@{place.version} behind version {found.get(place.stream, 0)}"
            found[place.stream] = place.version
    for stream in sorted(heads.keys() | found.keys()):
        if heads.get(stream) != found.get(stream):
            yield f"{stream} ends at {heads.get(stream)} in the store, at {found.get(stream)} in the log"


def _views_are_their_folds(running: Embedded, again: Collection[Again]) -> Iterator[str]:
    """Each declared view is what its own fold makes of the log, where no record came twice.

    A key whose dead letters were tried again or dropped is left out, with all rows that its records touch: what was
    dropped, or came late, is in no other fold. So is a join with such a view.
    """
    views = [each for each in running.application.listeners if each.projection is not None]
    views.sort(key=lambda each: isinstance(each.projection, Joined))  # what others read comes before them
    with TemporaryDirectory(prefix="mainstem-") as folder:
        expected, partial_views = scratch_views(Path(folder)), set[str]()
        try:
            for binding in views:
                settled = _settled(running.log, binding)
                made_by = binding.projection
                if isinstance(made_by, Joined) and (settled or made_by.other.name in partial_views):
                    partial_views.add(projection_of(binding).table.name)
                    continue
                twice = () if isinstance(binding.decoder, Placed) else again  # there each delivery is one of its own
                pages = (_once(page, twice, settled) for page in scan(running.log, binding.topic))
                parked = fill(running.log, binding, expected, pages)
                spared = _touched(running.log, binding, expected, settled)
                if settled:
                    partial_views.add(projection_of(binding).table.name)
                yield from _view_differs(binding, running.views, expected, spared)
                waiting = running.views.parked_since(binding.group).keys() - settled
                if waiting != parked.keys():
                    yield f"of {binding.group} wait {sorted(waiting)}, and should {sorted(parked)}"
        finally:
            expected.close()


def _settled(log: Log, binding: Binding[Any]) -> set[str]:
    """The keys whose dead letters of that listener were tried again or dropped."""
    topic = binding.dead_letter_topic
    pages = scan(log, topic) if topic in log.topics() else ()
    return {each.key for page in pages for each in page if described(each).get("reason") in (RETRIED, DROPPED)}


def _touched(log: Log, binding: Binding[Any], expected: ViewStore, keys: Collection[str]) -> set[tuple[Any, ...]]:
    """The rows that records of these keys lead to."""
    if not keys:
        return set()
    work = working(projection_of(binding), expected.get, expected.find_each)
    for page in scan(log, binding.topic):
        for record in page:
            if record.key in keys:
                with suppress(Exception):  # it is a dead letter still
                    work.handle(binding.decoder.of([record])[0])
    return set(work.touched())


def _once(page: Sequence[Record], again: Collection[Again], but: Collection[str]) -> Sequence[Record]:
    return [e for e in page if (e.topic, e.partition, e.offset) not in again and e.key not in but]


def _view_differs(
    binding: Binding[Any], views: ViewStore, expected: ViewStore, spared: Collection[tuple[Any, ...]]
) -> Iterator[str]:
    table = projection_of(binding).table
    live = {table.key_of(row): row for row in views.scan(table)}
    made = {table.key_of(row): row for row in expected.scan(table)}
    keys = (live.keys() | made.keys()) - set(spared)
    differing = [key for key in sorted(keys, key=repr) if live.get(key) != made.get(key)]
    for key in differing[:_SHOWN]:
        yield f"view {table.name} has {live.get(key)}; its fold of the log is {made.get(key)}"
    if len(differing) > _SHOWN:
        yield f"view {table.name}: {len(differing) - _SHOWN} further rows differ"


def _accounts_agree(running: Embedded) -> Iterator[str]:
    sides = Sides(running.events, running.log, running.views, running.olap)
    found = reconcile(running.application.ledgers, sides, running.application.listeners)
    for each in found.differences[:_SHOWN]:
        yield f"the ledgers differ in {each.figure} of {each.key}: {each.values}"


def _datasources_have_each_record(running: Embedded) -> Iterator[str]:
    for datasource in running.application.datasources:
        held_offsets = running.log.ranges(datasource.topic).values()
        wanted = sum(each.end - each.begin for each in held_offsets)
        ((rows,),) = running.olap.ask(f'SELECT count(*) FROM "{datasource.name}"').rows
        rejected = running.olap.rejected(datasource)
        if rows + rejected != wanted:
            yield f"{datasource.name} has {rows} rows and {rejected} rejected, of {wanted} in {datasource.topic}"


def fingerprint(running: Embedded) -> tuple[int, str]:
    """How many events there are, and a digest of all of them and of all rows of the declared views."""
    found, count = hashlib.sha256(), 0
    for batch in running.events.read_all():
        count += len(batch)
        found.update(repr(batch).encode())
    for table in running.application.views():
        for row in running.views.scan(table):
            found.update(repr(row).encode())
    return count, found.hexdigest()[:16]
