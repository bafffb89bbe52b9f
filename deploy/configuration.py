"""Every part's configuration, generated: one source for the engine-less stack and for the compose file.

A configuration is a mapping of the part's own property names to text; `properties` makes a file of it.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

Properties = Mapping[str, str]

DATABASE = "inventory"
CAPTURE_USER, APPLICATION_USER = "debezium", "mainstem"
MASTER_KEY_SECRET = "privacy_master_key"  # noqa: S105 - the name of the file
CAPTURE_SECRET = "capture.properties"  # noqa: S105 - the name of the file
DEVELOPMENT_PASSWORD = "mainstem"  # noqa: S105 - of a stack on loopback; elsewhere the settings name a file


@dataclass(frozen=True)
class Ports:
    """Where each part listens. The seed's: 8080 bank, 8081 coordinator, 8082 Druid SQL, 8083 Connect."""

    bank: int = 8080
    mysql: int = 3306
    kafka: int = 9092
    controller: int = 9093
    connect: int = 8083
    zookeeper: int = 2181
    coordinator: int = 8081
    broker: int = 8082
    historical: int = 8085
    indexer: int = 8091
    derby: int = 1527

    @classmethod
    def shifted(cls, by: int) -> "Ports":
        """All of them that much higher, for a second stack beside the first."""
        return cls(*(port + by for port in astuple(cls())))


@dataclass(frozen=True)
class Place:
    """Where a stack runs: the host that its parts call each other by, their ports, and the folder of their data."""

    host: str
    ports: Ports
    data: Path

    @property
    def bind(self) -> str:
        """The address that a part listens on."""
        return self.host

    def at(self, part: str) -> str:
        """The host that a part is called by."""
        del part  # one host has all of them
        return self.host

    def folder(self, part: str) -> Path:
        """Where a part keeps its data."""
        return self.data / part

    @property
    def secrets(self) -> Path:
        """The folder of the files with passwords."""
        return self.data.parent / "secrets"


@dataclass(frozen=True)
class Contained(Place):
    """Where each part is a container of its own, called by its name, and its image has a folder for the data."""

    @property
    def bind(self) -> str:
        """Every address of the container's; what is seen outside is the compose file's to say."""
        return "0.0.0.0"  # noqa: S104

    def at(self, part: str) -> str:
        """By the name of the service."""
        return part

    def folder(self, part: str) -> Path:
        """As the images have it, with an owner that may write there."""
        return Path(_FOLDERS[part])

    @property
    def secrets(self) -> Path:
        """Where an engine puts them."""
        return Path("/run/secrets")


_FOLDERS = {"kafka": "/var/lib/kafka/data", "zookeeper": "/data", "druid": "/opt/druid/var"}


def properties(values: Properties) -> str:
    """The text of a properties file."""
    return "".join(f"{name}={value}\n" for name, value in values.items())


def mysql_options(place: Place) -> Properties:
    """What mysqld is told: row changes complete with their columns' names, GTIDs, full durability."""
    return {
        "port": str(place.ports.mysql),
        "server-id": "1",
        "log-bin": "binlog",
        "binlog-format": "ROW",
        "binlog-row-image": "FULL",
        "binlog-row-metadata": "FULL",
        "gtid-mode": "ON",
        "enforce-gtid-consistency": "ON",
        "innodb-flush-log-at-trx-commit": "1",
        "sync-binlog": "1",
        "character-set-server": "utf8mb4",
        "collation-server": "utf8mb4_0900_bin",
        "default-time-zone": "+00:00",
        "mysqlx": "OFF",
    }


def mysql_accounts(password: str = DEVELOPMENT_PASSWORD, capture: str = DEVELOPMENT_PASSWORD) -> tuple[str, ...]:
    """The statements that make the database and two users: the application's, and the capture's, which only reads.

    The passwords stand between single quotes: whoever gives others sees to what they hold of these.
    """
    rights = "SELECT, RELOAD, LOCK TABLES, SHOW DATABASES, REPLICATION SLAVE, REPLICATION CLIENT"
    return (
        f"CREATE DATABASE IF NOT EXISTS {DATABASE}",
        f"CREATE USER IF NOT EXISTS '{APPLICATION_USER}'@'%' IDENTIFIED BY '{password}'",
        f"GRANT ALL ON *.* TO '{APPLICATION_USER}'@'%'",
        f"CREATE USER IF NOT EXISTS '{CAPTURE_USER}'@'%' IDENTIFIED BY '{capture}'",
        f"GRANT {rights} ON *.* TO '{CAPTURE_USER}'@'%'",
    )


