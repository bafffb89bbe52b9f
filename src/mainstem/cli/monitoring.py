"""`mainstem monitoring`: what Grafana and Prometheus are given to watch an application."""

import json
from typing import Annotated, Any

import typer

from mainstem.monitoring import ALERTS, ROWS
from mainstem.monitoring import dashboard as board_of
from mainstem.monitoring import rules as rules_of

monitoring = typer.Typer(
    help="Print what Grafana and Prometheus are given to watch an application.", no_args_is_help=True
)


@monitoring.command()
def dashboard(
    *,
    title: Annotated[str, typer.Option(help="What Grafana calls it.")] = "mainstem",
    uid: Annotated[str, typer.Option(help="By which Grafana knows it again.")] = "mainstem",
) -> None:
    """Print a dashboard for Grafana, as JSON: commands, stages and processes.

    For example: mainstem monitoring dashboard > mainstem.json
    """
    _print(board_of(title, uid, ROWS))


@monitoring.command()
def alerts() -> None:
    """Print the alerts as a file of rules for Prometheus: JSON, which is YAML too.

    For example: mainstem monitoring alerts > alerts.yaml
    """
    _print(rules_of(ALERTS))


def _print(content: dict[str, Any]) -> None:
    """For a file: without the colours and the width of a terminal."""
    typer.echo(json.dumps(content, indent=2))
