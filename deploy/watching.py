"""What Prometheus and Grafana are given: whom to scrape, the alerts, and the dashboard with its source."""

from collections.abc import Mapping
from typing import Any

from mainstem.monitoring import ALERTS, ROWS, dashboard, rules

BOARD = dashboard("mainstem", "mainstem", ROWS)
"""What `mainstem monitoring dashboard` prints."""

BOARDS_FOLDER = "/var/lib/mainstem/dashboards"
"""Where Grafana finds it."""


def scraping(target: str, token_file: str) -> dict[str, Any]:
    """Prometheus' configuration: an API process, which tells of all stages; with a token, as of any other operator."""
    job = {
        "job_name": "mainstem",
        "authorization": {"type": "Bearer", "credentials_file": token_file},
        "static_configs": [{"targets": [target]}],
    }
    return {
        "global": {"scrape_interval": "5s", "evaluation_interval": "15s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [job],
    }


def alerts() -> dict[str, Any]:
    """The rules, as `mainstem monitoring alerts` prints them."""
    return rules(ALERTS)


def dashboards(prometheus_port: int) -> Mapping[str, dict[str, Any]]:
    """What Grafana is provisioned with, by the file's name: the source of data, and where dashboards lie."""
    source = {
        "name": "Prometheus",
        "uid": "mainstem",
        "type": "prometheus",
        "access": "proxy",
        "url": f"http://prometheus:{prometheus_port}",
        "isDefault": True,
    }
    provider = {"name": "mainstem", "type": "file", "options": {"path": BOARDS_FOLDER}}
    return {
        "source": {"apiVersion": 1, "datasources": [source]},
        "provider": {"apiVersion": 1, "providers": [provider]},
    }
