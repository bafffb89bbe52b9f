"""The stack itself: every part answers as what it is, starting again starts nothing, and a taken port is told."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pymysql
import pytest
from confluent_kafka.admin import AdminClient

from deploy.configuration import APPLICATION_USER, DATABASE, DEVELOPMENT_PASSWORD, Place, Ports
from deploy.downloads import StackUnavailable
from deploy.parts import listens
from deploy.services import DRUID
from deploy.stack import processes_of, up
from tests.stack import FOLDER, SHIFT

pytestmark = pytest.mark.stack


def test_mysql_logs_whole_rows_with_gtids(stack: Place) -> None:
    with (
        pymysql.connect(
            host=stack.host,
            port=stack.ports.mysql,
            user=APPLICATION_USER,
            password=DEVELOPMENT_PASSWORD,
            database=DATABASE,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT @@binlog_format, @@binlog_row_image, @@binlog_row_metadata, @@gtid_mode, @@sync_binlog,"
            " @@innodb_flush_log_at_trx_commit, @@collation_server, @@bind_address"
        )
        assert cursor.fetchone() == ("ROW", "FULL", "FULL", "ON", 1, 1, "utf8mb4_0900_bin", "127.0.0.1")


def test_kafka_makes_no_topics_by_itself(stack: Place) -> None:
    admin = AdminClient({"bootstrap.servers": f"{stack.host}:{stack.ports.kafka}"})
    assert "never-declared" not in admin.list_topics("never-declared", timeout=10).topics or (
        admin.list_topics("never-declared", timeout=10).topics["never-declared"].error is not None
    )


def test_connect_has_debezium(stack: Place) -> None:
    plugins = httpx.get(f"http://{stack.host}:{stack.ports.connect}/connector-plugins", timeout=10).json()
    assert "io.debezium.connector.mysql.MySqlConnector" in {plugin["class"] for plugin in plugins}


def test_druid_answers_and_can_read_kafka(stack: Place) -> None:
    sql = httpx.post(f"http://{stack.host}:{stack.ports.broker}/druid/v2/sql", json={"query": "SELECT 1 AS answer"})
    assert sql.json() == [{"answer": 1}]
    modules = httpx.get(f"http://{stack.host}:{stack.ports.coordinator}/status").json()["modules"]
    assert {"druid-kafka-indexing-service", "druid-datasketches"} <= {module.get("artifact") for module in modules}
    supervisors = f"http://{stack.host}:{stack.ports.coordinator}/druid/indexer/v1/supervisor"
    assert httpx.get(supervisors).status_code == httpx.codes.OK


@pytest.mark.parametrize("part", ["mysql", "kafka", "connect", "zookeeper", *DRUID])
def test_a_part_listens_on_one_address_alone(stack: Place, part: str) -> None:
    """Druid and Connect ask for no password, so whoever reaches them may do anything."""
    port = getattr(stack.ports, part)
    assert listens(stack.host, port)
    assert not listens("127.0.0.2", port)


def test_druids_metadata_is_where_the_data_is(stack: Place) -> None:
    assert (stack.folder("druid") / "metadata.db" / "service.properties").is_file()


def test_up_again_starts_nothing(stack: Place) -> None:
    processes = processes_of(FOLDER)
    before = {name: processes.pid(name) for name in processes.names()}
    said: list[str] = []
    assert up(FOLDER, SHIFT, said.append) == stack
    assert {name: processes.pid(name) for name in processes.names()} == before
    assert len(said) == len(before) == 8


def test_up_with_another_shift_changes_nothing(stack: Place) -> None:
    """What runs would go on with its old ports and be looked for at the new ones."""
    conf = {path: path.read_bytes() for path in (FOLDER / "conf").rglob("*.properties")}
    words = [sys.executable, "-m", "deploy", "up", "--folder", str(FOLDER), "--shift", str(SHIFT + 1)]
    said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 2
    assert said.stderr.startswith("error: what runs in ")
    assert f"has the shift {SHIFT}, not {SHIFT + 1}: name that, another folder, or stop it first" in said.stderr
    assert {path: path.read_bytes() for path in (FOLDER / "conf").rglob("*.properties")} == conf
    assert listens(stack.host, stack.ports.kafka)


def test_kafka_logs_what_it_warns_of(stack: Place) -> None:
    """Of somebody who speaks no Kafka: a request of more bytes than any may have. Connect's class path is the same."""
    log = processes_of(FOLDER).output("kafka")
    before = len(log.read_text())
    with socket.create_connection((stack.host, stack.ports.kafka), timeout=10) as connection:
        connection.sendall(b"\x7f\xff\xff\xff")
        assert connection.recv(1) == b""  # it has hung up
    deadline = time.monotonic() + 10
    while "InvalidReceiveException" not in (said := log.read_text()[before:]):
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    assert " WARN " in said


def test_a_port_that_is_taken_is_told(tmp_path: Path, stack: Place) -> None:
    shift = 20_000
    taken = socket.create_server(("127.0.0.1", Ports.shifted(shift).zookeeper))
    with taken, pytest.raises(StackUnavailable, match="zookeeper needs the port 22181, which another process has"):
        up(tmp_path, shift, lambda _: None)
    assert processes_of(tmp_path).names() == []
