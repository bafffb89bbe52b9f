"""Listeners in processes of their own, which write the same lines to the same table: mainstem's and the peers'."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from figures import PEER
from mainstem.log.kafka_client import KafkaServers
from mainstem.mysql import MysqlServer

_HERE = Path(__file__).parent
_QUIX = PEER.parents[1] / "quix" / "bin" / "python"
_RUN_S = 600


@dataclass(frozen=True)
class Told:
    """What a process has told at its end: the events a second, and when so many of them were committed (monotonic)."""

    rate: float
    commits: list[tuple[int, float]]


@dataclass(frozen=True)
class Listening:
    """One that can be started, with the words of its command before the port and the database."""

    words: tuple[str, ...]

    def run(self, server: MysqlServer, when_ready: Callable[[], object] = lambda: None) -> Told:
        """To its end; `when_ready` is called after its first commit. Raises CalledProcessError where it fails."""
        command = [*self.words, str(server.port), server.database]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                assert process.stdout is not None
                if process.stdout.readline().strip() == "ready":
                    when_ready()
                said, _ = process.communicate(timeout=_RUN_S)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        found = json.loads(said.strip().splitlines()[-1])
        return Told(found["rate"], [(count, at) for count, at in found["commits"]])


def mainstem(servers: KafkaServers, prefix: str, events: int) -> Listening:
    """The bank's listener of the statement; the topic is `debit_card` behind the prefix."""
    return Listening((sys.executable, str(_HERE / "listen.py"), servers.bootstrap, prefix, str(events)))


def faststream(servers: KafkaServers, topic: str, events: int, mode: str) -> Listening:
    """`one` or `batch`."""
    return Listening((str(PEER), str(_HERE / "peer_faststream.py"), servers.bootstrap, topic, str(events), mode))


def quix(servers: KafkaServers, topic: str, events: int, interval_s: float) -> Listening:
    """With a checkpoint every so many seconds."""
    words = (str(_QUIX), str(_HERE / "peer_quix.py"), servers.bootstrap, topic, str(events), str(interval_s))
    return Listening(words)
