"""What the house asks of change data capture: the changes of named tables, in commit order, none left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from mainstem.errors import ConfigurationError
from mainstem.messages import NewRecord


@dataclass(frozen=True)
class Captured:
    """A table whose row changes go to a topic (its bare name unless named), keyed by its primary key.

    With `outbox` the table is an outbox (Debezium's outbox event router): an inserted row is not wrapped in an
    envelope but becomes one record, its key the column `outbox.key`, its value an object of the other named columns.
    `row` says what its columns are, for the application's description: whoever hears the topic is checked against it.
    """

    table: str
    topic: str = ""
    outbox: "Outbox | None" = None
    row: type[Struct] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.table:
            raise ConfigurationError("a captured table needs a name")
        if not self.topic:
            object.__setattr__(self, "topic", self.table)


@dataclass(frozen=True)
class Outbox:
    """How a row of an outbox table becomes a record: `payload` is a column of JSON text, put in as it is."""

    key: str
    payload: str
    timestamp: str
    columns: tuple[str, ...] = field(default=())


class CapturedBatch(Struct, frozen=True):
    """Records of changes, those of a topic in commit order, and the capture's position behind the last of them."""

    records: Sequence[NewRecord]
    position: int


class Capture(Protocol):
    """Changes made by any client, taken from where the database itself keeps their order."""

    def install(self) -> None:
        """Begin to capture; rows that stand already are captured as an initial snapshot, once. Idempotent."""

    def read(self, after: int, limit: int) -> CapturedBatch:
        """At most `limit` changes behind the position `after`; an empty batch where there are none."""

    def wait(self, after: int, timeout_s: float) -> bool:
        """Wait, without spinning, until there is a change behind the position; False where the time was over first."""

    def wake(self) -> None:
        """Make a waiting reader look: called after each commit of this process."""

    def release(self, position: int) -> None:
        """Everything up to the position is safe in the log: its place may be used again."""

    def lag(self, after: int) -> int:
        """How many changes stand behind the position."""

    def oldest_ms(self, after: int) -> int | None:
        """When the first change behind the position was made; None where there is none."""

    def close(self) -> None:
        """Give everything back. Closing twice is allowed."""
