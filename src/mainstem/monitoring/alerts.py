"""What somebody should be told of: alerts as Prometheus' rules."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct


class Alert(Struct, frozen=True):
    """Fires where the expression of PromQL has had rows for as long; `text` may name their labels, and `{{ $value }}`.

    `severity` is page, for what harms somebody now, or ticket.
    """

    name: str
    expression: str
    lasting: str
    severity: Literal["page", "ticket"]
    text: str


ALERTS = (
    Alert(
        "MainstemAway",
        'up{job="mainstem"} == 0',
        "1m",
        "page",
        "{{ $labels.instance }} cannot be scraped: it does not run, or wants another token.",
    ),
    Alert(
        "MainstemStageStalled",
        "min by (job, stage) (mainstem_stage_up) == 0",
        "2m",
        "page",
        "{{ $labels.stage }} does not work: `mainstem status` says why.",
    ),
    Alert(
        "MainstemDeadLetters",
        "max by (job, stage) (mainstem_parked_keys) > 0",
        "0m",
        "page",
        "{{ $value }} keys of {{ $labels.stage }} wait behind dead letters: see `mainstem dead-letters list`.",
    ),
    Alert(
        "MainstemRejected",
        "max by (job, stage) (increase(mainstem_rejected_total[1h])) > 0",
        "0m",
        "ticket",
        "{{ $value }} records have not come into {{ $labels.stage }}: `mainstem status` says why.",
    ),
    Alert(
        "MainstemLag",
        "max by (job, stage) (mainstem_lag_seconds) > 60",
        "5m",
        "page",
        "{{ $labels.stage }} is {{ $value }} s behind.",
    ),
    Alert(
        "MainstemLagUnknown",
        "mainstem_stage_up unless on (job, instance, stage) mainstem_lag_seconds",
        "5m",
        "ticket",
        "By how much {{ $labels.stage }} is behind could not be asked.",
    ),
    Alert(
        "MainstemQueueFull",
        "mainstem_commands_waiting > 4096",
        "1m",
        "page",
        "{{ $value }} commands wait for the writer of {{ $labels.instance }}; soon new ones are turned away.",
    ),
    Alert(
        "MainstemCommandsFail",
        'sum by (job) (rate(mainstem_commands_total{outcome="failed"}[5m])) > 0',
        "5m",
        "page",
        "Commands meet faults: {{ $value }} a second.",
    ),
    Alert(
        "MainstemRequestsFail",
        'sum by (job) (rate(http_requests_total{status=~"5.."}[5m]))'
        " / sum by (job) (rate(http_requests_total[5m])) > 0.01",
        "5m",
        "page",
        "{{ $value | humanizePercentage }} of all requests are answered with 5xx.",
    ),
    Alert(
        "MainstemSlow",
        "histogram_quantile(0.99, sum by (job, le) (rate(http_request_seconds_bucket[5m]))) > 1",
        "10m",
        "ticket",
        "One in a hundred requests takes longer than {{ $value }} s.",
    ),
    Alert(
        "MainstemUnsealed",
        "min by (job) (mainstem_seal_age_seconds) > 600",
        "5m",
        "ticket",
        "Events are not sealed for {{ $value }} s: the log says why.",
    ),
    Alert(
        "MainstemSnapshotsFail",
        'sum by (job) (increase(mainstem_snapshots_total{outcome="failed"}[15m])) > 0',
        "15m",
        "ticket",
        "Snapshots cannot be kept: commands of long streams become slow.",
    ),
    Alert(
        "MainstemRawGone",
        "max by (job, topic) (mainstem_raw_gone) > 0",
        "0m",
        "ticket",
        "{{ $value }} changes of {{ $labels.topic }} are in no archive: `mainstem layers` says which.",
    ),
)
"""For a queue of 8192, and views that nobody should find a minute old. Copy and change what suits otherwise."""


def rules(alerts: Sequence[Alert]) -> dict[str, Any]:
    """The content of a rule file, which is YAML or JSON."""
    found = [
        {
            "alert": each.name,
            "expr": each.expression,
            "for": each.lasting,
            "labels": {"severity": each.severity},
            "annotations": {"summary": each.text},
        }
        for each in alerts
    ]
    return {"groups": [{"name": "mainstem", "rules": found}]}
