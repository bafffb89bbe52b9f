"""Rates and lags, from what the API tells: counters become rates by two looks at them."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

RATE_OVER_S = 5.0
"""A rate is taken over so long, so that it neither jumps nor lingers."""

Point = tuple[float, float]
"""When a counter was looked at (monotonic seconds), and what it was."""


def rate(points: Sequence[Point], over_s: float = RATE_OVER_S) -> float | None:
    """Its growth in a second over the last `over_s`; None before there are two looks.

    A counter that is lower than before has begun anew with its process: what it shows has come since.
    """
    if len(points) < 2:
        return None
    end_s, end = points[-1]
    begin_s, begin = next((each for each in points if each[0] >= end_s - over_s), points[-2])
    if begin_s == end_s:
        begin_s, begin = points[-2]
    grown = end - begin if end >= begin else end
    return grown / (end_s - begin_s)


def rates(points: Sequence[Point], over_s: float = RATE_OVER_S) -> list[float]:
    """The rate at each look but the first."""
    found = (rate(points[: end + 1][-20:], over_s) for end in range(1, len(points)))
    return [round(each or 0.0, 1) for each in found]


def handled(hops: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """How many messages each stage has handled; those of which nobody counts are left out."""
    return {each["name"]: float(each["handled"]) for each in hops if each.get("handled") is not None}


@lru_cache(maxsize=256)  # each text is looked at by every page, for two minutes
def commands(metrics: str) -> Mapping[str, float]:
    """Commands by outcome, and `batches`; without what the application does not count."""
    found = dict[str, float]()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "mainstem_commands_total":
                found[sample.labels["outcome"]] = sample.value
            elif sample.name == "mainstem_command_batches_total":
                found["batches"] = sample.value
            elif sample.name == "mainstem_commands_waiting":
                found["waiting"] = sample.value
    return found


def per_second(value: float | None) -> str:
    """A rate in words."""
    if value is None:
        return "… /s"
    return f"{value:,.0f} /s" if value >= 10 or value == 0 else f"{value:.1f} /s"


def lag(messages: int | None, seconds: float | None) -> str:
    """A lag in words."""
    if messages is None:
        return "lag unknown"
    behind = "no lag" if messages == 0 else f"{messages:,} behind"
    return behind if not seconds else f"{behind}, {float(seconds):,.1f} s"
