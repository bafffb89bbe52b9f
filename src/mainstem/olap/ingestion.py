"""The runner that feeds a datasource from its topic.

The store's own offsets are the truth: they were made with the rows, so every start, and every try after an error, goes
on from them. What the group commits to the log only tells others how far the datasource is.
"""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from mainstem.errors import ConfigurationError, MainstemError
from mainstem.log.lag import Lag, lag_of
from mainstem.log.port import Consumer, Log
from mainstem.messages import Record
from mainstem.olap.port import Datasource, IngestingOlap, Place, Rejects

_log = structlog.get_logger(__name__)

_POLL_S = 0.25
_COMMIT_EVERY_S = 1.0
_COUNT_EVERY_S, _TELL_EVERY_S = 1.0, 60.0
"""While records keep coming, those that do not fit are counted and told of in the log no more often."""

_LOADED, _LOADED_LINGERS = 64, 6
"""From how many records at once a batch gathers for so many times its linger: a batch costs as much as many rows."""

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0


@dataclass(frozen=True)
class IngestionStatus:
    """How the ingestion is doing.

    `rows` were added since it was made, `retries` counts failed tries since the last success, and `last_error` is the
    text of the last of them; None once it has gone on. `failed` is final. `misfits` are all records that the store
    has turned away since they do not fit the declaration.
    """

    state: Literal["idle", "running", "retrying", "failed"]
    rows: int
    retries: int
    last_error: str | None
    misfits: Rejects


