"""What every event store keeps to of tenants. Bind an adapter by subclassing `TenantsContract`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.eventstore.port import EventStore, NewEvent, Refusal, RefusalCount, RefusalFilter, TenantCounts
from mainstem.messages import Origin
from mainstem.tenancy import qualified

_TENANTS = (None, "a", "a-b", "ab", "b", "0", "zz")
"""Each is the beginning of another, or beside it."""


class TenantsContract(ABC):
    """The suite."""

    @abstractmethod
    def open(self, folder: Path) -> EventStore:
        """The store of that folder; opened a second time it stands for another process."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[EventStore]:
        """An empty store."""
        store = self.open(tmp_path)
        yield store
        store.close()

    def test_an_empty_store_has_no_tenants(self, store: EventStore) -> None:
        """And nothing to count."""
        assert list(store.tenants.names()) == []
        assert store.tenants.counts(None) == TenantCounts(None, 0, 0, 0)
        assert store.tenants.counts("a") == TenantCounts("a", 0, 0, 0)
        assert store.tenants.marked(["card"]) is None

    def test_tenants_are_found_by_events_and_by_refusals(self, store: EventStore) -> None:
        """One without events too."""
        _append(store, "card-1", 1)
        for number, tenant in enumerate(_TENANTS[1:4], 1):
            _append(store, qualified(tenant, "card-1"), number)
        _refuse(store, "/zz/card-1")
        assert sorted(store.tenants.names()) == ["a", "a-b", "ab", "zz"]

    def test_each_is_counted_by_itself(self, store: EventStore) -> None:
        """Of streams whose names begin alike, in two categories."""
        for number, tenant in enumerate(_TENANTS):
            for stream in range(number):
                _append(store, qualified(tenant, f"card-{stream}"), number)
            _append(store, qualified(tenant, "éa-1"), 1)
            for _ in range(number):
                _refuse(store, qualified(tenant, "card-1"))
        told = list[int]()
        found = [store.tenants.counts(tenant, told.append) for tenant in _TENANTS]
        assert found == [TenantCounts(t, n * n + 1, n + 1, n) for n, t in enumerate(_TENANTS)]
        assert sum(told) == sum(each.streams for each in found)

    def test_more_streams_than_a_page_has(self, store: EventStore) -> None:
        """Each once."""
        with store.transaction() as transaction:
            for number in range(1_001):
                stream = f"/a/card-{number}"
                transaction.load(stream, 0)
                transaction.append(stream, 0, [_event(1)], occurred_at_ms=1, origin=Origin())
        assert store.tenants.counts("a") == TenantCounts("a", 1_001, 1_001, 0)

    def test_an_id_that_begins_with_a_slash_is_found(self, store: EventStore) -> None:
        """Of no tenant, in the categories that are asked for; by a refused command too."""
        _append(store, "/a/card-/1", 1)
        _append(store, "card-1/2", 1)
        _append(store, "other-/1", 1)
        assert store.tenants.marked(["card"]) is None
        assert store.tenants.marked(["card", "other"]) == "other-/1"
        _refuse(store, "card-/a/1")
        assert store.tenants.marked(["card"]) == "card-/a/1"

    def test_refusals_of_one_tenant(self, store: EventStore) -> None:
        """Of none, of one, of whoever; and of a category of these."""
        for tenant in _TENANTS:
            _refuse(store, qualified(tenant, "card-1"))
            _refuse(store, qualified(tenant, "card_b-1"))
        for tenant in _TENANTS:
            streams = [qualified(tenant, "card_b-1"), qualified(tenant, "card-1")]
            asked = RefusalFilter(tenant=tenant or "")
            assert [each.refusal.stream for each in store.refusals.page(asked)] == streams
            assert store.refusals.counts(asked) == [RefusalCount("no", 2)]
            of_category = RefusalFilter(tenant=tenant or "", category="card")
            assert [each.refusal.stream for each in store.refusals.page(of_category)] == streams[1:]
        assert store.refusals.counts() == [RefusalCount("no", 2 * len(_TENANTS))]


def _event(number: int) -> NewEvent:
    return NewEvent("Counted", b'{"type":"Counted","n":%d}' % number)


def _append(store: EventStore, stream: str, events: int) -> None:
    with store.transaction() as transaction:
        transaction.load(stream, 0)
        transaction.append(stream, 0, [_event(n) for n in range(events)], occurred_at_ms=1, origin=Origin())


def _refuse(store: EventStore, stream: str) -> None:
    refusal = Refusal(
        stream=stream, command="Count", content=b"{}", reason="no", text="no", refused_at_ms=1, actor="teller"
    )
    with store.transaction() as transaction:
        transaction.keep_refusal(refusal)
