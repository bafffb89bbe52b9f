"""Views as pure folds: what a message adds, what one row per key becomes, or both with a row of another view.

Windows of time and what is made of many messages at once have modules of their own.
Nothing here does I/O.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import Struct

from mainstem.messages import Position
from mainstem.table import Table
from mainstem.view.batched import Batched
from mainstem.view.vectorised import Vectorised
from mainstem.view.window import Windowed

M = TypeVar("M")
R = TypeVar("R", bound=Struct)
J = TypeVar("J", bound=Struct)


@dataclass(frozen=True)
class Rows(Generic[M, R]):
    """Each message adds rows of its own; a row's key comes from the message's identity, so redelivery adds nothing.

    That holds while rows stay. Where somebody takes them away once they are seen to, `stays` says so.
    """

    table: Table[R]
    make: Callable[[M], Sequence[R]]
    stays: bool = True


@dataclass(frozen=True)
class Fold(Generic[M, R]):
    """One row per key: `fold(row, message)` is the row after the message; None means that no row stands.

    Offsets keep a record from being folded twice. Where the capture itself sends facts again, since it had to begin
    anew, only the row can tell: `done(row, message)` is then whether the row holds the message already.
    """

    table: Table[R]
    key: Callable[[M], tuple[Hashable, ...]]
    fold: Callable[[R | None, M], R | None]
    done: Callable[[R, M], bool] | None = None


class With(NamedTuple, Generic[M, J]):
    """A message with the row of another view, None where none stands."""

    message: M
    row: J | None


_SAME = Table("same", Position, key=("key",))


@dataclass(frozen=True)
class Joined(Generic[M, J]):
    """Each message goes with the row that another view of the store has under `on(message)` into a projection of both.

    The row is that of the transaction which writes. Since the other view may be behind, `ready(row, message)` says
    whether it has come far enough; until it has, the listener waits, with all that comes behind. What is made of the
    row should be no more than what stands from then on, else it depends on the moment.
    """

    other: Table[J]
    on: Callable[[M], tuple[Hashable, ...]]
    into: Rows[With[M, J], Any] | Fold[With[M, J], Any] | Windowed[With[M, J], Any]
    ready: Callable[[J | None, M], bool] | None = None
    table: Table[Any] = _SAME
    """Where the rows go: to the table of `into`, unless another is named."""
    emits_both: bool = False
    """Whether the listener's `emit` takes the message with the row, as a `With`; else the message alone."""

    def __post_init__(self) -> None:
        if self.table is _SAME:
            object.__setattr__(self, "table", self.into.table)
        elif self.table is not self.into.table:
            object.__setattr__(self, "into", replace(self.into, table=self.table))


Projection = Rows[M, Any] | Fold[M, Any] | Windowed[M, Any] | Joined[M, Any] | Batched[M, Any] | Vectorised[Any]