class Ingestion:
    """Feeds one datasource; one thread calls `run` or `step`, any thread may read `status`.

    `linger_ms` is how long a batch gathers records after its first, up to `batch_max`; an answer of the store is the
    older by that much, and the fewer the batches, the less they cost. Under load it gathers for longer.
    """

    def __init__(
        self,
        olap: IngestingOlap,
        log: Log,
        datasource: Datasource,
        group: str = "",
        linger_ms: int = 25,
        batch_max: int = 10_000,
    ) -> None:
        if linger_ms < 0 or batch_max < 1:
            raise ConfigurationError(f"a batch of {batch_max} records that gathers for {linger_ms} ms cannot be made")
        self._olap = olap
        self._log = log
        self._datasource = datasource
        self._group = group or f"olap-{datasource.name}"
        self._linger_s = linger_ms / 1000
        self._batch_max = batch_max
        self._consumer: Consumer | None = None
        self._next: dict[Place, int] = {}
        self._uncommitted: dict[Place, int] = {}
        self._committed_at = 0.0
        self._state: Literal["idle", "running", "retrying", "failed"] = "idle"
        self._rows = 0
        self._retries = 0
        self._last_error: str | None = None
        self._misfits = Rejects()
        self._misfits_told: int | None = None
        self._uncounted = False
        self._counted_at = self._told_at = -math.inf

    @property
    def group(self) -> str:
        """The consumer group whose offsets show in the log."""
        return self._group

    @property
    def status(self) -> IngestionStatus:
        """A picture of the moment."""
        return IngestionStatus(self._state, self._rows, self._retries, self._last_error, self._misfits)

    def lag(self, now_ms: int) -> Lag:
        """How far the store is behind. Raises LogError or StoreError where that cannot be read."""
        done = self._next or self._olap.offsets(self._datasource)
        return lag_of(self._log, self._datasource.topic, done, now_ms)

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set (seen within 0.25 s): steps, and after an error tries again, at the latest after 5 s.

        An error that is none of mainstem's is a fault in the program: the state is `failed`, and it is raised.
        """
        self._state = "running"
        try:
            while not stop.is_set():
                try:
                    self.step()
                except MainstemError as error:
                    self._failed(error)
                    stop.wait(min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2 ** min(self._retries - 1, 16)))
            self._state = "idle"
        except Exception as error:
            self._state = "failed"
            self._last_error = f"{type(error).__name__}: {error}"
            _log.exception("ingestion failed", datasource=self._datasource.name)
            raise
        finally:
            self.close()

    def step(self) -> int:
        """One round; how many records it took from the topic. Raises MainstemError, and the next round starts anew.

        1. poll, waiting up to 0.25 s; 2. gather for the linger; 3. put into the store; 4. commit the group's offsets,
        at most once in a second while records keep coming.
        """
        try:
            consumer = self._consumer or self._start()
            records = self._gather(consumer)
            if records:
                added = self._olap.ingest(self._datasource, records)
                self._rows += added
                self._uncounted |= added < len(records)
                ahead = {(record.topic, record.partition): record.offset + 1 for record in records}
                self._next.update(ahead)
                self._uncommitted.update(ahead)
            self._see_misfits(idle=not records)
            if not records or time.monotonic() >= self._committed_at + _COMMIT_EVERY_S:
                self._commit(consumer)
        except BaseException:
            self._drop()
            raise
        if self._last_error is not None:
            _log.info("ingestion goes on", datasource=self._datasource.name, after_retries=self._retries)
            self._state, self._retries, self._last_error = "running", 0, None
        return len(records)

    def close(self) -> None:
        """Commit what is not yet, and stop reading. Closing twice is allowed; the next `step` starts anew."""
        if self._consumer is None:
            return
        try:
            self._commit(self._consumer)
        except MainstemError as error:
            # Only what others see of the group is late: the store's own offsets are where the next start goes on from.
            _log.warning("offsets not committed", group=self._group, error=str(error))
        finally:
            self._drop()

    def _start(self) -> Consumer:
        """A consumer that stands where the store does, and at a partition's begin where the store has nothing of it.

        Not at the group's committed offsets: where the store's file was deleted, they are further than the store.
        """
        self._olap.create(self._datasource)
        self._misfits = self._olap.misfits(self._datasource)
        if self._misfits_told is None:
            self._misfits_told = self._misfits.count
        topic = self._datasource.topic
        ranges = self._log.ranges(topic)
        stands = self._olap.offsets(self._datasource)
        for (_, partition), offset in stands.items():
            if partition not in ranges or offset > ranges[partition].end:
                raise ConfigurationError(
                    f"datasource {self._datasource.name} has come to offset {offset} of {topic}/{partition}, where the"
                    " log has not been: they are not of one folder; delete the store's file to fill it from this log"
                )
        self._next = {(topic, p): stands.get((topic, p), held.begin) for p, held in ranges.items()}
        self._uncommitted = dict(stands)  # a crash may have come between the store's commit and the group's
        self._consumer = self._log.consumer(self._group, [topic])
        self._consumer.seek(self._next)
        return self._consumer

    def _gather(self, consumer: Consumer) -> Sequence[Record]:
        first = consumer.poll(self._batch_max, _POLL_S)
        if not first or len(first) >= self._batch_max or self._linger_s == 0:
            return first
        time.sleep(self._linger_s * (_LOADED_LINGERS if len(first) > _LOADED else 1))
        return [*first, *consumer.poll(self._batch_max - len(first), 0.0)]

    def _see_misfits(self, *, idle: bool) -> None:
        """Count them where some may have come, and tell of them."""
        now = time.monotonic()
        if self._uncounted and (idle or now >= self._counted_at + _COUNT_EVERY_S):
            self._misfits = self._olap.misfits(self._datasource)
            self._uncounted, self._counted_at = False, now
        told, found = self._misfits_told or 0, self._misfits.count
        if found > told and now >= self._told_at + _TELL_EVERY_S:
            first = self._olap.misfits(self._datasource, told).first
            _log.warning("records do not fit", datasource=self._datasource.name, count=found - told, first=first)
            self._told_at = now
            self._misfits_told = found

    def _commit(self, consumer: Consumer) -> None:
        if self._uncommitted:
            consumer.commit(self._uncommitted)
            self._uncommitted = {}
        self._committed_at = time.monotonic()

    def _drop(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._uncommitted = {}
        if consumer is not None:
            consumer.close()

    def _failed(self, error: MainstemError) -> None:
        if str(error) != self._last_error:
            _log.warning("ingestion retries", datasource=self._datasource.name, error=str(error))
        self._state, self._retries, self._last_error = "retrying", self._retries + 1, str(error)
