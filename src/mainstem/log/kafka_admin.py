"""Questions to a Kafka cluster about itself, by a client that is made anew after it has failed."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from mainstem.errors import StoreUnavailable
from mainstem.log.kafka_client import KafkaServers, mapped_errors

_ANSWERS = frozenset(
    (
        KafkaError.TOPIC_ALREADY_EXISTS,
        KafkaError.GROUP_ID_NOT_FOUND,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    )
)
"""Errors that are what was asked: the client is as good as before."""


class Admin:
    """For any thread. A call waits for `timeout_s` at most and raises StoreUnavailable then.

    A client may go on with what it knew of the cluster from before a broker came back (the epochs of its leaders), and
    fail with it for ever: so after an error the next call is another client's.
    """

    def __init__(self, servers: KafkaServers, timeout_s: float) -> None:
        self._servers = servers
        self._timeout_s = timeout_s
        self._making = threading.Lock()
        self._client: AdminClient | None = None

    def topics(self, name: str | None = None) -> Mapping[str, Any]:
        """The metadata of all topics by name, or of one."""
        with self._using("list its topics") as client:
            names = () if name is None else (name,)
            found: Mapping[str, Any] = client.list_topics(*names, timeout=self._timeout_s).topics
            return found

    def ask(self, what: str, call: Callable[[AdminClient], Mapping[Any, Any]]) -> dict[Any, Any]:
        """The answers of a call that returns futures; the first error is raised."""
        with self._using(what) as client:
            try:
                return {key: future.result(self._timeout_s + 1) for key, future in call(client).items()}
            except TimeoutError as error:
                raise StoreUnavailable(f"{self._servers} cannot {what}: no answer") from error

    @contextmanager
    def _using(self, what: str) -> Iterator[AdminClient]:
        with self._making:
            if self._client is None:  # one that has nothing to do is as false as none
                self._client = AdminClient(self._servers.properties())
            client = self._client
        try:
            with mapped_errors(self._servers, what):
                yield client
        except Exception as error:
            with self._making:
                if self._client is client and code_of(error) not in _ANSWERS:
                    self._client = None
            raise


def code_of(error: BaseException) -> int:
    """Kafka's number of the error behind one of mainstem's; 0 where there is none."""
    cause = error.__cause__
    return int(cause.args[0].code()) if isinstance(cause, KafkaException) else 0
