"""The parts of the engine-less stack in the order in which they start: their command lines, and when each is ready."""

import base64
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pymysql
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy import configuration
from deploy.configuration import Place
from deploy.downloads import StackUnavailable, jars
from mainstem.privacy.master import make_master_key

_ASK_S = 2.0
_LOG4J = Path(__file__).parent / "log4j2.properties"
_OPENED = (
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/jdk.internal.ref",
    "java.base/java.io",
    "java.base/java.lang",
    "jdk.management/com.sun.management.internal",
)
_EXPORTED = ("java.base/jdk.internal.misc", "java.base/jdk.internal.ref")
_DRUID = ("coordinator", "broker", "historical", "indexer")


@dataclass(frozen=True)
class Part:
    """A process: `prepare` is done before each start, `ready` asks it, `begin` is done once it is ready."""

    name: str
    port: int
    words: Sequence[str]
    ready: Callable[[], bool]
    prepare: Callable[[], None] = lambda: None
    begin: Callable[[], None] = lambda: None


class Stack:
    """All parts for one place, out of the cache of downloads; their files of configuration lie below `folder`."""

    def __init__(self, place: Place, cache: Path, folder: Path) -> None:
        self._place = place
        self._cache = cache
        self._folder = folder

    def waves(self) -> list[list[Part]]:
        """The parts of a wave may start at once; those of the next need them."""
        return [[self._mysql(), self._zookeeper(), self._kafka()], [self._connect(), *map(self._druid, _DRUID)]]

    def _mysql(self) -> Part:
        root, port = self._cache / "mysql" / "root", self._place.ports.mysql
        options = configuration.mysql_options(self._place)
        words = [
            *_mysqld(root),
            f"--datadir={self._place.data / 'mysql'}",
            f"--socket={self._folder / 'mysql.sock'}",
            f"--bind-address={self._place.host}",
            *(f"--{name}={value}" for name, value in options.items()),
        ]

        def prepare() -> None:
            data = self._place.data / "mysql"
            # Left by one that was killed; its number may be that of another process by now.
            (self._folder / "mysql.sock.lock").unlink(missing_ok=True)
            if not data.exists():
                _initialize([*_mysqld(root), f"--datadir={data}", "--initialize-insecure"], data)

        def begin() -> None:
            with pymysql.connect(host=self._place.host, port=port, user="root", autocommit=True) as connection:
                for statement in configuration.mysql_accounts():
                    connection.cursor().execute(statement)

        return Part("mysql", port, words, lambda: _mysql_answers(self._place.host, port), prepare, begin)

    def _zookeeper(self) -> Part:
        path = self._write("zookeeper.cfg", configuration.zookeeper(self._place))
        port = self._place.ports.zookeeper
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        words = _java("128m", [jars(self._cache, "druid")], main, str(path))
        return Part("zookeeper", port, words, lambda: listens(self._place.host, port))

    def _kafka(self) -> Part:
        path = self._write("kafka.properties", configuration.kafka_server(self._place))
        lib, data = jars(self._cache, "kafka"), self._place.data / "kafka"

        def prepare() -> None:
            if not (data / "meta.properties").exists():
                words = ["format", "-t", _cluster_id(), "-c", str(path), "--ignore-formatted"]
                _finish(_java("128m", [lib], "kafka.tools.StorageTool", *words))

        words, port = _java("512m", [lib], "kafka.Kafka", str(path)), self._place.ports.kafka
        return Part("kafka", port, words, lambda: _kafka_answers(self._place.host, port), prepare)

    def _connect(self) -> Part:
        plugins = self._folder / "plugins"
        _link(plugins / "debezium", jars(self._cache, "debezium"))
        self._keep_secret()
        path = self._write("connect.properties", configuration.connect_worker(self._place, plugins))
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        words = _java("512m", [jars(self._cache, "kafka")], main, str(path))
        port = self._place.ports.connect
        return Part("connect", port, words, lambda: _answers(f"http://{self._place.host}:{port}/connectors"))

    def _druid(self, name: str) -> Part:
        extensions = self._folder / "extensions"
        _link(extensions / "druid-kafka-indexing-service", jars(self._cache, "druid-kafka"))
        _link(extensions / "druid-datasketches", jars(self._cache, "druid-datasketches"))
        self._write("druid/common/common.runtime.properties", configuration.druid_common(self._place, extensions))
        self._write(f"druid/{name}/runtime.properties", configuration.druid_process(self._place, name))
        flags = [
            # On a few cores the second compiler takes more in a stack's first minutes than its code gives back.
            "-XX:TieredStopAtLevel=1",
            "-XX:MaxDirectMemorySize=512m",
            "-Duser.timezone=UTC",
            "-Dfile.encoding=UTF-8",
            f"-Djava.io.tmpdir={self._temporary()}",
            *(f"--add-opens={each}=ALL-UNNAMED" for each in _OPENED),
            *(f"--add-exports={each}=ALL-UNNAMED" for each in _EXPORTED),
        ]
        folders = [self._folder / "druid" / "common", self._folder / "druid" / name]
        words = _java("384m", [jars(self._cache, "druid")], "org.apache.druid.cli.Main", "server", name)
        words[2:2] = flags
        at = words.index("-cp") + 1
        words[at] = ":".join([*map(str, folders), words[at]])
        port = getattr(self._place.ports, name)
        url = f"http://{self._place.host}:{port}/status/health"
        return Part(f"druid-{name}", port, words, lambda: _answers(url, "true"))

    def _keep_secret(self) -> None:
        """What Connect looks the capture's password up in, so that no connector's configuration has it.

        And the key that the keys of personal data are wrapped by, made once.
        """
        path = self._place.secrets / configuration.CAPTURE_SECRET
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(configuration.properties({"password": configuration.DEVELOPMENT_PASSWORD}))
        make_master_key(self._place.secrets / configuration.MASTER_KEY_SECRET)

    def _temporary(self) -> Path:
        folder = self._place.data / "druid" / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write(self, name: str, values: Mapping[str, str]) -> Path:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(configuration.properties(values))
        return path


