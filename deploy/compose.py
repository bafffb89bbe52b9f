"""The compose file and the files that its containers are given, generated from the configuration of all forms.

`python -m deploy generate` writes them; a test holds that what stands is what is generated. The seed's two files are
among them: `mysqlsource.json` for Connect and `bank-app-mini-statement-supervisor.json` for Druid.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bank.analytics import BANKAPP
from bank.main import application
from deploy import configuration, services
from deploy.configuration import Place, application_settings, properties
from deploy.services import (
    DASHBOARD_SECRET,
    DASHBOARDS,
    DATA,
    DRUID,
    EXTENSIONS,
    GRAFANA_SECRET,
    PLACE,
    PLUGINS,
    PROMETHEUS_PORT,
    SUPERSET_SECRETS,
    TOKEN_SECRET,
    WATCHING,
    Service,
    accounts,
)
from deploy.superset.board import board
from deploy.superset.dataset import druid_engine
from deploy.watching import BOARD, alerts, dashboards, scraping
from mainstem.assembly.deployment import declared_connector, supervisor_specs
from mainstem.assembly.places import connector_name
from mainstem.settings import read_settings

CONNECTOR_FILE, SUPERVISOR_FILE = "mysqlsource.json", "bank-app-mini-statement-supervisor.json"

_FOLDER = Path(__file__).parent
_HEADER = (
    "# Made by `python -m deploy generate`: change deploy/services.py or deploy/configuration.py, not this file.\n"
)

_SUPERSET_HEADER = "# Made by `python -m deploy generate`: change what is in deploy/superset, not this file.\n"


def seed_files(place: Place) -> Mapping[str, str]:
    """The seed's two files by name, as they are posted to Connect and to Druid."""
    settings = read_settings(application_settings(place))
    source = {"name": connector_name(application), "config": declared_connector(application, settings)}
    supervisor = supervisor_specs(application, settings)[BANKAPP.name]
    return {CONNECTOR_FILE: _json(source), SUPERVISOR_FILE: _json(supervisor)}


def generated() -> Mapping[Path, str]:
    """Every file by its path."""
    conf = _FOLDER / "generated"
    files = {
        "mysql.cnf": "[mysqld]\n" + properties(configuration.mysql_options(PLACE)),
        "mysql.sh": accounts(),
        "kafka.properties": properties(configuration.kafka_server(PLACE)),
        "connect.properties": properties(configuration.connect_worker(PLACE, PLUGINS)),
        "zookeeper.cfg": properties(configuration.zookeeper(PLACE)),
        "druid/common.properties": properties(configuration.druid_common(PLACE, EXTENSIONS)),
        **{f"druid/{name}.properties": properties(configuration.druid_process(PLACE, name)) for name in DRUID},
        **seed_files(PLACE),
        "prometheus/prometheus.yaml": _yaml(scraping(f"bank:{PLACE.ports.bank}", f"/run/secrets/{TOKEN_SECRET}")),
        "prometheus/alerts.yaml": _yaml(alerts()),
        **{f"grafana/{name}.yaml": _yaml(text) for name, text in dashboards(PROMETHEUS_PORT).items()},
        "grafana/mainstem.json": _json(BOARD),
        **{f"superset/{name}": f"{_SUPERSET_HEADER}{text}" for name, text in _superset_assets().items()},
    }
    return {_FOLDER / "compose.yaml": _yaml(composition()), **{conf / name: text for name, text in files.items()}}


def _superset_assets() -> Mapping[str, str]:
    return board(druid_engine(PLACE.at("druid-broker"), PLACE.ports.broker)).files()


def composition() -> Service:
    """The content of the compose file."""
    parts = {
        "mysql": services.mysql(),
        "zookeeper": services.zookeeper(),
        "kafka": services.kafka(),
        "connect": services.connect(),
        **{f"druid-{name}": services.druid(name) for name in DRUID},
        "deploy": services.deploy(),
        "bank": services.bank(),
        "listeners": services.listeners(),
        "dashboard": services.dashboard(),
        "superset": services.superset(),
        "prometheus": services.prometheus(),
        "grafana": services.grafana(),
    }
    own = (configuration.CAPTURE_SECRET, configuration.MASTER_KEY_SECRET)
    watching = (TOKEN_SECRET, GRAFANA_SECRET, DASHBOARD_SECRET)
    secrets = (*own, "mysql_password", "mysql_root_password", "api_key", *SUPERSET_SECRETS, *watching)
    volumes = ("mysql", "archive", "zookeeper", "kafka", "druid", "superset", "prometheus", "grafana")
    return {
        "name": "mainstem",
        "services": parts,
        "volumes": {name: {} for name in volumes},
        "networks": {name: {} for name in (DATA, DASHBOARDS, WATCHING)},
        "secrets": {name: {"file": f"./secrets/{name}"} for name in secrets},
    }


def _yaml(value: Any) -> str:
    return _HEADER + yaml.safe_dump(value, sort_keys=False, width=120)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
