"""The services of the compose file, one function for each: the parts, our own processes, and what people look at."""

from pathlib import Path
from typing import Any

from deploy import configuration
from deploy.configuration import Contained, Ports, application_settings
from deploy.watching import BOARDS_FOLDER

DRUID = ("coordinator", "broker", "historical", "indexer")
PLACE = Contained("", Ports(), Path("/var/lib"))
EXTENSIONS, PLUGINS = Path("/opt/druid/extensions"), Path("/opt/plugins")

_CLUSTER_ID = "bWFpbnN0ZW0tY29tcG9zZQ"
_CONF = "/etc/mainstem"

DATA, DASHBOARDS, WATCHING = "data", "dashboards", "watching"
"""Whoever gets into the dashboards reaches Druid's broker, which answers questions, and nothing else; whoever gets into
Grafana reaches Prometheus.
"""

_MONITORING = "monitoring"
"""The profile of what watches: it is not started unless asked for."""

_PAGES = "dashboard"
"""The profile of the dashboard: whoever reaches it acts with its token, so that it is started where it is asked for."""

DASHBOARD_SECRET, _DASHBOARD_PORT = "dashboard_token", 8090
SUPERSET_SECRETS = ("superset_key", "superset_password")

TOKEN_SECRET, GRAFANA_SECRET = "metrics_token", "grafana_password"
PROMETHEUS_PORT, _GRAFANA_PORT = 9090, 3000
_PROVISIONING = "/etc/grafana/provisioning"

Service = dict[str, Any]


def _part(memory: str, probe: str, **more: Any) -> Service:
    """What every long-running service has."""
    return {
        "restart": "unless-stopped",
        "mem_limit": memory,
        "security_opt": ["no-new-privileges:true"],
        "healthcheck": {
            "test": ["CMD-SHELL", probe],
            "interval": "5s",
            "timeout": "5s",
            "retries": 30,
            "start_period": "20s",
        },
        "stop_grace_period": "30s",
        "networks": [DATA],
        **more,
    }


def _after(*parts: str) -> Service:
    return {part: {"condition": "service_healthy"} for part in parts}


def _mounted(name: str, target: str) -> str:
    return f"./generated/{name}:{target}:ro"


def _published(port: int) -> list[str]:
    return [f"127.0.0.1:{port}:{port}"]


def _listening(port: int) -> str:
    return f"bash -c '</dev/tcp/127.0.0.1/{port}'"


def mysql() -> Service:
    """The log that is captured, and all state."""
    return _part(
        "1g",
        "mysqladmin ping -h 127.0.0.1 -p$$(cat /run/secrets/mysql_root_password) --silent",
        image="mysql:9.7.2",
        environment={"MYSQL_ROOT_PASSWORD_FILE": "/run/secrets/mysql_root_password"},
        secrets=["mysql_root_password", "mysql_password", configuration.CAPTURE_SECRET],
        volumes=[
            "mysql:/var/lib/mysql",
            _mounted("mysql.cnf", "/etc/mysql/conf.d/mainstem.cnf"),
            _mounted("mysql.sh", "/docker-entrypoint-initdb.d/mainstem.sh"),
        ],
    )


def accounts() -> str:
    """What the image's own script sources when it makes the database; the passwords are what the secrets hold then."""
    capture = f"$(sed -n 's/^password=//p' {PLACE.secrets / configuration.CAPTURE_SECRET} | quoted)"
    statements = configuration.mysql_accounts(f"$(quoted < {PLACE.secrets}/mysql_password)", capture)
    quoted = r"""quoted() { sed -e 's/\\/\\\\/g' -e "s/'/''/g"; }"""
    return "\n".join([quoted, "docker_process_sql <<END", *(f"{statement};" for statement in statements), "END", ""])


def zookeeper() -> Service:
    """For Druid's processes to find each other."""
    port, file = PLACE.ports.zookeeper, f"{_CONF}/zookeeper.cfg"
    return _part(
        "256m",
        _listening(port),
        image="zookeeper:3.8.6",
        command=["zkServer.sh", "start-foreground", file],
        environment={"JVMFLAGS": "-Xmx128m"},
        volumes=["zookeeper:/data", _mounted("zookeeper.cfg", file)],
    )


def kafka() -> Service:
    """One broker, which is its own controller."""
    file = f"{_CONF}/kafka.properties"
    start = (
        f"/opt/kafka/bin/kafka-storage.sh format --ignore-formatted -t {_CLUSTER_ID} -c {file}"
        f" && exec /opt/kafka/bin/kafka-server-start.sh {file}"
    )
    return _part(
        "1g",
        _listening(PLACE.ports.kafka),
        image="apache/kafka:4.2.2",
        entrypoint=["bash", "-c", start],
        environment={"KAFKA_HEAP_OPTS": "-Xmx512m"},
        volumes=[f"kafka:{PLACE.folder('kafka')}", _mounted("kafka.properties", file)],
    )


