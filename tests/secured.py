"""A MySQL and a Kafka of their own that show certificates; Kafka also asks who calls. For the tests of TLS and SASL.

`secured_readers` are a Connect and a Druid that know no other Kafka.
"""

import datetime
import ipaddress
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from deploy import configuration
from deploy.configuration import Place, Ports
from deploy.downloads import fetch_all
from deploy.parts import Part, Stack
from deploy.processes import Processes
from tests.stack import SHIFT

_READY_S = 180.0
USER, PASSWORD = "mainstem", "a password that is never shown"
_STORE_PASSWORD = "of-the-truststore"  # noqa: S105


@dataclass(frozen=True)
class Secured:
    """Where they are, and the file with the authority that has signed their certificates."""

    host: str
    kafka: int
    mysql: int
    authority: Path
    another: Path
    """An authority that has signed nothing of them."""
    place: Place
    parts: dict[str, Part]
    processes: Processes


@dataclass(frozen=True)
class Readers:
    """Connect and Druid on that Kafka, and what is where they run."""

    connect: str
    overlord: str
    truststore: Path
    truststore_password: str
    kafka_password: str
    """A reference to Kafka's password, which Connect resolves."""


class Authority:
    """Signs certificates of servers on loopback."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _certificate(self.name, self.name, self.key.public_key())
        self.certificate = builder.add_extension(x509.BasicConstraints(True, 0), True).sign(self.key, hashes.SHA256())

    def write(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        return path

    def server(self, folder: Path) -> tuple[Path, Path]:
        """A key and a certificate of a server on loopback."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        builder = _certificate(name, self.name, key.public_key()).add_extension(names, False)
        certificate = builder.sign(self.key, hashes.SHA256())
        key_path, path = folder / "server-key.pem", folder / "server.pem"
        key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        return key_path, path


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


@pytest.fixture(scope="session")
def secured(stack: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Started for the tests that ask for it, beside the stack."""
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority("of the servers")
    key, certificate = authority.server(folder)
    place = Place(stack.host, Ports.shifted(SHIFT + 400), folder / "data")
    stack_of_its_own = Stack(place, fetch_all(print), folder / "conf")
    parts = {part.name: part for wave in stack_of_its_own.waves() for part in wave}
    port = place.ports.kafka + 5
    _secure_kafka(folder / "conf" / "kafka.properties", port, key, certificate)
    tls = [f"--ssl-cert={certificate}", f"--ssl-key={key}", f"--ssl-ca={authority.write(folder / 'ca.pem')}"]
    mysql = replace(parts["mysql"], words=[*parts["mysql"].words, *tls])
    processes = Processes(folder / "run")
    with ExitStack() as stopping:
        for part in (mysql, parts["kafka"]):
            stopping.callback(processes.stop, part.name)
            _start(processes, part)
        another = Authority("of others").write(folder / "another.pem")
        authority_file = folder / "ca.pem"
        yield Secured(place.host, port, place.ports.mysql, authority_file, another, place, parts, processes)


@pytest.fixture(scope="session")
def secured_readers(secured: Secured) -> Iterator[Readers]:
    """Started for the tests that ask for them."""
    place, folder = secured.place, secured.authority.parent
    password = f"${{file:{place.secrets / 'kafka.properties'}:password}}"
    (place.secrets / "kafka.properties").write_text(configuration.properties({"password": PASSWORD}))
    _secure_connect(folder / "conf" / "connect.properties", secured, password)
    with ExitStack() as stopping, pytest.MonkeyPatch.context() as environment:
        environment.setenv("KAFKA_JAAS_CONFIG", _login(PASSWORD))
        for wave in (("zookeeper",), ("connect", "druid-coordinator", "druid-indexer")):
            for name in wave:
                stopping.callback(secured.processes.stop, name)
            with ThreadPoolExecutor(len(wave)) as pool:
                list(pool.map(lambda name: _start(secured.processes, secured.parts[name]), wave))
        yield Readers(
            f"http://{place.host}:{place.ports.connect}",
            f"http://{place.host}:{place.ports.coordinator}",
            _truststore(secured.authority, folder / "trusted.p12"),
            _STORE_PASSWORD,
            password,
        )


def _secure_connect(properties: Path, secured: Secured, password: str) -> None:
    """Its own clients, and those that it makes for connectors, speak to the listener with TLS and SASL."""
    client = {
        "security.protocol": "SASL_SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(secured.authority),
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": _login(password),
    }
    lines = [line for line in properties.read_text().splitlines() if not line.startswith("bootstrap.servers=")]
    lines.append(f"bootstrap.servers={secured.host}:{secured.kafka}")
    for whose in ("", "producer.", "consumer.", "admin."):
        lines += [f"{whose}{name}={value}" for name, value in client.items()]
    properties.write_text("\n".join(lines) + "\n")


def _login(password: str) -> str:
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return f'{module} required username="{USER}" password="{password}";'


def _truststore(authority: Path, path: Path) -> Path:
    """What Java trusts servers by, as keytool makes it."""
    words = ["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", str(authority)]
    subprocess.run([*words, "-keystore", str(path), "-storepass", _STORE_PASSWORD], check=True, capture_output=True)
    return path


def _secure_kafka(properties: Path, port: int, key: Path, certificate: Path) -> None:
    """One more listener, with TLS and SASL, beside those that are there."""
    both = properties.with_name("server-both.pem")
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    lines = properties.read_text().splitlines()
    more = {
        "listeners": f",SASL_SSL://127.0.0.1:{port}",
        "advertised.listeners": f",SASL_SSL://127.0.0.1:{port}",
        "listener.security.protocol.map": ",SASL_SSL:SASL_SSL",
    }
    lines = [line + more.get(line.partition("=")[0], "") for line in lines]
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    lines += [
        "sasl.enabled.mechanisms=PLAIN",
        f'listener.name.sasl_ssl.plain.sasl.jaas.config={module} required user_{USER}="{PASSWORD}";',
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={both}",
        "inter.broker.listener.name=PLAINTEXT",
    ]
    properties.write_text("\n".join(lines) + "\n")


def _start(processes: Processes, part: Part) -> None:
    part.prepare()
    processes.start(part.name, part.words, processes.folder)
    deadline = time.monotonic() + _READY_S
    while not part.ready():
        assert processes.pid(part.name) is not None, processes.last_words(part.name)
        assert time.monotonic() < deadline, processes.last_words(part.name)
        time.sleep(0.2)
    part.begin()
