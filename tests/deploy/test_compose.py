"""The compose file is what is generated, follows the specification, and agrees with the stack that needs no engine."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import yaml

from deploy import configuration
from deploy.application import environment
from deploy.compose import CONNECTOR_FILE, SUPERVISOR_FILE, composition, generated, seed_files
from deploy.configuration import Place, Ports
from deploy.services import DRUID, PLACE
from mainstem.cdc.connect import Connect
from mainstem.dashboard.api import Api
from mainstem.settings import read_settings
from tests.distributed import Deployed

_DEPLOY = Path(__file__).parents[2] / "deploy"
_COMPOSE = _DEPLOY / "compose.yaml"
_SERVICES: dict[str, Any] = composition()["services"]
_LASTING = [name for name in _SERVICES if name != "deploy"]
_HERE = Place("127.0.0.1", Ports(), Path("/there/data"))
_OURS = ("bank", "listeners", "deploy")
_PARTS = {name: each for name, each in _SERVICES.items() if name != "dashboard"}
"""Without what is in the network of another."""


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_what_stands_is_what_is_generated() -> None:
    standing = {path: path.read_text() if path.exists() else None for path in generated()}
    assert standing == dict(generated()), "run: python -m deploy generate"
    assert {path for path in (_DEPLOY / "generated").rglob("*") if path.is_file()} < set(generated())


def test_it_follows_the_specification() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    checked = _run(str(checker), "--builtin-schema", "vendor.compose-spec", str(_COMPOSE))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert yaml.safe_load(_COMPOSE.read_text()) == composition()


@pytest.mark.parametrize("dockerfile", sorted((_DEPLOY / "images").iterdir()), ids=lambda path: path.stem)
def test_a_dockerfile_has_no_known_fault(dockerfile: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    checked = _run(str(linter), "--failure-threshold", "info", str(dockerfile))
    assert checked.returncode == 0, checked.stdout


def test_every_image_is_pinned() -> None:
    images = [service["image"] for service in _SERVICES.values()]
    bases = re.findall(r"^FROM (\S+)", "\n".join(p.read_text() for p in (_DEPLOY / "images").iterdir()), re.MULTILINE)
    assert all(re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+[a-z0-9.-]*", image) for image in (*images, *bases))


@pytest.mark.parametrize("name", _LASTING)
def test_a_service_is_watched_limited_and_comes_back(name: str) -> None:
    service = _SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert service["mem_limit"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", [*_OURS, "dashboard"])
def test_our_own_have_no_rights(name: str) -> None:
    service = _SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "USER 10001" in (_DEPLOY / "images" / "bank.Dockerfile").read_text()


def test_ports_are_the_seeds_and_stay_on_this_machine() -> None:
    published = {port: name for name, service in _SERVICES.items() for port in service.get("ports", ())}
    assert published.pop("127.0.0.1:8090:8090") == "bank", "the dashboard is in its network"
    assert {name: port for port, name in published.items()} == {
        "bank": "127.0.0.1:8080:8080",
        "druid-coordinator": "127.0.0.1:8081:8081",
        "druid-broker": "127.0.0.1:8082:8082",
        "connect": "127.0.0.1:8083:8083",
        "superset": "127.0.0.1:8088:8088",
        "prometheus": "127.0.0.1:9090:9090",
        "grafana": "127.0.0.1:3000:3000",
    }
    ports = Ports()
    assert (ports.coordinator, ports.broker, ports.connect) == (8081, 8082, 8083)


def test_every_volume_secret_and_file_is_used_and_there() -> None:
    composed = composition()
    mounts = [mount.split(":") for service in _SERVICES.values() for mount in service.get("volumes", ())]
    assert {source for source, *_ in mounts if not source.startswith("./")} == set(composed["volumes"])
    sources = {(_DEPLOY / source).resolve() for source, *_ in mounts if source.startswith("./")}
    inside = {_DEPLOY / "superset" / "inside" / name for name in ("superset_config.py", "prepare.py")}
    assert inside <= sources
    assert all(source.exists() for source in sources)
    files = {file for source in sources for file in (source.rglob("*") if source.is_dir() else (source,))}
    files = {file for file in files if file.is_file()} - inside
    assert {secret for service in _SERVICES.values() for secret in service.get("secrets", ())} == set(
        composed["secrets"]
    )
    assert all((_DEPLOY / secret["file"]).is_file() for secret in composed["secrets"].values())
    posted = {_DEPLOY / "generated" / name for name in (CONNECTOR_FILE, SUPERVISOR_FILE)}
    assert {path.resolve() for path in generated() if path != _COMPOSE} == files | posted


def _texts(value: object) -> Iterator[str]:
    match value:
        case dict():
            yield from (text for each in value.values() for text in _texts(each))
        case list():
            yield from (text for each in value for text in _texts(each))
        case str():
            yield value


def test_no_text_is_taken_for_a_variable() -> None:
    """An engine replaces `$name` and refuses `${file:…}`; two dollars are one."""
    assert [text for text in _texts(composition()) if "$" in text.replace("$$", "")] == []


def test_what_druid_keeps_lies_in_its_volume() -> None:
    """Derby takes a path with one slash from where the process was started."""
    common = configuration.druid_common(PLACE, Path("/extensions"))
    own = {name: value for each in DRUID for name, value in configuration.druid_process(PLACE, each).items()}
    uri = common["druid.metadata.storage.connector.connectURI"]
    found = re.fullmatch(r"jdbc:derby://druid-coordinator:1527/(/\S+);create=true", uri)
    assert found, uri
    locations = [each["path"] for each in json.loads(own["druid.segmentCache.locations"])]
    names = ("druid.storage.storageDirectory", "druid.indexer.logs.directory")
    paths = [found[1], *locations, *(common[name] for name in names), own["druid.indexer.task.baseTaskDir"]]
    targets = {mount.split(":")[1] for mount in _SERVICES["druid-coordinator"]["volumes"] if mount.startswith("druid:")}
    assert {str(folder) for folder in targets} == {str(PLACE.folder("druid"))}
    assert all(Path(path).is_relative_to(PLACE.folder("druid")) for path in paths)


@pytest.mark.parametrize("name", DRUID)
def test_druid_is_told_to_keep_the_host_that_it_is_given(name: str) -> None:
    """Its image would write the container's address of the moment over it."""
    assert _SERVICES[f"druid-{name}"]["environment"]["DRUID_SET_HOST"] == "0"