def kafka_server(place: Place) -> Properties:
    """One node that is broker and controller, without ZooKeeper; topics are made by declaration only."""
    host, kafka, controller = place.at("kafka"), place.ports.kafka, place.ports.controller
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{host}:{controller}",
        "listeners": f"PLAINTEXT://{place.bind}:{kafka},CONTROLLER://{place.bind}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{host}:{kafka}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(place.folder("kafka")),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.consumer.heartbeat.interval.ms": "1000",
        "group.consumer.session.timeout.ms": "10000",
        "group.consumer.min.heartbeat.interval.ms": "1000",
        "group.consumer.min.session.timeout.ms": "6000",
        "message.max.bytes": "2097152",
    }


def connect_worker(place: Place, plugins: Path) -> Properties:
    """A distributed worker whose source connectors may write exactly once.

    It is the only one: when it comes back, from its own end or from Kafka's, nobody else is waited for to take over its
    connectors, which would be five minutes. A transaction that it leaves open stands in readers' way for seconds only.
    """
    internal = {f"{kind}.storage.topic": f"connect-{name}" for kind, name in _INTERNAL.items()}
    copies = {f"{kind}.storage.replication.factor": "1" for kind in _INTERNAL}
    return {
        "bootstrap.servers": f"{place.at('kafka')}:{place.ports.kafka}",
        "group.id": "connect-cluster",
        "listeners": f"http://{place.bind}:{place.ports.connect}",
        "rest.advertised.host.name": place.at("connect"),
        "plugin.path": str(plugins),
        "plugin.discovery": "service_load",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "config.providers": "file",
        "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
        "config.providers.file.param.allowed.paths": str(place.secrets),
        "exactly.once.source.support": "enabled",
        "offset.flush.interval.ms": "1000",
        "session.timeout.ms": "10000",
        "heartbeat.interval.ms": "3000",
        "scheduled.rebalance.max.delay.ms": "0",
        "producer.transaction.timeout.ms": "15000",
        **internal,
        **copies,
    }


_INTERNAL = {"offset": "offsets", "config": "configs", "status": "status"}


def zookeeper(place: Place) -> Properties:
    """What Druid finds its parts by."""
    return {
        "tickTime": "2000",
        "dataDir": str(place.folder("zookeeper")),
        "clientPort": str(place.ports.zookeeper),
        "clientPortAddress": place.bind,
        "admin.enableServer": "false",
    }


def druid_common(place: Place, extensions: Path) -> Properties:
    """What all of Druid's processes share. Its metadata is kept in Derby, enough for one machine.

    Derby takes a path for absolute only where it begins with a slash of its own, behind the one that ends the port. A
    process listens on the address of its host alone, since none of them asks for a password; a container may have one
    address for each of its networks, and listens on all, as every part does there.
    """
    host, folder = place.at("druid-coordinator"), place.folder("druid")
    derby = f"//{host}:{place.ports.derby}/{folder / 'metadata.db'}"
    return {
        "druid.extensions.directory": str(extensions),
        # Approximate quantiles are of the second one.
        "druid.extensions.loadList": '["druid-kafka-indexing-service", "druid-datasketches"]',
        "druid.zk.service.host": f"{place.at('zookeeper')}:{place.ports.zookeeper}",
        "druid.zk.paths.base": "/druid",
        # How long a process that has died is taken for alive: its rows are missing for that long.
        "druid.zk.service.sessionTimeoutMs": "10000",
        "druid.metadata.storage.type": "derby",
        "druid.metadata.storage.connector.connectURI": f"jdbc:derby:{derby};create=true",
        "druid.metadata.storage.connector.host": host,
        "druid.metadata.storage.connector.port": str(place.ports.derby),
        "druid.storage.type": "local",
        "druid.storage.storageDirectory": str(folder / "segments"),
        "druid.indexer.logs.type": "file",
        "druid.indexer.logs.directory": str(folder / "task-logs"),
        "druid.selectors.indexing.serviceName": "druid/overlord",
        "druid.selectors.coordinator.serviceName": "druid/coordinator",
        "druid.bindOnHost": str(place.bind == host).lower(),
        "druid.emitter": "noop",
        "druid.startup.logging.logProperties": "false",
        "druid.lookup.enableLookupSyncOnStartup": "false",
        "druid.processing.buffer.sizeBytes": "32MiB",
        "druid.processing.numThreads": "1",
        "druid.processing.numMergeBuffers": "2",
        "druid.server.http.numThreads": "20",
    }


