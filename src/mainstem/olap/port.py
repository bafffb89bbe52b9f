"""What the house asks of an analytical store: datasources fed from topics, exactly once, and questions about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mainstem.errors import ConfigurationError
from mainstem.messages import Record

Place = tuple[str, int]
_KINDS = ("text", "integer", "decimal", "timestamp")


@dataclass(frozen=True)
class Dimension:
    """A column of a datasource and the field of the message that fills it (of the same name unless named).

    Kinds: text; integer; decimal with two places (kept as exact cents); timestamp (ISO 8601 text in the message).
    """

    name: str
    kind: str = "text"
    source: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ConfigurationError(f"dimension {self.name} is of kind {self.kind!r}; known are {_KINDS}")
        if not self.source:
            object.__setattr__(self, "source", self.name)


@dataclass(frozen=True)
class Datasource:
    """A table of facts made from a topic of JSON objects; one declaration serves every engine."""

    name: str
    topic: str
    time: str
    dimensions: tuple[Dimension, ...]

    def __post_init__(self) -> None:
        if self.time not in {d.name for d in self.dimensions if d.kind == "timestamp"}:
            raise ConfigurationError(f"datasource {self.name}: {self.time!r} is not one of its timestamp dimensions")


@dataclass(frozen=True)
class Answer:
    """Rows of an analytical answer, with their column names."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


class Olap(Protocol):
    """Facts that are only ever added. One owner ingests; anybody in the process may ask meanwhile."""

    def create(self, datasource: Datasource) -> None:
        """Make the datasource, or leave it. Raises ConfigurationError where it stands with other dimensions."""

    def ingest(self, datasource: Datasource, records: Sequence[Record]) -> int:
        """Add the records that are beyond the datasource's offsets, with the offsets, in one transaction; how many.

        A record that does not fit the declaration is counted and kept as rejected, and never stops the others.
        """

    def offsets(self, datasource: Datasource) -> Mapping[Place, int]:
        """Up to where the topic is in the datasource."""

    def rejected(self, datasource: Datasource) -> int:
        """How many records did not fit."""

    def ask(
        self, sql: str, parameters: Sequence[Any] = (), *, row_limit: int = 10_000, timeout_s: float = 10.0
    ) -> Answer:
        """The answer to a SELECT with `?` parameters. Raises InvalidQuery; a limit on rows and on time holds."""

    def close(self) -> None:
        """Give everything back. Closing twice is allowed."""
