"""What a datasource may declare, what of it is refused, and what may be asked of a rollup."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mainstem.errors import ConfigurationError, InvalidQuery
from mainstem.messages import Record
from mainstem.olap import duckdb_keeping
from mainstem.olap.druid_spec import Reading, supervisor_spec
from mainstem.olap.duckdb import DuckdbOlap
from mainstem.olap.names import check_names
from mainstem.olap.options import Compaction, Partitioning, Rollup, RollupMeasure
from mainstem.olap.port import Datasource, Dimension, declaration_of
from mainstem.olap.question import Equal, Measure, Not, Question, Range
from mainstem.testing.contracts.olap import SALES
from mainstem.testing.contracts.olap_options import KEPT, ROLLED

_NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        (lambda: Rollup("week"), "by minute, hour, day"),  # type: ignore[arg-type]
        (lambda: RollupMeasure("avg", "price"), "sum, min, max"),  # type: ignore[arg-type]
        (lambda: Rollup("day", (RollupMeasure("sum", "price"), RollupMeasure("sum", "price"))), "twice"),
        (lambda: replace(SALES, rollup=Rollup("day", (RollupMeasure("sum", "shop"),))), "'shop', which its rollup"),
        (lambda: replace(SALES, rollup=Rollup("day", (RollupMeasure("sum", "size"),))), "'size', which its rollup"),
        (lambda: replace(SALES, rollup=Rollup("day"), partitioning=Partitioning("hour")), "longer than a segment"),
        (lambda: Partitioning("year"), "hour, day, month"),  # type: ignore[arg-type]
        (lambda: Partitioning("day", ("shop", "shop")), "each once"),
        (lambda: replace(SALES, partitioning=Partitioning("day", ("shop",))), "declare a compaction"),
        (lambda: replace(SALES, partitioning=Partitioning("day", ("pieces",)), compaction=Compaction()), "by text"),
        (lambda: Compaction(0), "1 to"),
        (lambda: Compaction(1, 0), "1 to"),
        (lambda: replace(SALES, keep_days=0), "kept for 1 to"),
        (lambda: replace(SALES, late_after_s=0), "late after 1 s"),
    ],
)
def test_what_cannot_be_meant_is_refused(declared: Callable[[], object], match: str) -> None:
    """When it is declared."""
    with pytest.raises(ConfigurationError, match=match):
        declared()


@pytest.mark.parametrize("name", ["facts", "FACTS", "sum_price_cents"])
def test_a_dimension_is_not_called_as_a_measure(name: str) -> None:
    """Of the rollup, in any case of letters."""
    with pytest.raises(ConfigurationError, match="two dimensions of one name"):
        check_names(replace(ROLLED, dimensions=(*ROLLED.dimensions, Dimension(name))))


def test_a_declaration_without_options_is_what_it_was() -> None:
    """In the files that there are; what makes no other rows is no part of it."""
    dimensions = [{"name": "id", "kind": "text", "source": "id"}, {"name": "at", "kind": "timestamp", "source": "at"}]
    stood = {"name": "kept", "topic": "kept", "time": "at", "dimensions": dimensions}
    assert msgspec.json.decode(declaration_of(KEPT)) == stood
    assert declaration_of(KEPT) == msgspec.json.encode(stood).decode()
    assert declaration_of(replace(KEPT, late_after_s=1)) != declaration_of(KEPT)


@pytest.mark.parametrize(
    ("segments", "kept_from"),
    [("hour", "2026-03-12T12:00"), ("day", "2026-03-12T00:00"), ("month", "2026-03-01T00:00")],
)
def test_whole_segments_are_kept(segments: Any, kept_from: str) -> None:
    """While any of them is younger than the days."""
    now = _NOW.replace(tzinfo=None) + timedelta(minutes=30)
    assert replace(KEPT, partitioning=Partitioning(segments)).kept_from(now) == datetime.fromisoformat(kept_from)
    assert replace(KEPT, keep_days=None).kept_from(now) is None


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"grain": "minute"}, "minute is finer"),
        ({"since": datetime(2026, 3, 9, 7, 30)}, "one's begin"),  # noqa: DTZ001 - in UTC
        ({"until": datetime(2026, 3, 9, 7, 0, 0, 1_000)}, "one's begin"),  # noqa: DTZ001
        ({"by": ("price",)}, "of price only measures"),
        ({"where": (Not(Equal("price", 1)),)}, "of price only measures"),
        ({"where": (Range("soldAt", above=_NOW),)}, "by a begin and an end"),
        ({"within": Equal("weight", 1)}, "of weight only measures"),
        ({"measures": (Measure("quantile", "pieces", 50),)}, "cannot be known"),
        ({"measures": (Measure("min", "soldAt"),)}, "cannot be known"),
        ({"measures": (Measure("distinct", "price"),)}, "max, min, sum is kept"),
        ({"measures": (Measure("avg", "weight"),)}, "only max is kept"),
        ({"measures": (Measure("min", "weight"),)}, "only max is kept"),
    ],
)
def test_what_a_rollup_does_not_know_is_not_asked(asked: dict[str, Any], match: str) -> None:
    """Rather than told otherwise than its facts would."""
    Question(replace(ROLLED, rollup=None), **asked)
    with pytest.raises(InvalidQuery, match=match):
        Question(ROLLED, **asked)


class _Aging:
    """A store of KEPT, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.now = _NOW
        self.olap = DuckdbOlap(folder / "olap.duckdb", now_ms=lambda: round(self.now.timestamp() * 1_000))
        self.olap.create(KEPT)
        self._offset = 0

    def add(self, count: int, datasource: Datasource = KEPT) -> int:
        """So many facts of now; how many were added."""
        value = f'{{"id":"a","at":"{self.now.isoformat()}"}}'.encode()
        records = [Record("kept", 0, self._offset + n, "k", value, 0) for n in range(count)]
        self._offset += count
        return self.olap.ingest(datasource, records)

    def rows(self) -> int:
        """All that there are."""
        return int(self.olap.ask("SELECT count(*) FROM kept").rows[0][0])


