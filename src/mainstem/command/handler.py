"""One command inside the writer's transaction: known key, load, decide, append, keep the answer."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from mainstem.codec import encode
from mainstem.command.aggregate import Aggregates, Folded
from mainstem.command.answer import Answer, digest_of, keep, replay
from mainstem.command.boundary import Boundaries, Over, Tagged, Tags
from mainstem.command.closing import Closing
from mainstem.command.finite import endless_field, numbers_of
from mainstem.command.naming import Naming
from mainstem.command.snapshotting import Due
from mainstem.decider import Decider
from mainstem.errors import CommandError, ConfigurationError, IdempotencyConflict, InvalidCommand, Refused
from mainstem.eventstore.port import NONE_STANDING, Refusal, Retried, StoreTransaction, Wanted
from mainstem.messages import Command, Event, Origin
from mainstem.snapshots import Snapshots
from mainstem.tenancy import NONE, Tenants, own_key, qualified


class Request(Struct, frozen=True, gc=False):
    """A command on its way, with its idempotency key (if any), who asked, and the refusal that it is a retry of.

    `revoke` uses the key up instead. `occurred_at_ms` is when what it asks for happened, where that is history.
    """

    command: Command
    key: str | None
    origin: Origin
    retry_of: int | None = None
    revoke: bool = False
    occurred_at_ms: int | None = None


class Routed(Struct, frozen=True, gc=False):
    """A request, the aggregates that its command is for (None where there are none), and the stream of its own.

    None where the aggregate's name or the tenant is not usable.
    """

    request: Request
    aggregates: Aggregates | None
    stream: str | None


Outcome = Answer | CommandError

SNAPSHOTS = Snapshots(every_events=1_000)


class Handler:
    """Carries out commands. What it learns in a transaction is remembered only once that has committed.

    `snapshots` is for the deciders that declare none of their own; `closing` closes personal data, if there are any.
    """

    def __init__(
        self,
        deciders: Sequence[Decider[Any, Any, Any]],
        *,
        clock_ms: Callable[[], int],
        remembered: int = 10_000,
        snapshots: Snapshots = SNAPSHOTS,
        tenants: Tenants = NONE,
        closing: Closing | None = None,
    ) -> None:
        self.closing = closing
        self._clock_ms = clock_ms
        self._naming = Naming(tenants)
        self._read_s = 0.0
        self._by_command: dict[type[Command], Aggregates] = {}
        self._pending: dict[str, tuple[Aggregates, Folded]] = {}
        self._boundaries: dict[str, Boundaries] = {}
        self._over: dict[tuple[str, Tags], Over] = {}
        self._untold: Sequence[Routed] = ()
        for decider in deciders:
            own = decider.snapshots or snapshots
            aggregates = Aggregates(decider, remembered=remembered, snapshots=own, naming=self._naming)
            if decider.boundary is not None:
                self._boundaries[decider.category] = Boundaries(decider.boundary, remembered=remembered)
            for command in decider.commands:
                if command in self._by_command:
                    raise ConfigurationError(f"two deciders take the command {command.__name__}")
                self._by_command[command] = aggregates
        self._numbers = {command: numbers_of(command) for command in self._by_command}

    def begin(self) -> None:
        """A transaction begins: nothing has been learnt in it yet."""
        self._pending.clear()
        self._over.clear()
        self._untold = ()

    def committed(self, offer: Callable[[Due], bool]) -> None:
        """The transaction is durable: remember what it brought, and offer the states that are to be kept."""
        now_ms = self._clock_ms()
        for stream, (aggregates, folded) in self._pending.items():
            if folded.version:  # names that nobody has opened are not worth remembering
                aggregates.remember(stream, aggregates.offer_snapshot(stream, folded, now_ms, offer))
        for (category, tags), over in self._over.items():
            self._boundaries[category].remember(tags, over)
        self.begin()

    def forget(self) -> None:
        """The transaction failed: what it touched is loaded anew."""
        for stream, (aggregates, _) in self._pending.items():
            aggregates.forget(stream)
        for category, tags in self._over:
            self._boundaries[category].forget(tags)
        self.begin()

    def expect(self, transaction: StoreTransaction, requests: Sequence[Request]) -> list[Routed]:
        """Tell the transaction what the requests will load; each as `handle` takes it."""
        streams: dict[str, Wanted] = {}
        routed = [self._routed(request) for request in requests]
        for each in routed:
            aggregates, stream = each.aggregates, each.stream
            if aggregates is not None and stream is not None and stream not in streams:
                streams[stream] = aggregates.wanted(stream)
        keys = list({own_key(r.origin.tenant, r.key): None for r in requests if r.key is not None})
        began = time.perf_counter()
        transaction.expect(list(streams.values()), keys)
        self._read_s = (time.perf_counter() - began) / max(1, len(streams))
        self._untold = routed
        return routed

    def _routed(self, request: Request) -> Routed:
        aggregates = self._by_command.get(type(request.command))
        if aggregates is None:
            return Routed(request, None, None)
        stream = self._naming.stream(aggregates.decider, request.command, request.origin.tenant)
        return Routed(request, aggregates, stream)

    def _expect_tags(self, transaction: StoreTransaction) -> None:
        """Tell the transaction, once it is about the first, all tags: which they are, the aggregates' states tell."""
        untold, self._untold = self._untold, ()
        wanted: dict[str, None] = {}
        for each in untold:
            request, aggregates, stream = each.request, each.aggregates, each.stream
            boundaries = None if aggregates is None else self._boundaries.get(aggregates.decider.category)
            if aggregates is None or boundaries is None or stream is None:
                continue
            folded = self._loaded(transaction, aggregates, stream)
            tags = self._naming.tags(boundaries.tags(folded.state, request.command), request.origin.tenant)
            wanted.update(dict.fromkeys(tags or ()))
        transaction.expect_tags(wanted)

    def handle(self, transaction: StoreTransaction, routed: Routed) -> Outcome:
        """Carry the command out. Store errors are raised; all that concerns this command alone is its outcome."""
        request, aggregates, stream = routed.request, routed.aggregates, routed.stream
        if aggregates is None:
            return InvalidCommand(f"no decider takes the command {type(request.command).__name__}")
        if request.occurred_at_ms is not None and not 0 <= request.occurred_at_ms <= self._clock_ms():
            return InvalidCommand(f"{request.occurred_at_ms} ms is no time of the past")
        endless = endless_field(request.command, self._numbers[type(request.command)])
        if endless is not None:
            return InvalidCommand(f"{endless} has a number that is none, or has no end")
        if request.key is None:
            return self._decide(transaction, aggregates, request, stream)
        return self._once(transaction, aggregates, request, stream, own_key(request.origin.tenant, request.key))

    def _once(
        self, transaction: StoreTransaction, aggregates: Aggregates, request: Request, stream: str | None, key: str
    ) -> Outcome:
        digest = digest_of(request.command)
        kept = transaction.kept_answer(key)
        if kept is not None:
            if kept.digest != digest:
                return IdempotencyConflict("this idempotency key was used for a request with other content")
            row = aggregates.decider.state_row

            def today() -> Struct | None:
                return None if stream is None else self._loaded(transaction, aggregates, stream).row

            return replay(kept, row.table.row if row else None, today)
        if request.retry_of is not None and transaction.retried(request.retry_of) is not None:
            return InvalidCommand("a retry of this refusal was accepted long ago; it is not carried out again")
        if request.revoke:
            outcome: Outcome = Refused("revoked", "The command was revoked before it was carried out")
        else:
            outcome = self._decide(transaction, aggregates, request, stream)
        if isinstance(outcome, Answer | Refused):
            transaction.keep_answer(key, keep(digest, outcome), self._clock_ms())
        return outcome

    def _decide(
        self, transaction: StoreTransaction, aggregates: Aggregates, request: Request, stream: str | None
    ) -> Outcome:
        decider, tenant = aggregates.decider, request.origin.tenant
        if stream is None:
            return self._naming.why_not(tenant)
        folded = self._loaded(transaction, aggregates, stream)
        over = None
        boundaries = self._boundaries.get(decider.category)
        if boundaries is not None and (tags := boundaries.tags(folded.state, request.command)):
            own = self._naming.tags(tags, tenant)
            if own is None:
                return self._naming.no_tags()
            over = self._loaded_over(transaction, boundaries, decider.category, own)
        now_ms = self._clock_ms() if request.occurred_at_ms is None else request.occurred_at_ms
        try:
            events = list(_decided(decider, folded.state, request.command, over))
        except Refused as refused:
            self._pending[stream] = (aggregates, folded)
            transaction.keep_refusal(_refusal(stream, request, refused, now_ms))
            return refused
        if events and self.closing is not None:
            closed = self.closing.events(stream, events)
            if isinstance(closed, CommandError):
                return closed
            events = closed
        if events:
            standing = NONE_STANDING if over is None else over.numbers
            folded, appended = aggregates.append(
                transaction, stream, folded, events, now_ms=now_ms, origin=request.origin, standing=standing
            )
            if self._over:
                self._advance(appended)
        self._pending[stream] = (aggregates, folded)
        if request.retry_of is not None:
            transaction.keep_retried(request.retry_of, Retried(folded.version, now_ms, request.origin.actor))
        return Answer(
            aggregate_id=qualified(tenant, decider.target(request.command)),
            version=folded.version,
            occurred_at_ms=folded.occurred_at_ms,
            row=folded.row,
        )

    def _loaded(self, transaction: StoreTransaction, aggregates: Aggregates, stream: str) -> Folded:
        """As it stands in this transaction."""
        pending = self._pending.get(stream)
        if pending is None:
            pending = self._pending[stream] = (aggregates, aggregates.load(transaction, stream, self._read_s))
        return pending[1]

    def _loaded_over(self, transaction: StoreTransaction, boundaries: Boundaries, category: str, tags: Tags) -> Over:
        over = self._over.get((category, tags))
        if over is None:
            if self._untold:
                self._expect_tags(transaction)
            over = self._over[category, tags] = boundaries.load(transaction, tags)
        return over

    def _advance(self, appended: Sequence[Tagged]) -> None:
        """Bring what later commands of this transaction are decided over to where it stands now."""
        tagged = [(event, tags) for event, tags in appended if tags]
        if tagged:
            for (category, tags), over in self._over.items():
                self._over[category, tags] = self._boundaries[category].after(over, tagged)


def _decided(decider: Decider[Any, Any, Any], state: Any, command: Command, over: Over | None) -> Sequence[Event]:
    if over is None or decider.boundary is None:
        return decider.decide(state, command)
    return decider.boundary.decide(state, command, over.state)


def _refusal(stream: str, request: Request, refused: Refused, now_ms: int) -> Refusal:
    return Refusal(
        stream=stream,
        command=type(request.command).__name__,
        content=encode(request.command),
        reason=refused.reason,
        text=str(refused),
        refused_at_ms=now_ms,
        actor=request.origin.actor,
        correlation_id=request.origin.correlation_id,
        causation_id=request.origin.causation_id,
        retry_of=request.retry_of,
    )