def connect() -> Service:
    """One worker, with Debezium."""
    file, port = f"{_CONF}/connect.properties", PLACE.ports.connect
    return _part(
        "1g",
        _listening(port),
        build={"context": "..", "dockerfile": "deploy/images/connect.Dockerfile"},
        image="mainstem-connect:0.1.0",
        entrypoint=["/opt/kafka/bin/connect-distributed.sh", file],
        environment={"KAFKA_HEAP_OPTS": "-Xmx512m"},
        secrets=[configuration.CAPTURE_SECRET],
        ports=_published(port),
        volumes=[_mounted("connect.properties", file)],
        depends_on=_after("kafka", "mysql"),
    )


def druid(name: str) -> Service:
    """One of Druid's processes."""
    port = int(configuration.druid_process(PLACE, name)["druid.plaintextPort"])
    common, own = f"{_CONF}/druid/common.properties", f"{_CONF}/druid/{name}.properties"
    seen: Service = {"ports": _published(port)} if name in ("coordinator", "broker") else {}
    if name == "broker":
        seen["networks"] = [DATA, DASHBOARDS]
    return _part(
        "1g",
        f"wget -qO- http://druid-{name}:{port}/status/health | grep -q true",
        image="apache/druid:33.0.0",
        command=[name],
        environment={
            "DRUID_CONFIG_COMMON": common,
            f"DRUID_CONFIG_{name}": own,
            "DRUID_SET_HOST": "0",
            "DRUID_XMX": "384m",
            "DRUID_XMS": "128m",
            "DRUID_MAXDIRECTMEMORYSIZE": "512m",
        },
        **seen,
        volumes=[
            f"druid:{PLACE.folder('druid')}",
            _mounted("druid/common.properties", common),
            _mounted(f"druid/{name}.properties", own),
        ],
        depends_on=_after("zookeeper", *(() if name == "coordinator" else ("druid-coordinator",))),
    )


_ARCHIVE = "/var/lib/mainstem/archive"
"""In the image a folder of the user that our processes run as, which a new volume takes over."""


def _own(role: str, **more: Any) -> Service:
    """A process of mainstem's: without rights, on a file system that it cannot change.

    An engine replaces `$name` in this file, so what Connect is to look up has its dollar twice.
    """
    settings = {name: value.replace("$", "$$") for name, value in application_settings(PLACE).items()}
    del settings["MAINSTEM_MYSQL_PASSWORD"]
    settings |= {"MAINSTEM_MYSQL_PASSWORD_FILE": "/run/secrets/mysql_password", "MAINSTEM_LOG_JSON": "true"}
    settings["MAINSTEM_ARCHIVE_DIR"] = _ARCHIVE
    own = {"MAINSTEM_ROLES": role} if role else {}
    return {
        "build": {"context": "..", "dockerfile": "deploy/images/bank.Dockerfile"},
        "image": "mainstem-bank:0.1.0",
        "environment": {**settings, **own, **more.pop("environment", {})},
        "secrets": ["mysql_password", configuration.MASTER_KEY_SECRET, *more.pop("secrets", ())],
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - in a container of its own
        "volumes": [f"archive:{_ARCHIVE}"],
        "cap_drop": ["ALL"],
        **more,
    }


def deploy() -> Service:
    """Makes what the bank needs of the parts, and ends."""
    own = _own(
        "",
        command=["deploy"],
        restart="on-failure:3",
        mem_limit="256m",
        security_opt=["no-new-privileges:true"],
        networks=[DATA],
        depends_on=_after("mysql", "kafka", "connect", *(f"druid-{name}" for name in DRUID)),
    )
    return {**own, "healthcheck": {"disable": True}}


def _deployed() -> Service:
    return {"deploy": {"condition": "service_completed_successfully"}}


def bank() -> Service:
    """Beyond loopback it lets nobody in without a token: what the key is, and how a token is made, the how-to says."""
    live = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health/live', timeout=3)"
    return _part(
        "512m",
        f'python -c "{live}"',
        **_own(
            "api",
            environment={
                "MAINSTEM_HTTP_HOST": "0.0.0.0",  # noqa: S104 - of the container; published on loopback
                "MAINSTEM_HTTP_NAMES": "localhost,bank",
                "MAINSTEM_AUTH_KEY_FILE": "/run/secrets/api_key",
            },
            secrets=["api_key"],
        ),
        ports=[*_published(PLACE.ports.bank), *_published(_DASHBOARD_PORT)],
        depends_on=_deployed(),
    )


