"""The log in Kafka keeps to the log's contract."""

from pathlib import Path

import pytest

from mainstem.log.kafka import KafkaLog
from mainstem.testing.contracts.log import LogContract
from tests.stack import Prefixes


@pytest.mark.stack
class TestKafkaLog(LogContract):
    @pytest.fixture(autouse=True)
    def _prefixes(self, prefixes: Prefixes) -> None:
        self.prefixes = prefixes

    def open(self, folder: Path) -> KafkaLog:
        servers, prefix = self.prefixes(folder)
        return KafkaLog(servers, prefix=prefix)
