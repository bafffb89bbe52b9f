"""Settings: typed, frozen, with their units in their names. The only reader of the environment.

Each is set by the variable of its name in capitals behind ``MAINSTEM_``: `http_port` by ``MAINSTEM_HTTP_PORT``. A
secret may also stand in a file, which the variable with ``_FILE`` behind its name names.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from mainstem.errors import ConfigurationError

PREFIX = "MAINSTEM_"

S = TypeVar("S", bound=Struct)

_Milliseconds = Annotated[int, Meta(ge=1, le=31 * 24 * 3_600_000)]
_Count = Annotated[int, Meta(ge=1, le=1_000_000)]


_Port = Annotated[int, Meta(ge=1, le=65_535)]


class Secret:
    """A text that is shown as stars wherever it is printed. It must not be changed."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


class Settings(Struct, frozen=True, kw_only=True):
    """What can be chosen where the application runs."""

    app: str = "bank.main:application"
    """The application: a module and the name in it."""

    data_dir: Path = Path("data")
    """The folder that holds the files of the embedded form."""

    archive_dir: Path | None = None
    """The folder of archived events; the same for all processes. Unless given, `archive` in the data folder."""

    http_host: str = "127.0.0.1"
    """The address that the HTTP server binds to."""

    http_port: Annotated[int, Meta(ge=0, le=65_535)] = 8080
    """The port that the HTTP server binds to; 0 takes a free one."""

    http_body_max_bytes: Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)] = 65_536
    """The largest request body; a larger one is answered 413."""

    http_names: str | None = None
    """Names by which clients may call the HTTP server beside its address, with commas between them."""

    tenants: str | None = None
    """The tenants that are served beside what is of none, with commas between them."""

    auth_jwks_url: str | None = None
    """Where the keys are that callers' tokens are checked with: https, http on this machine, or file."""

    auth_jwks_age_ms: _Milliseconds = 300_000
    """How old those keys may be before they are fetched again."""

    auth_jwks_pause_ms: _Milliseconds = 10_000
    """How long it is at least from one fetch of the keys to the next, whatever the tokens name."""

    auth_key: Secret | None = None
    """The one key that callers' tokens are checked with: a public key as PEM, or a secret of at least 32 bytes."""

    auth_algorithms: str | None = None
    """The algorithms that a token may be signed by, with commas; unless given, all that fit the key."""

    auth_audience: str | None = None
    """For whom a token must have been made (`aud`)."""

    auth_issuer: str | None = None
    """Who must have made a token (`iss`)."""

    auth_token: Secret | None = None
    """The token that `mainstem status`, `mainstem reconcile` and `mainstem dashboard` show to the process that runs."""

    rate_limit_per_minute: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    """How many requests a caller may make in a minute; 0 for any number."""

    rate_limit_burst: _Count | None = None
    """How many of those at once."""

    command_queue_max: _Count = 8_192
    """How many commands may wait for the writer; the next is told to try again."""

    command_batch_max: _Count = 512
    """How many commands one transaction may hold."""

    command_timeout_ms: _Milliseconds = 30_000
    """How long a command waits for its answer."""

    aggregates_remembered: _Count = 10_000
    """How many folded aggregates the writer remembers."""

    snapshot_every: Annotated[int, Meta(ge=0, le=1_000_000)] = 1_000
    """After how many events an aggregate's state is kept as a snapshot, where its decider says nothing; 0 for never."""

    seal_every_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 10_000
    """How often the events that came are sealed; 0 for never."""

    answers_kept_ms: _Milliseconds = 7 * 24 * 3_600_000
    """How long an idempotency key is known."""

    query_wait_max_ms: _Milliseconds = 15_000
    """How long a query waits for its position. Where Druid's tasks cannot be reached it is told every five seconds."""

    topic_partitions: Annotated[int, Meta(ge=1, le=1024)] = 4
    """The partitions of a topic that declares none."""

    olap_linger_ms: _Milliseconds = 25
    """How long the analytical store gathers records into one batch."""

    form: Annotated[str, Meta(pattern="^(embedded|distributed)$")] = "embedded"
    """Whether all of it runs in this process, or on MySQL, Kafka, Connect and Druid."""

    roles: Annotated[str, Meta(pattern="^(api|listeners|api,listeners)$")] = "api,listeners"
    """What this process does of the distributed form: answer HTTP, keep views, or both."""

    alive_file: Path | None = None
    """A file that a process with the role `listeners` alone touches every 5 s while its listeners work."""

    start_wait_max_ms: _Milliseconds = 60_000
    """How long a process of the distributed form waits at its start for MySQL and Kafka."""

    views: Annotated[str, Meta(pattern="^(sqlite|duckdb|postgres|mysql)$")] | None = None
    """Where views live: sqlite, duckdb or postgres, embedded; mysql or postgres, distributed; the first by default."""

    postgres_host: str = "127.0.0.1"
    """Where PostgreSQL is."""

    postgres_port: _Port = 5432
    """PostgreSQL's port."""

    postgres_database: str = "mainstem"
    """The database of views there."""

    postgres_user: str = "mainstem"
    """Who reads and writes it."""

    postgres_password: Secret | None = None
    """That user's password."""

    postgres_tls_ca: str | None = None
    """A file of certificates; with it PostgreSQL must show one of theirs, made for its host."""

    mysql_host: str = "127.0.0.1"
    """Where MySQL is."""

    mysql_port: _Port = 3306
    """MySQL's port."""

    mysql_database: str = "inventory"
    """The database of events, state and views."""

    mysql_user: str = "mainstem"
    """Who reads and writes it."""

    mysql_password: Secret | None = None
    """That user's password."""

    mysql_tls_ca: str | None = None
    """A file of certificates; with it MySQL must show one of theirs."""

    capture_user: str = "debezium"
    """Who reads MySQL's log, for Connect."""

    capture_password: Secret | None = None
    """That user's password, or a reference that Connect resolves."""

    capture_truststore: str | None = None
    """A truststore (JKS, PKCS12) where Connect runs; MySQL must show Connect a certificate that it holds."""

    capture_truststore_password: Secret | None = None
    """That file's password, or a reference that Connect resolves."""

    capture_server_id: Annotated[int, Meta(ge=1, le=4_294_967_295)] = 5_400
    """The number under which Connect reads MySQL's log; no other reader may have it."""

    kafka_bootstrap: str = "127.0.0.1:9092"
    """Where Kafka is: one or several host:port, with commas between them."""

    kafka_security: Annotated[str, Meta(pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$")] = "PLAINTEXT"
    """How Kafka is spoken to."""

    kafka_sasl_mechanism: str | None = None
    """How this process says who it is, with SASL: SCRAM-SHA-512, PLAIN."""

    kafka_sasl_username: str | None = None
    """Who it is, with SASL."""

    kafka_sasl_password: Secret | None = None
    """That user's password."""

    kafka_tls_ca: str | None = None
    """A file of certificates; Kafka must show one of theirs."""

    kafka_copies: Annotated[int, Meta(ge=1, le=16)] = 1
    """In how many copies Kafka keeps the topics that are made."""

    connect_url: str = "http://127.0.0.1:8083"
    """Where Kafka Connect's REST interface is."""

    connect_tls_ca: str | None = None
    """A file of certificates; at an https address Connect must show one of theirs."""

    connect_mysql: str | None = None
    """MySQL's host:port as Connect sees it, where that is another."""

    connect_kafka: str | None = None
    """Kafka's host:port as Connect and Druid see it, where that is another."""

    connect_kafka_tls_ca: str | None = None
    """The file of certificates that Kafka must show one of, where Connect and Druid run, if it is another there."""

    connect_kafka_username: str | None = None
    """Who Connect's connector is to Kafka, with SASL, where that is another."""

    connect_kafka_password: Secret | None = None
    """A reference to that user's password, which Connect resolves."""

    druid_kafka_variable: str = "KAFKA_JAAS_CONFIG"
    """The variable of Druid's own environment that says who Druid is to Kafka, with SASL."""

    druid_url: str = "http://127.0.0.1:8082"
    """Where Druid answers SQL."""

    druid_overlord_url: str = "http://127.0.0.1:8081"
    """Where Druid takes supervisors."""

    zookeeper: str | None = None
    """Where ZooKeeper answers, several members separated by commas; where it is given, the status shows it."""

    druid_tls_ca: str | None = None
    """A file of certificates; at https addresses Druid must show one of theirs."""

    privacy_keys_file: Path | None = None
    """The file that holds the keys of personal data, embedded; `keys.db` in the data folder unless given."""

    privacy_master_key_file: Path | None = None
    """The file with the key that those are wrapped by; `master.key` in the data folder unless given, embedded."""

    privacy_mysql_database: str = "mainstem_keys"
    """The database that holds the keys of personal data, distributed."""

    privacy_keys_kept_ms: _Milliseconds = 5_000
    """How long a process keeps such a key in memory, and may use one that another process has destroyed."""

    layers: bool = False
    """Whether the bank keeps its data layers, from RAW to AGGREGATED, beside its views."""

    layers_archive_dir: Path | None = None
    """The folder of RAW's changes as Parquet files. Unless given, `raw` in the data folder."""

    layers_archive_every_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 60_000
    """How often the embedded form archives what RAW has taken, where it keeps layers; 0 for never."""

    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    """What is logged: debug, info, warning or error."""

    log_json: bool = False
    """Log lines as JSON objects instead of text."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that the environment names. Raises ConfigurationError for an unknown name or an unusable value."""
    return read_own(Settings, PREFIX, environment)


def read_own(kind: type[S], prefix: str, environment: Mapping[str, str]) -> S:
    """Settings of an application's own, of variables that begin so; in the same way."""
    known = {prefix + name.upper(): name for name in kind.__struct_fields__}
    files = {f"{prefix}{name.upper()}_FILE": name for name, each in kind.__annotations__.items() if each == _SECRET}
    given = {name: value for name, value in environment.items() if name.startswith(prefix)}
    unknown = sorted(
        name for name in given.keys() - known.keys() - files.keys() if not name.startswith("MAINSTEM_REQUIRE_")
    )  # those are what the tests are told must be there
    if unknown:
        raise ConfigurationError(f"no setting is named {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    named = {known[name]: value for name, value in given.items() if name in known}
    for variable, name in files.items():
        if variable in given:
            named[name] = _content(variable, Path(given[variable]))
    try:
        return msgspec.convert(named, kind, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        text = re.sub(r"`\$\.(\w+)`", lambda found: f"{prefix}{found[1].upper()}", str(error))
        raise ConfigurationError(f"a setting is not usable: {text}") from error


_SECRET = Secret | None


def _content(variable: str, path: Path) -> str:
    try:
        return path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the file that {variable} names cannot be read: {type(error).__name__}") from error


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError(f"{value!r} is no {kind.__name__}")  # the decoder adds the setting's name