def test_accounts_have_the_passwords_of_the_secrets(tmp_path: Path) -> None:
    """As the image's own script sources it, with secrets that want quoting."""
    own, capture = "it's \\ $HOME `id`", "b'c"
    (tmp_path / "mysql_password").write_text(own + "\n")
    (tmp_path / configuration.CAPTURE_SECRET).write_text(f"password={capture}\n")
    script = tmp_path / "mainstem.sh"
    text = generated()[_DEPLOY / "generated" / "mysql.sh"]
    script.write_text(text.replace("/run/secrets", str(tmp_path)))
    said = _run("bash", "-c", f"set -eo pipefail; docker_process_sql() {{ cat; }}; . {script}")
    assert said.returncode == 0, said.stderr
    wanted = configuration.mysql_accounts("it''s \\\\ $HOME `id`", "b''c")
    assert said.stdout == "".join(f"{statement};\n" for statement in wanted)


def test_whoever_waits_waits_for_a_service() -> None:
    for service in _SERVICES.values():
        for name, condition in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if name == "deploy" else "service_healthy"
            assert condition == {"condition": wanted}
            assert name in _SERVICES


def _names(place: Place) -> dict[str, dict[str, str]]:
    """Each part's configuration, with the places in it made alike."""
    here = {
        "mysql": configuration.mysql_options(place),
        "kafka": configuration.kafka_server(place),
        "connect": configuration.connect_worker(place, Path("/plugins")),
        "zookeeper": configuration.zookeeper(place),
        "druid": configuration.druid_common(place, Path("/extensions")),
        **{name: configuration.druid_process(place, name) for name in DRUID},
        "application": configuration.application_settings(place),
    }
    hosts = {
        place.at(part) for part in ("mysql", "zookeeper", "kafka", "connect", *(f"druid-{name}" for name in DRUID))
    }
    folders = {str(place.folder(part)) for part in ("kafka", "zookeeper", "druid")} | {str(place.secrets)}
    host = "|".join(map(re.escape, sorted({*hosts, place.bind}, key=len, reverse=True)))
    folder = "|".join(map(re.escape, sorted(folders, key=len, reverse=True)))

    def alike(value: str) -> str:
        return re.sub(rf"(?<![\w.-])({host})(?![\w-])", "HOST", re.sub(folder, "FOLDER", value))

    return {part: {name: alike(value) for name, value in values.items()} for part, values in here.items()}


