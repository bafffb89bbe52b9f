"""What the write side asks of an event store."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from mainstem.messages import Origin
from mainstem.table import Table

R = TypeVar("R", bound=Struct)


class NewEvent(Struct, frozen=True, gc=False):
    """An encoded event to append: `payload` is a JSON object that carries `type` as its tag.

    By its `tags` it is found among events of other streams.
    """

    type: str
    payload: bytes
    schema_version: int = 1
    tags: tuple[str, ...] = ()


class StoredEvent(Struct, frozen=True):
    """An event as it stands in the store.

    `hash`: its link in the stream's chain, see `mainstem.eventstore.chain`; `tags`: see `mainstem.eventstore.tagging`.
    """

    stream: str
    version: int
    type: str
    payload: bytes
    occurred_at_ms: int
    recorded_at_ms: int
    actor: str
    correlation_id: str | None
    schema_version: int = 1
    causation_id: str | None = None
    hash: bytes | None = None
    tags: str | None = None


class TaggedEvent(Struct, frozen=True):
    """An event by one of its tags. A tag's events are numbered from 1, without gaps, in the order of transactions."""

    tag: str
    number: int
    event: StoredEvent


NONE_STANDING: Mapping[str, int] = {}


class Snapshot(Struct, frozen=True):
    """An encoded state as of a version, made by the fold of that fingerprint.

    Who takes it makes the digest, of all the rest and the stream's name, and who reads it holds it against that.
    """

    version: int
    occurred_at_ms: int
    fingerprint: str
    taken_at_ms: int
    state: bytes
    digest: bytes


class KeptSnapshot(Struct, frozen=True):
    """What is known of a snapshot beside its state, whose size is in bytes."""

    stream: str
    fingerprint: str
    version: int
    occurred_at_ms: int
    taken_at_ms: int
    size: int


class Refusal(Struct, frozen=True, kw_only=True):
    """A refused command with its reason, time and who: it is kept like an event, in a table that is captured too.

    `retry_of` is the number of the refusal that this was a retry of, if it was one.
    """

    stream: str
    command: str
    content: bytes
    reason: str
    text: str
    refused_at_ms: int
    actor: str
    correlation_id: str | None = None
    causation_id: str | None = None
    retry_of: int | None = None


class Retried(Struct, frozen=True):
    """A retry that was accepted: the version that its aggregate has come to, when, and who asked for it."""

    version: int
    at_ms: int
    actor: str


class KeptRefusal(Struct, frozen=True):
    """A refusal with the number that the store gave it, and the retry of it that was accepted, if one was."""

    number: int
    refusal: Refusal
    retried: Retried | None = None


class RefusalFilter(Struct, frozen=True, kw_only=True):
    """Which refusals: those that have all that is named. `to_ms` is the first time that is too late.

    `tenant` is whose; the empty text for those of no tenant, None for whoever's. A category is one of the tenant's.
    """

    stream: str | None = None
    category: str | None = None
    reason: str | None = None
    command: str | None = None
    actor: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    retry_of: int | None = None
    tenant: str | None = None


EVERY_REFUSAL = RefusalFilter()


class RefusalCount(Struct, frozen=True):
    """How many refusals of one reason, of the period that begins at `from_ms` where they were counted by periods."""

    reason: str
    refusals: int
    from_ms: int | None = None


class TenantCounts(Struct, frozen=True):
    """How much there is of a tenant; of None, what is of no tenant."""

    tenant: str | None
    events: int
    streams: int
    refused: int


class KeptAnswer(Struct, frozen=True):
    """What a command with that idempotency key was answered; `digest` names the command's content."""

    digest: bytes
    answer: bytes


class Wanted(Struct, frozen=True):
    """A stream that is about to be loaded after a version; after 0, from the snapshot of that fingerprint if any."""

    stream: str
    after: int
    fingerprint: str


