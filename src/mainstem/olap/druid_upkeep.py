"""What Druid's coordinator does with a datasource's segments by itself: compacts them, and drops those that are old.

Both are set by datasource, beside the supervisor, and are wholly declared: what stands and is not declared goes. Druid
comes to it some time later, by periods of its own: `druid.coordinator.period` (a minute) for what it drops, and
`druid.coordinator.period.indexingPeriod` (half an hour) for what it compacts.
"""

from mainstem.olap.druid_spec import Json, granularity
from mainstem.olap.port import Datasource

_REPLICAS = {"_default_tier": 2}
"""As many copies as Druid's own rule has, which holds where none is declared."""


def compaction_config(datasource: Datasource) -> Json | None:
    """The JSON of the automatic compaction; None where none is declared.

    Streaming appends segments as the rows come, so that it is only here that they are cut by ranges of dimensions. Rows
    of a rollup that are alike meet in one segment, and become one, only where these are cut by ranges or by hashes.
    """
    compaction = datasource.compaction
    if compaction is None:
        return None
    by, rows = list(datasource.partitioning.by), compaction.target_rows
    partitions: Json = {"type": "dynamic", "maxRowsPerSegment": rows}
    if by:
        partitions = {"type": "range", "partitionDimensions": by, "targetRowsPerSegment": rows}
    elif datasource.rollup is not None:
        partitions = {"type": "hashed", "maxRowsPerSegment": rows}  # what Druid makes of its target
    return {
        "dataSource": datasource.name,
        "skipOffsetFromLatest": f"PT{compaction.behind_hours}H",
        # What is said of a rollup here would be done to a version that has none; Druid keeps to the segments' own.
        "granularitySpec": {"segmentGranularity": granularity(datasource)["segmentGranularity"]},
        "tuningConfig": {"partitionsSpec": partitions},
    }


def retention_rules(datasource: Datasource) -> list[Json]:
    """The rules, of which the first that fits a segment holds; none where all is kept.

    A segment is loaded while any of it is younger than the days, and dropped then.
    """
    if datasource.keep_days is None:
        return []
    period = f"P{datasource.keep_days}D"
    kept = {"type": "loadByPeriod", "period": period, "includeFuture": True, "tieredReplicants": _REPLICAS}
    return [kept, {"type": "dropForever"}]


def upkeep_of(datasource: Datasource) -> Json:
    """Both, in the form in which `Supervisors.upkeep` tells what stands."""
    return {"compaction": compaction_config(datasource), "rules": retention_rules(datasource)}
