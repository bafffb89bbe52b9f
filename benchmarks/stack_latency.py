"""From the POST to where it shows, through binlog, Debezium, Kafka and a listener; memory and start of each process."""

import time
from pathlib import Path

import latency
from deploy.stack import processes_of
from figures import Figure, show
from stack_under_test import CARD, api
from tests.distributed import Deployed, begin_listening

_AIMS = {"statement": 250.0, "analytical store": 1_000.0}
_SAMPLES = 300


def measure(bank: Deployed) -> None:
    """One withdrawal after another, with one listener process; then what the processes take."""
    views = bank.listeners(log_level="info")
    began = time.monotonic()
    begin_listening(views)
    listening_s = time.monotonic() - began
    try:
        began = time.monotonic()
        with api(bank) as (client, pid):
            serving_s = time.monotonic() - began
            seen = latency.one_after_another(client, CARD, _SAMPLES)
            show(f"Freshness on the stack, {_SAMPLES} withdrawals one after another", latency.figures_of(seen, _AIMS))
            _processes(bank, {"api": (pid, serving_s), "listeners": (views.pid, listening_s)})
    finally:
        views.stop()


def _processes(bank: Deployed, own: dict[str, tuple[int, float]]) -> None:
    figures: list[Figure] = []
    for name, (pid, seconds) in own.items():
        figures.append(Figure(f"{name}, from start until it runs", seconds, None, "s", "", ""))
        figures.append(Figure(f"{name}, resident", _resident_mb(pid), None, "MB", "", ""))
    parts = processes_of(bank.place.data.parent)
    for name in parts.names():
        pid = parts.pid(name)
        if pid is not None:
            figures.append(Figure(f"{name}, resident", _resident_mb(pid), None, "MB", "", ""))
    show("Processes", figures)


def _resident_mb(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024