def _link(path: Path, target: Path) -> None:
    """To what is in the cache now: a stack of before may lead to what was there then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        if path.readlink() == target:
            return
        path.unlink()
    path.symlink_to(target)


def _java(heap: str, libraries: Sequence[Path], main: str, *values: str) -> list[str]:
    classes = ":".join(f"{lib}/*" for lib in libraries)
    return ["java", f"-Xmx{heap}", f"-Dlog4j2.configurationFile={_LOG4J}", "-cp", classes, main, *values]


def _mysqld(root: Path) -> list[str]:
    """Through the C library that was unpacked with it."""
    found = sorted((root / "usr" / "lib").glob("*-linux-gnu"))
    if not found:
        raise StackUnavailable(f"{root} holds no MySQL; remove {root.parent} to have it fetched again")
    lib = found[0]
    loader = next(iter(sorted(lib.glob("ld-linux*"))))
    user = ["--user=root"] if os.geteuid() == 0 else []
    program = [str(loader), "--library-path", str(lib), str(root / "usr" / "sbin" / "mysqld"), "--no-defaults"]
    share = root / "usr" / "share" / "mysql"
    return [*program, *user, f"--basedir={root / 'usr'}", f"--lc-messages-dir={share}", "--secure-file-priv=NULL"]


def _initialize(words: Sequence[str], data: Path) -> None:
    """In a folder of another name first: a half-made one must not look like a whole one."""
    unfinished = data.with_name("mysql.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    _finish([word.replace(str(data), str(unfinished)) for word in words])
    unfinished.rename(data)


def _finish(words: Sequence[str]) -> None:
    done = subprocess.run(list(words), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise StackUnavailable(f"{words[0]} failed: {(done.stdout + done.stderr)[-1_000:].strip()}")


def _cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").lstrip("-")


def listens(host: str, port: int) -> bool:
    """Whether anybody takes connections there."""
    try:
        with socket.create_connection((host, port), timeout=_ASK_S):
            return True
    except OSError:
        return False


def _mysql_answers(host: str, port: int) -> bool:
    try:
        with pymysql.connect(host=host, port=port, user="root", connect_timeout=2, read_timeout=2):
            return True
    except pymysql.MySQLError:
        return False


def _kafka_answers(host: str, port: int) -> bool:
    if not listens(host, port):
        return False
    try:
        return bool(AdminClient({"bootstrap.servers": f"{host}:{port}"}).list_topics(timeout=_ASK_S).brokers)
    except KafkaException:
        return False


def _answers(url: str, text: str = "") -> bool:
    try:
        answer = httpx.get(url, timeout=_ASK_S)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK and text in answer.text