def test_old_rows_go_in_parts_as_others_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many with a batch, until none is left; then no batch looks for them until the next segment is old."""
    monkeypatch.setattr(duckdb_keeping, "_AT_ONCE", 10)
    aging = _Aging(tmp_path)
    with closing(aging.olap):
        aging.add(25)
        aging.now += timedelta(days=3, hours=11)
        aging.add(1)
        assert aging.rows() == 26
        aging.now += timedelta(hours=1)
        assert [(aging.add(1), aging.rows()) for _ in range(4)] == [(1, 17), (1, 8), (1, 4), (1, 5)]


def test_old_rows_go_with_the_batch_or_not_at_all(tmp_path: Path) -> None:
    """A batch that fails leaves them to the next."""
    aging = _Aging(tmp_path)
    with closing(aging.olap):
        aging.add(25)
        aging.now += timedelta(days=5)
        advance = aging.olap._advance
        aging.olap._advance = None  # type: ignore[method-assign, assignment]
        with pytest.raises(TypeError):
            aging.add(1)
        assert aging.rows() == 25
        aging.olap._advance = advance  # type: ignore[method-assign]
        aging.add(1)
        assert aging.rows() == 1


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("text", 1),
        ("integer", "1"),
        ("integer", 2**63),
        ("integer", True),
        ("decimal", 1),
        ("decimal", "1.5"),
        ("decimal", "NaN"),
        ("timestamp", "2026-03-09T09:30:00Z"),
    ],
)
def test_a_default_that_does_not_fit(kind: str, default: Any) -> None:
    with pytest.raises(ConfigurationError, match="dimension more has the default"):
        Dimension("more", kind, default=default)


def test_another_default_is_another_declaration() -> None:
    """Which the files that there are do not have."""
    assert declaration_of(replace(KEPT, dimensions=(*KEPT.dimensions, Dimension("a", default="")))) != declaration_of(
        replace(KEPT, dimensions=(*KEPT.dimensions, Dimension("a")))
    )


def test_a_default_to_druid() -> None:
    """Where the field is null or missing; and what has none is asked as it was before."""
    datasource = replace(
        KEPT,
        dimensions=(
            *KEPT.dimensions,
            Dimension("day", default="it's \"\\"),
            Dimension("cents", "decimal", default="-0.07"),
        ),
    )
    spec = supervisor_spec(datasource, Reading("kafka:9092"))
    by = {each["name"]: each["expression"] for each in spec["spec"]["dataSchema"]["transformSpec"]["transforms"]}
    assert not by["id"].startswith("if(nvl(")
    assert by["day"].startswith("if(nvl(to_json_string(\"day\"), 'null') == 'null', 'it\\u0027s \\u0022\\\\', if(")
    assert by["cents_cents"].startswith("if(nvl(to_json_string(\"cents\"), 'null') == 'null', -7, if(")