def dashboard() -> Service:
    """In the bank's own network: the token crosses none, and what the dashboard listens on is published by the bank.

    It reads no secret but its token. Beyond loopback it would answer for every name, so it is told its own.
    """
    live = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{_DASHBOARD_PORT}/system', timeout=3)"
    api, port = f"http://127.0.0.1:{PLACE.ports.bank}", str(_DASHBOARD_PORT)
    part = _part(
        "512m",
        f'python -c "{live}"',
        image="mainstem-bank:0.1.0",
        profiles=[_PAGES],
        command=["dashboard", "--api", api, "--host", "0.0.0.0", "--port", port],  # noqa: S104 - as the bank
        environment={
            "MAINSTEM_AUTH_TOKEN_FILE": f"/run/secrets/{DASHBOARD_SECRET}",
            "MAINSTEM_HTTP_NAMES": "localhost",
            "MAINSTEM_LOG_JSON": "true",
        },
        secrets=[DASHBOARD_SECRET],
        network_mode="service:bank",
        read_only=True,
        tmpfs=["/tmp"],  # noqa: S108 - in a container of its own
        cap_drop=["ALL"],
        depends_on=_after("bank"),
    )
    return {name: value for name, value in part.items() if name != "networks"}


_ALIVE = "/tmp/listeners-alive"  # noqa: S108 - in a container of its own


def listeners() -> Service:
    """Two share the partitions; `docker compose up --scale listeners=4` makes it four."""
    return _part(
        "512m",
        f"python -c \"import os, time; assert time.time() - os.stat('{_ALIVE}').st_mtime < 20\"",
        **_own("listeners", environment={"MAINSTEM_ALIVE_FILE": _ALIVE}),
        deploy={"replicas": 2},
        depends_on=_deployed(),
    )


_SUPERSET_CONF = f"{_CONF}/superset"


def superset() -> Service:
    """As the stack without an engine has it: the same configuration, the same assets, brought up by the same script."""
    prepared = f"python {_SUPERSET_CONF}/prepare.py {_SUPERSET_CONF}/assets /run/secrets/superset_password"
    return _part(
        "1g",
        "curl -fs http://127.0.0.1:8088/health",
        build={"context": "..", "dockerfile": "deploy/images/superset.Dockerfile"},
        image="mainstem-superset:0.1.0",
        entrypoint=["bash", "-c", f"{prepared} && exec /usr/bin/run-server.sh"],
        environment={
            "SUPERSET_CONFIG_PATH": f"{_SUPERSET_CONF}/superset_config.py",
            "SUPERSET_HOME": "/app/superset_home",
            "SUPERSET_KEY_FILE": "/run/secrets/superset_key",
            "TZ": "UTC",
        },
        secrets=list(SUPERSET_SECRETS),
        networks=[DASHBOARDS],
        ports=_published(8088),
        volumes=[
            "superset:/app/superset_home",
            _mounted("superset", f"{_SUPERSET_CONF}/assets"),
            *(f"./superset/inside/{name}:{_SUPERSET_CONF}/{name}:ro" for name in ("superset_config.py", "prepare.py")),
        ],
        depends_on=_after("druid-broker"),
    )


def prometheus() -> Service:
    """Asks the bank for its metrics, with a token of its own."""
    conf = f"{_CONF}/prometheus"
    return _part(
        "512m",
        f"wget -qO- http://127.0.0.1:{PROMETHEUS_PORT}/-/ready",
        image="prom/prometheus:v3.5.0",
        profiles=[_MONITORING],
        command=[
            f"--config.file={conf}/prometheus.yaml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=15d",
            "--storage.tsdb.retention.size=2GB",
        ],
        secrets=[TOKEN_SECRET],
        networks=[DATA, WATCHING],
        ports=_published(PROMETHEUS_PORT),
        volumes=[
            "prometheus:/prometheus",
            _mounted("prometheus/prometheus.yaml", f"{conf}/prometheus.yaml"),
            _mounted("prometheus/alerts.yaml", f"{conf}/alerts.yaml"),
        ],
    )


def grafana() -> Service:
    """Shows what Prometheus knows."""
    return _part(
        "512m",
        f"wget -qO- http://127.0.0.1:{_GRAFANA_PORT}/api/health",
        image="grafana/grafana:12.1.0",
        profiles=[_MONITORING],
        environment={
            "GF_SECURITY_ADMIN_PASSWORD__FILE": f"/run/secrets/{GRAFANA_SECRET}",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        },
        secrets=[GRAFANA_SECRET],
        networks=[WATCHING],
        ports=_published(_GRAFANA_PORT),
        volumes=[
            "grafana:/var/lib/grafana",
            _mounted("grafana/source.yaml", f"{_PROVISIONING}/datasources/mainstem.yaml"),
            _mounted("grafana/provider.yaml", f"{_PROVISIONING}/dashboards/mainstem.yaml"),
            _mounted("grafana/mainstem.json", f"{BOARDS_FOLDER}/mainstem.json"),
        ],
        depends_on=_after("prometheus"),
    )
