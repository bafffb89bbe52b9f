"""The panels of an application: its commands, its stages, and its processes.

Counters are those of each process, so they are added up. Stages are told by every API process, each as it has seen
them: the highest counts.
"""

from mainstem.monitoring.dashboard import Panel, Query, Row

_OF = '{job="$job"}'


def _rate(metric: str, by: str, matching: str = _OF) -> str:
    return f"sum by ({by}) (rate({metric}{matching}[$__rate_interval]))"


def _quantile(share: float, by: str = "") -> str:
    own = f", {by}" if by else ""
    return f"histogram_quantile({share}, sum by (le{own}) (rate(http_request_seconds_bucket{_OF}[$__rate_interval])))"


def _stages(metric: str) -> Query:
    return Query(f"max by (stage) ({metric}{_OF})", "{{stage}}")


_COMMANDS = Row(
    "Commands",
    (
        Panel(
            "Commands a second",
            "By outcome. Refused is a decision of the domain, failed is a fault.",
            "ops",
            (Query(_rate("mainstem_commands_total", "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "Refusals a second",
            "By reason.",
            "ops",
            (Query(_rate("mainstem_refusals_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Queue",
            "Commands that wait for the writer; new ones are turned away where MAINSTEM_COMMAND_QUEUE_MAX wait.",
            "short",
            (Query(f"sum by (instance) (mainstem_commands_waiting{_OF})", "{{instance}}"),),
        ),
        Panel(
            "Time to answer",
            "Of all requests: half of them, and 99 of 100, take no longer.",
            "s",
            (Query(_quantile(0.5), "p50"), Query(_quantile(0.99), "p99")),
        ),
        Panel(
            "Time to answer, p99 by route",
            "Commands and queries of one path are one route.",
            "s",
            (Query(_quantile(0.99, "route"), "{{route}}"),),
        ),
        Panel(
            "Commands in one commit",
            "How many share a transaction, on average: it rises under load.",
            "short",
            (
                Query(
                    f"sum(rate(mainstem_commands_total{_OF}[$__rate_interval]))"
                    f" / sum(rate(mainstem_command_batches_total{_OF}[$__rate_interval]))",
                    "commands",
                ),
            ),
        ),
    ),
)

_STAGES = Row(
    "Stages",
    (
        Panel(
            "Lag in events", "By how many messages each hop is behind.", "short", (_stages("mainstem_lag_messages"),)
        ),
        Panel(
            "Lag in seconds",
            "How long the oldest message that a hop has not handled has waited.",
            "s",
            (_stages("mainstem_lag_seconds"),),
        ),
        Panel(
            "Stages at work",
            "1 while a stage works or is paused, else 0.",
            "short",
            (Query(f"min by (stage) (mainstem_stage_up{_OF})", "{{stage}}"),),
        ),
        Panel(
            "Dead letters",
            "Keys that wait behind a record which could not be handled.",
            "short",
            (_stages("mainstem_parked_keys"),),
        ),
        Panel(
            "Rejected records",
            "Records a second that did not fit the declaration of their datasource, and were left out.",
            "short",
            (Query(f"max by (stage) (rate(mainstem_rejected_total{_OF}[$__rate_interval]))", "{{stage}}"),),
        ),
        Panel(
            "Rebuilds",
            "Which share of the records is done, of rebuilds that the application's own process runs.",
            "percentunit",
            (
                Query(
                    f"max by (view) (mainstem_rebuild_records{_OF} / mainstem_rebuild_target_records{_OF})", "{{view}}"
                ),
            ),
        ),
        Panel(
            "Not sealed for",
            "How long ago all events were sealed; missing where sealing is switched off.",
            "s",
            (Query(f"min(mainstem_seal_age_seconds{_OF})", "seal"),),
        ),
    ),
)

_PROCESSES = Row(
    "Processes",
    (
        Panel(
            "Memory",
            "Resident memory of each process that is scraped.",
            "bytes",
            (Query(f"process_resident_memory_bytes{_OF}", "{{instance}}"),),
        ),
        Panel(
            "Processor",
            "Seconds of processor time a second.",
            "short",
            (Query(_rate("process_cpu_seconds_total", "instance"), "{{instance}}"),),
        ),
        Panel(
            "Requests a second",
            "By status.",
            "ops",
            (Query(_rate("http_requests_total", "status"), "{{status}}"),),
        ),
    ),
)

ROWS = (_COMMANDS, _STAGES, _PROCESSES)
"""Of every application that serves `mainstem.assembly.metrics`."""