def test_both_forms_have_one_configuration() -> None:
    """They differ in hosts and folders alone, and in that a container listens on all of its own addresses."""
    contained, here = _names(PLACE), _names(_HERE)
    assert (contained["druid"].pop("druid.bindOnHost"), here["druid"].pop("druid.bindOnHost")) == ("false", "true")
    assert contained == here


def test_the_dashboards_reach_druids_broker_and_nothing_else() -> None:
    """Whoever gets into Superset may ask Druid, but change no card, no topic and no connector."""
    networks = {name: set(service["networks"]) for name, service in _PARTS.items()}
    assert set().union(*networks.values()) == set(composition()["networks"])
    reached = {name for name, own in networks.items() if own & networks["superset"]}
    assert reached == {"superset", "druid-broker"}
    assert {name for name, own in networks.items() if "data" in own} == set(_PARTS) - {"superset", "grafana"}
    assert {name for name, own in networks.items() if own & networks["grafana"]} == {"grafana", "prometheus"}


def test_what_watches_is_started_where_it_is_asked_for_alone() -> None:
    assert {name for name, each in _SERVICES.items() if each.get("profiles")} == {"prometheus", "grafana", "dashboard"}
    waited = {part for each in _SERVICES.values() if not each.get("profiles") for part in each.get("depends_on", ())}
    assert not waited & {"prometheus", "grafana", "dashboard"}


def test_prometheus_may_ask_the_bank() -> None:
    """Under a name that the bank answers for, with a token that its key has made and that lasts."""
    (job,) = yaml.safe_load((_DEPLOY / "generated/prometheus/prometheus.yaml").read_text())["scrape_configs"]
    ((target,),) = (each["targets"] for each in job["static_configs"])
    host, _, port = target.partition(":")
    environment = _SERVICES["bank"]["environment"]
    assert host in environment["MAINSTEM_HTTP_NAMES"].split(",")
    assert f"127.0.0.1:{port}:{port}" in _SERVICES["bank"]["ports"]
    name = job["authorization"]["credentials_file"].removeprefix("/run/secrets/")
    assert name in _SERVICES["prometheus"]["secrets"]
    key = (_DEPLOY / "secrets/api_key").read_text().rstrip()
    claims = jwt.decode((_DEPLOY / "secrets" / name).read_text(), key, algorithms=["HS256"])
    assert claims["scope"] == "operator"
    assert claims["exp"] > datetime(2090, 1, 1, tzinfo=UTC).timestamp()


def test_the_dashboard_may_ask_the_bank() -> None:
    """In the bank's network, on loopback, with a token that its key has made and that lasts, for what the pages do."""
    service = _SERVICES["dashboard"]
    assert service["network_mode"] == "service:bank"
    assert not {"networks", "ports", "volumes"} & set(service)
    asked = service["command"][service["command"].index("--api") + 1]
    assert f"{asked.removeprefix('http://')}:8080" in _SERVICES["bank"]["ports"]
    (name,) = service["secrets"]
    settings = {**service["environment"], "MAINSTEM_AUTH_TOKEN_FILE": str(_DEPLOY / "secrets" / name)}
    token = read_settings(settings).auth_token
    assert token is not None
    Api(asked, token)
    key = (_DEPLOY / "secrets/api_key").read_text().rstrip()
    claims = jwt.decode(token.value, key, algorithms=["HS256"])
    assert set(claims["scope"].split()) == {"operator", "teller", "analyst"}
    assert claims["exp"] > datetime(2090, 1, 1, tzinfo=UTC).timestamp()


