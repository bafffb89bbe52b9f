"""What flows through the house: commands, events, row changes, log records and positions.

Every message is a frozen `msgspec.Struct`. Times are integers in milliseconds since the Unix epoch, UTC;
names that end in ``_ms`` say so.
"""

from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from mainstem.tenancy import MARK, key_of, read_stream, tenant_of

E = TypeVar("E")
R = TypeVar("R")


class Command(Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True, gc=False):
    """A request to change something. It may be refused. Subclasses are the application's own commands."""


class Event(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """A fact about one aggregate, in the past tense. Its tag (the class name unless given) is its stored name.

    Its schema version is 1, unless `mainstem.evolution.evolved` says otherwise.
    """


class Origin(Struct, frozen=True, kw_only=True, gc=False):
    """Who asked, in which conversation, and because of what: kept with every event and every refusal.

    `causation_id` names the message that the command answers, such as an event as ``stream:version``; None where a
    command begins something. `tenant` is whose command it is: what it leads to is that tenant's.
    """

    actor: str = "system"
    correlation_id: str | None = None
    causation_id: str | None = None
    tenant: str | None = None


SYSTEM = Origin()


class AsOf(Struct, frozen=True):
    """A moment in the life of an aggregate: behind a version, or at a time (milliseconds since the epoch).

    The time is that at which events occurred, or, where `recorded`, at which they were recorded: what was known then.
    """

    version: int | None = None
    at_ms: int | None = None
    recorded: bool = False


NOW = AsOf()
"""The moment behind everything that has happened."""


class Recorded(Struct, Generic[E], frozen=True, kw_only=True, gc=False):
    """An event with the place that the event store gave it. Also the value of a record on the event topic.

    `stream` is ``category-id``, of a tenant ``/tenant/category-id``, and `version` counts from 1 within it, without
    gaps. `occurred_at_ms` is the event time, `recorded_at_ms` the time of its transaction. `schema_version` is that of
    the stored event, whatever it was brought to since; of a stored event that is several today, all have its version,
    and `part` counts them from 0.
    """

    stream: str
    version: int
    occurred_at_ms: int
    recorded_at_ms: int
    actor: str
    correlation_id: str | None = None
    causation_id: str | None = None
    schema_version: int = 1
    part: int = 0
    payload: E

    @property
    def aggregate_id(self) -> str:
        """The aggregate's id, of a tenant ``/tenant/id``: what its rows are named by."""
        category, _, key = self.stream.partition("-")
        return key_of(self.stream) if MARK in category else key  # as `key_of`, without a call: no category has a mark

    @property
    def id(self) -> str:
        """The aggregate's id within its tenant: what commands and processes name it by."""
        return read_stream(self.stream).id

    @property
    def tenant(self) -> str | None:
        """Whose event it is."""
        return tenant_of(self.stream)


def by_aggregate(message: Recorded[Any]) -> tuple[str]:
    """The key of a view that has a row for each aggregate: the `aggregate_id`, without a call for each event."""
    category, _, key = message.stream.partition("-")
    return (key_of(message.stream) if MARK in category else key,)


class Source(Struct, frozen=True, kw_only=True, gc=False):
    """Where a change came from, in Debezium's field names; `file`, `pos` and `row` together are its position."""

    connector: str
    name: str
    ts_ms: int
    db: str
    table: str
    file: str
    pos: int
    row: int = 0
    snapshot: str = "false"
    version: str = ""
    gtid: str | None = None

    @property
    def identity(self) -> str:
        """A name for the change that is the same at every delivery; names of one file sort by position."""
        return f"{self.file}:{str(self.pos).zfill(12)}:{str(self.row).zfill(3)}"  # as `identity_of`, without a call


def identity_of(file: str, pos: int, row: int = 0) -> str:
    """A change's name by its position in its source."""
    return f"{file}:{str(pos).zfill(12)}:{str(row).zfill(3)}"


class Transaction(Struct, frozen=True, kw_only=True, gc=False):
    """The transaction that a change was part of, and its place in it (both orders count from 1)."""

    id: str
    total_order: int
    data_collection_order: int


class Change(Struct, Generic[R], frozen=True, kw_only=True, gc=False):
    """One row change in Debezium's envelope: c(reate), u(pdate), d(elete), or r(ead) by an initial snapshot."""

    op: Literal["c", "u", "d", "r"]
    before: R | None
    after: R | None
    source: Source
    ts_ms: int
    transaction: Transaction | None = None


class NewRecord(Struct, frozen=True, kw_only=True, gc=False):
    """A record to be appended to a topic. Its key chooses the partition; records of one key keep their order.

    A record with an `identity` is taken once per topic, however often it is appended.
    """

    topic: str
    key: str
    value: bytes | None
    timestamp_ms: int
    identity: str | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Record(Struct, frozen=True, gc=False):
    """A record as it stands in the log; offsets count from 0 within a partition."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()

    def header(self, name: str) -> bytes | None:
        """The last header of that name, as Kafka's clients read it; None where there is none."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


class Position(Struct, frozen=True, gc=False):
    """How far an aggregate has come: what a command returns, what a view has reached, what a query can wait for."""

    key: str
    version: int
