"""What a datasource may declare beside its columns: rollup, partitions, compaction; of one meaning to every engine."""

from dataclasses import dataclass
from typing import Literal, get_args

from mainstem.errors import ConfigurationError

RollupGrain = Literal["minute", "hour", "day"]
RollupWhat = Literal["sum", "min", "max"]
SegmentGrain = Literal["hour", "day", "month"]

_ROWS_MAX = 100_000_000
_HOURS_MAX = 24 * 366
_BY_MAX = 8
_LENGTHS = ("minute", "hour", "day", "month")
"""From short to long; periods of each begin where one of those before it does."""


@dataclass(frozen=True)
class RollupMeasure:
    """A sum, the least or the greatest of an integer or decimal dimension, kept instead of its values."""

    what: RollupWhat
    of: str

    def __post_init__(self) -> None:
        if self.what not in get_args(RollupWhat):
            raise ConfigurationError(
                f"a rollup keeps {', '.join(get_args(RollupWhat))} of a dimension: not {self.what!r}"
            )


@dataclass(frozen=True)
class Rollup:
    """Facts of one period that are alike in all dimensions but the measured ones become one row, which counts them.

    Periods are of UTC. The values of a measured dimension are not kept, only its measures.
    """

    grain: RollupGrain
    measures: tuple[RollupMeasure, ...] = ()

    def __post_init__(self) -> None:
        if self.grain not in get_args(RollupGrain):
            raise ConfigurationError(f"a rollup is by {', '.join(get_args(RollupGrain))}, not by {self.grain!r}")
        if len(set(self.measures)) != len(self.measures):
            raise ConfigurationError("a rollup keeps one measure twice")


@dataclass(frozen=True)
class Partitioning:
    """How Druid cuts rows into segments: by periods, and once these are compacted by ranges of text dimensions too.

    A segment is what is loaded, dropped and left out of a question as a whole, so retention goes by these periods, in
    DuckDB too. DuckDB cuts nothing: it leaves out of a question what the least and greatest values of some 120,000 rows
    rule out, in the order in which they came.
    """

    segments: SegmentGrain = "day"
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.segments not in get_args(SegmentGrain):
            raise ConfigurationError(f"segments are of {', '.join(get_args(SegmentGrain))}, not of {self.segments!r}")
        if len(self.by) > _BY_MAX or len(set(self.by)) != len(self.by):
            raise ConfigurationError(f"segments are cut by at most {_BY_MAX} dimensions, each once: not by {self.by}")


@dataclass(frozen=True)
class Compaction:
    """Many small segments of a period become few, of about so many rows. DuckDB has nothing to compact.

    Periods that end less than `behind_hours` before the newest are left, since facts may still come into them.
    """

    target_rows: int = 5_000_000
    behind_hours: int = 24

    def __post_init__(self) -> None:
        if not 1 <= self.target_rows <= _ROWS_MAX or not 1 <= self.behind_hours <= _HOURS_MAX:
            raise ConfigurationError(
                f"a compaction is to 1 to {_ROWS_MAX} rows, 1 to {_HOURS_MAX} hours behind the newest: not {self}"
            )


BY_DAY = Partitioning()
"""What is meant where nothing is declared."""


def fits_into(grain: RollupGrain, segments: SegmentGrain) -> bool:
    """Whether each period of a rollup lies within one segment's."""
    return _LENGTHS.index(grain) <= _LENGTHS.index(segments)
