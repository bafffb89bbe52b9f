"""What a listener is: a declaration of the topic it hears, the view it keeps and the topic it speaks on."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Generic, TypeVar

from mainstem.codec import Decoder
from mainstem.errors import ConfigurationError
from mainstem.listener.declared import place_of_caller
from mainstem.log.port import Topic
from mainstem.messages import NewRecord, Position
from mainstem.view.projection import Projection

M = TypeVar("M")
_RANDOM = SystemRandom()
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LINGER_MAX_MS = 500
"""A join waits for the view that it reads for a second, before it tells that it is stalled."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often a transient failure is tried again, and how long to wait before each try (doubling, with a limit).

    Each wait is shorter by a random share of up to `jitter`, so that those who failed together do not come together.
    """

    attempts: int = 5
    first_wait_ms: int = 20
    longest_wait_ms: int = 5_000
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_wait_ms < 0 or not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"{self}: at least one try, no wait below 0, a jitter from 0 to 1")

    def wait_ms(self, attempt: int) -> float:
        """The wait before try number `attempt` (the second try is number 2)."""
        longest = min(self.longest_wait_ms, self.first_wait_ms << min(attempt - 2, 20))
        return longest * (1 - self.jitter * _RANDOM.random())


def no_position(_: object) -> None:
    """Of a view for which nobody waits."""


@dataclass(frozen=True)
class Binding(Generic[M]):
    """One listener: `group` reads `topic`, decodes each record, projects it into a view and emits records to `out`.

    `projection` and `emit` are pure and may both be given; a record that `emit` returns carries an identity, so that
    the log takes it once, and is for a topic of `out`.
    Of a join that `emits_both` it takes a `With`: the message and the other view's row.
    `position` says which version of which aggregate a message brings the view to, if any;
    of the messages of one key that come together only the last is asked, so their versions must rise.
    Where nobody waits for the view, `linger_ms` lets messages gather under load: after more than a few the next batch
    begins that long after them, with all that has come, and fewer batches cost less. A few are always taken at once.
    A batch that takes longer than `slow_after_ms` makes the listener's state `stuck`, and tells where it is.
    """

    group: str
    topic: str
    decoder: Decoder[M]
    projection: Projection[M] | None = None
    emit: Callable[[M], Sequence[NewRecord]] | None = None
    out: tuple[Topic, ...] = ()
    position: Callable[[M], Position | None] = no_position
    batch_max: int = 10_000
    linger_ms: int = 0
    slow_after_ms: int = 30_000
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    declared_at: str = field(default="", init=False, repr=False, compare=False)
    """file:line, for errors of the wiring."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "declared_at", place_of_caller())
        if not _GROUP.fullmatch(self.group):
            text = "letters, digits, '.', '_' and '-', a letter or digit first, at most 128"
            raise ConfigurationError(f"{self.group[:129]!r} is no name of a listener: {text}")
        if self.projection is None and self.emit is None:
            raise ConfigurationError(f"listener {self.group} neither keeps a view nor emits anything")
        if not 1 <= self.batch_max <= 100_000:
            raise ConfigurationError(f"listener {self.group}: batch_max is {self.batch_max}; 1 to 100000 are possible")
        if not 0 <= self.linger_ms <= _LINGER_MAX_MS:
            text = f"linger_ms is {self.linger_ms}; 0 to {_LINGER_MAX_MS} are possible"
            raise ConfigurationError(f"listener {self.group}: {text}")
        if self.slow_after_ms < 1:
            raise ConfigurationError(f"listener {self.group}: slow_after_ms is {self.slow_after_ms}, and at least 1")

    @property
    def has_positions(self) -> bool:
        """Whether a position can be looked for in the view."""
        return self.position is not no_position

    @property
    def dead_letter_topic(self) -> str:
        """The topic for what this group could not handle."""
        return f"{self.topic}.{self.group}.dead"