class StoreTransaction(Protocol):
    """One transaction of one writer. Everything in it becomes durable together or not at all.

    All but reading may raise WriteConflict where writers of other processes came first.
    """

    def expect(self, streams: Sequence[Wanted], keys: Sequence[str]) -> None:
        """Hear what is about to be loaded, each stream once, so that it can be read, and locked, all at a time.

        It changes nothing but the time that loading takes, and how often writers of several processes collide.
        """

    def load(self, stream: str, after: int) -> Sequence[StoredEvent] | None:
        """Events with a version above `after`, in order; None where the stream has not even reached `after`."""

    def expect_tags(self, tags: Collection[str]) -> None:
        """Hear which tags are about to be loaded or given, behind `expect`, so that all are locked at a time."""

    def load_tagged(self, after: Mapping[str, int]) -> Sequence[TaggedEvent] | None:
        """Events with any of these tags and a number in it above the one named, in the order of transactions.

        An event is there once for each tag that it has of these. None where a tag has not even reached its number.
        Until this transaction ends, nobody else appends an event with one of these tags.
        """

    def append(
        self,
        stream: str,
        expected: int,
        events: Sequence[NewEvent],
        *,
        occurred_at_ms: int,
        origin: Origin,
        standing: Mapping[str, int] = NONE_STANDING,
    ) -> None:
        """Append events as versions expected+1 and on. Raises VersionConflict where the stream stands otherwise.

        Raises TagConflict where the last event with a tag of `standing` has another number than is named there, 0 for
        none: then the decision was made without events that bear on it.
        """

    def snapshot(self, stream: str, fingerprint: str) -> Snapshot | None:
        """The stream's snapshot of that fingerprint."""

    def put_state(self, table: Table[Any], before: Struct | None, after: Struct | None) -> None:
        """Bring the state row from `before` to `after`. Raises StateDrift where it does not stand as in `before`."""

    def kept_answer(self, key: str) -> KeptAnswer | None:
        """What that idempotency key was answered."""

    def keep_answer(self, key: str, kept: KeptAnswer, at_ms: int) -> None:
        """Keep the answer of a key that has none."""

    def keep_refusal(self, refusal: Refusal) -> None:
        """Keep a refused command."""

    def retried(self, number: int) -> Retried | None:
        """The retry of that refusal that was accepted, if one was."""

    def keep_retried(self, number: int, retried: Retried) -> None:
        """Keep that a retry of that refusal was accepted; of one refusal, one is."""


class RefusalReader(Protocol):
    """Questions about refused commands."""

    def find(self, number: int) -> KeptRefusal | None:
        """The refusal of that number."""

    def page(
        self, asked: RefusalFilter = EVERY_REFUSAL, after: tuple[int, int] | None = None, limit: int = 100
    ) -> Sequence[KeptRefusal]:
        """At most `limit` of them, newest first, behind the one of that time and number."""

    def counts(
        self, asked: RefusalFilter = EVERY_REFUSAL, period_ms: int | None = None, limit: int = 1000
    ) -> Sequence[RefusalCount]:
        """How many by reason, the most frequent first; by periods of that length, the newest of them first."""


class TenantReader(Protocol):
    """Questions about whose the events are."""

    def names(self) -> Iterator[str]:
        """The tenants that have events or refused commands, each once."""

    def marked(self, categories: Iterable[str]) -> str | None:
        """A stream of no tenant, of these categories, whose aggregate's id begins with a slash; None for none."""

    def counts(self, tenant: str | None, told: Callable[[int], None] = ...) -> TenantCounts:
        """How much there is of a tenant; `told` hears how many more streams are counted."""


class StateTables(Protocol):
    """The tables of state rows, of a store that has columns for them."""

    def make_anew(self, table: Table[Any], *, dry_run: bool = False) -> tuple[Sequence[str], Sequence[str]] | None:
        """Put an empty table in the place of one that stands with other columns than are declared.

        The columns as they stand and as they are declared; None where these agree, or no table stands: then nothing
        is done, as in a dry run.
        """


class EventStore(Protocol):
    """Events by stream, with state rows, idempotency keys and refusals beside them."""

    def transaction(self) -> AbstractContextManager[StoreTransaction]:
        """The writer's transaction: commits durably where the block ends, changes nothing where it raises."""

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[StoredEvent]:
        """At most `limit` events of one stream with a version above `after`, in order."""

    def read_tagged(self, tag: str, after: int = 0, limit: int = 1000) -> Sequence[TaggedEvent]:
        """At most `limit` events with that tag and a number above `after`, in order."""

    def read_all(self, batch: int = 1000) -> Iterator[Sequence[StoredEvent]]:
        """All events, in batches, as one consistent picture of the moment of the first.

        In the order of their transactions; those of several processes at once may stand in either order.
        """

    def states(self, table: Table[R]) -> Iterator[R]:
        """All rows of a state table."""

    @property
    def refusals(self) -> RefusalReader:
        """The refused commands."""

    @property
    def tenants(self) -> TenantReader:
        """Whose the events are."""

    def forget_answers(self, before_ms: int, limit: int = 1000) -> int:
        """Drop at most `limit` kept answers from before that time; how many went."""

    def keep_snapshots(self, snapshots: Sequence[tuple[str, Snapshot]]) -> None:
        """Keep each in the place of its stream's older one of the same fingerprint; a power cut may take them.

        Off the writer's transaction, which waits for it a moment at most. Each stream and fingerprint is there once.
        """

    def kept_snapshots(self, stream: str | None = None) -> Iterator[KeptSnapshot]:
        """What is kept, of all streams or of one, in the order of streams and fingerprints."""

    def drop_snapshots(self, *, keep: Collection[str] = (), before_ms: int | None = None, limit: int = 1000) -> int:
        """Drop at most `limit` snapshots, of other fingerprints than those and taken before then; how many went."""

    def holding(self, text: str) -> Mapping[str, int]:
        """How many snapshots, refused commands and kept answers have that ASCII text in them, by these names."""

    def close(self) -> None:
        """Give everything back. Closing twice is allowed."""
