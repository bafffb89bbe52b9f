"""What watches an application from outside: a dashboard for Grafana and alerts for Prometheus, declared and typed."""

from mainstem.monitoring.alerts import ALERTS, Alert, rules
from mainstem.monitoring.dashboard import Panel, Query, Row, dashboard
from mainstem.monitoring.panels import ROWS

__all__ = ["ALERTS", "ROWS", "Alert", "Panel", "Query", "Row", "dashboard", "rules"]
