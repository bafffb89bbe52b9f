"""The log in Kafka keeps to the log's contract."""

from contextlib import closing
from pathlib import Path

import pytest

from mainstem.log.kafka import KafkaLog
from mainstem.log.port import Topic
from mainstem.messages import NewRecord
from tests.contracts.beginning_suite import BeginningSuite
from tests.stack import Prefixes


@pytest.mark.stack
class TestKafkaLog(BeginningSuite):
    @pytest.fixture(autouse=True)
    def _prefixes(self, prefixes: Prefixes) -> None:
        self.prefixes = prefixes

    def open(self, folder: Path) -> KafkaLog:
        servers, prefix = self.prefixes(folder)
        return KafkaLog(servers, prefix=prefix)

    def test_topics_that_nobody_could_declare_are_none_of_it(self, tmp_path: Path) -> None:
        """Kafka's own, which begin with two underscores, stand beside those of a log whose names have no prefix."""
        servers, prefix = self.prefixes(tmp_path)
        with closing(KafkaLog(servers, prefix=prefix)) as log:
            log.create(Topic("one", partitions=1))
            log.append([NewRecord(topic="one", key="a", value=b"1", timestamp_ms=1)])
        with closing(KafkaLog(servers)) as log:
            found = log.topics()
        assert f"{prefix}one" in found
        assert not [name for name in found if name.startswith("__")]