def test_no_password_stands_in_the_compose_file() -> None:
    """Only where each is read from, so that other files make other passwords."""
    secrets = {path.name: path.read_text().strip() for path in (_DEPLOY / "secrets").iterdir()}
    (start,) = (text for text in _SERVICES["superset"]["entrypoint"] if "prepare.py" in text)
    assert " /run/secrets/superset_password " in start
    assert set(secrets) == set(composition()["secrets"])
    words = {word for text in _texts(composition()) for word in re.split(r"[\s=\"']+", text)}
    assert (
        not {
            secrets[name]
            for name in set(secrets)
            - {"mysql_password", "privacy_master_key", "superset_password", "capture.properties"}
        }
        & words
    )


def test_the_application_can_read_its_settings(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of more than thirty-two bytes")
    alike = {n: v for n, v in configuration.application_settings(PLACE).items() if n != "MAINSTEM_MYSQL_PASSWORD"}
    for name in _OURS:
        seen = {n: v.replace("$$", "$") for n, v in _SERVICES[name]["environment"].items()}
        given = {n: str(secret) if n.endswith("_FILE") and n not in alike else v for n, v in seen.items()}
        assert read_settings(given).form == "distributed"
        assert alike.items() <= given.items()
        assert not any("PASSWORD" in n and v == configuration.DEVELOPMENT_PASSWORD for n, v in given.items())


def test_the_seeds_files_say_what_the_seed_says() -> None:
    found = {name: json.loads(text) for name, text in seed_files(_HERE).items()}
    source, supervisor = found[CONNECTOR_FILE], found[SUPERVISOR_FILE]["spec"]
    assert source["config"]["connector.class"] == "io.debezium.connector.mysql.MySqlConnector"
    assert source["config"]["database.include.list"] == "inventory"
    assert configuration.DEVELOPMENT_PASSWORD not in source["config"]["database.password"].split(":")[-2:]
    assert supervisor["ioConfig"]["topic"] == "ministatement"
    assert supervisor["dataSchema"]["dataSource"] == "bankapp"
    assert supervisor["dataSchema"]["granularitySpec"]["segmentGranularity"] == "DAY"
    assert supervisor["dataSchema"]["granularitySpec"]["rollup"] is False


@pytest.mark.stack
def test_the_seeds_files_work_when_posted_as_the_seed_does(deployed: Deployed, tmp_path: Path) -> None:
    """Afterwards what is deployed stands as it is declared."""
    place = deployed.place
    for name, text in seed_files(place).items():
        (tmp_path / name).write_text(text)
    connect = f"http://{place.host}:{place.ports.connect}"
    overlord = f"http://{place.host}:{place.ports.coordinator}"
    httpx.delete(f"{connect}/connectors/bank").raise_for_status()
    for url, name in (
        (f"{connect}/connectors/", CONNECTOR_FILE),
        (f"{overlord}/druid/indexer/v1/supervisor", SUPERVISOR_FILE),
    ):
        words = ["curl", "-sS", "--fail-with-body", "-X", "POST", "-H", "Content-Type: application/json"]
        posted = _run(*words, "-d", f"@{tmp_path / name}", url)
        assert posted.returncode == 0, posted.stdout + posted.stderr
    waiting = Connect(connect)
    waiting.await_running("bank")
    waiting.close()
    said = deployed.deploy()
    assert "connector bank: stands as declared" in said
    assert "supervisor bankapp: stands as declared" in said
    assert environment(place)["MAINSTEM_CAPTURE_PASSWORD"].startswith("${file:")


def test_our_own_see_one_archive() -> None:
    """What one process archives every other must be able to read; the image has the folder for its user."""
    own = [_SERVICES[name] for name in _OURS]
    assert {service["environment"]["MAINSTEM_ARCHIVE_DIR"] for service in own} == {"/var/lib/mainstem/archive"}
    assert all("archive:/var/lib/mainstem/archive" in service["volumes"] for service in own)
    image = (_DEPLOY / "images" / "bank.Dockerfile").read_text()
    assert "--owner=10001 --group=10001 /var/lib/mainstem/archive" in image
