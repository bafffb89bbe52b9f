"""What suites of integrity share: a store, its chain and seals, and a client that does to its tables what it likes."""

from abc import ABC, abstractmethod
from contextlib import closing
from functools import partial
from pathlib import Path

from mainstem.eventstore.integrity import Integrity
from mainstem.eventstore.mending_tags import mending
from mainstem.eventstore.port import EventStore, NewEvent
from mainstem.eventstore.verifying import Verified, verify
from mainstem.messages import Origin

ORIGIN = Origin(actor="teller", correlation_id="c-1", causation_id="order-7:3")

Told = list[tuple[str, str, int]]


class Tampered(ABC):
    """The store under test, and what verifying says of it."""

    @abstractmethod
    def open(self, folder: Path) -> EventStore:
        """The store of that folder, its clock standing at 1000; another one at each call in the same test."""

    @abstractmethod
    def integrity(self, folder: Path) -> Integrity:
        """Its chain and seals."""

    @abstractmethod
    def run_sql(self, folder: Path, *statements: str) -> None:
        """As any client of the database would."""

    def verified(self, folder: Path, root: str | None = None) -> Verified:
        """What is found."""
        return verify(partial(self.integrity, folder), root=root)

    def told(self, folder: Path) -> Told:
        """What is found, without how it shows."""
        return [(each.kind, each.stream, each.version) for each in self.verified(folder).findings]

    def mended(self, folder: Path) -> list[str]:
        """Make right what is found of the tags; what is left."""
        findings = self.verified(folder).findings
        with closing(self.integrity(folder)) as integrity:
            plan = mending(integrity, findings)
            for mend in plan.mends:
                integrity.mend_tag(mend)
        return list(plan.left)


def counted(store: EventStore, stream: str, version: int, *tags: str) -> None:
    """Append an event behind that version."""
    with store.transaction() as transaction:
        event = NewEvent("Counted", b'{"type":"Counted","n":%d}' % (version + 1), tags=tags)
        transaction.append(stream, version, [event], occurred_at_ms=500 + version, origin=ORIGIN)
