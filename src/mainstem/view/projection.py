"""Views as pure folds: what a message adds, or what one row per key becomes. Nothing here does I/O."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import Struct

from mainstem.table import Table
from mainstem.view.window import Windowed

M = TypeVar("M")
R = TypeVar("R", bound=Struct)


@dataclass(frozen=True)
class Rows(Generic[M, R]):
    """Each message adds rows of its own; a row's key comes from the message's identity, so redelivery adds nothing."""

    table: Table[R]
    make: Callable[[M], Sequence[R]]


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


Projection = Rows[M, Any] | Fold[M, Any] | Windowed[M, Any]