def druid_process(place: Place, name: str) -> Properties:
    """What one of Druid's processes has of its own: coordinator (and overlord), broker, historical, indexer."""
    folder = place.folder("druid")
    own: dict[str, dict[str, str]] = {
        "coordinator": {
            "druid.coordinator.startDelay": "PT1S",
            "druid.coordinator.period": "PT5S",
            # A task of a supervisor that was suspended has its slot until what it has published is served.
            "druid.manager.segments.pollDuration": "PT5S",
            "druid.coordinator.asOverlord.enabled": "true",
            "druid.coordinator.asOverlord.overlordService": "druid/overlord",
            "druid.indexer.queue.startDelay": "PT1S",
            "druid.indexer.runner.type": "httpRemote",
            # A task that was given to a process in the moment of its death is given to another after these times.
            "druid.indexer.runner.taskAssignmentTimeout": "PT20S",
            "druid.indexer.runner.taskCleanupTimeout": "PT30S",
            "druid.indexer.storage.type": "metadata",
        },
        "broker": {"druid.sql.enable": "true", "druid.broker.http.numConnections": "5"},
        "historical": {
            "druid.segmentCache.locations": f'[{{"path":"{folder / "cache"}","maxSize":"20g"}}]',
        },
        "indexer": {
            "druid.worker.capacity": "4",
            "druid.server.http.gracefulShutdownTimeout": "PT2S",
            "druid.indexer.task.gracefulShutdownTimeout": "PT5S",
            "druid.indexer.task.baseTaskDir": str(folder / "task"),
        },
    }
    port = getattr(place.ports, name)
    host = place.at(f"druid-{name}")
    return {"druid.service": f"druid/{name}", "druid.host": host, "druid.plaintextPort": str(port), **own[name]}


def application_settings(place: Place) -> Mapping[str, str]:
    """The environment of mainstem's processes on this stack."""
    return {
        "MAINSTEM_FORM": "distributed",
        "MAINSTEM_MYSQL_HOST": place.at("mysql"),
        "MAINSTEM_MYSQL_PORT": str(place.ports.mysql),
        "MAINSTEM_MYSQL_DATABASE": DATABASE,
        "MAINSTEM_MYSQL_USER": APPLICATION_USER,
        "MAINSTEM_MYSQL_PASSWORD": DEVELOPMENT_PASSWORD,
        "MAINSTEM_CAPTURE_USER": CAPTURE_USER,
        "MAINSTEM_CAPTURE_PASSWORD": f"${{file:{place.secrets / CAPTURE_SECRET}:password}}",
        "MAINSTEM_PRIVACY_MASTER_KEY_FILE": str(place.secrets / MASTER_KEY_SECRET),
        "MAINSTEM_KAFKA_BOOTSTRAP": f"{place.at('kafka')}:{place.ports.kafka}",
        "MAINSTEM_CONNECT_URL": f"http://{place.at('connect')}:{place.ports.connect}",
        "MAINSTEM_DRUID_URL": f"http://{place.at('druid-broker')}:{place.ports.broker}",
        "MAINSTEM_DRUID_OVERLORD_URL": f"http://{place.at('druid-coordinator')}:{place.ports.coordinator}",
        "MAINSTEM_ZOOKEEPER": f"{place.at('zookeeper')}:{place.ports.zookeeper}",
    }
