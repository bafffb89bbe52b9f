"""A peer of the listener's benchmarks: Quix Streams, the same lines into the same table by a sink of its kind.

Runs in an environment of its own: `peer_quix.py BOOTSTRAP TOPIC EVENTS COMMIT_INTERVAL_S MYSQL_PORT DATABASE`. Each of
its checkpoints writes what has come since the one before, and then commits its offsets: at the latest after so long, or
after as many messages as the other peer takes in a batch.
"""

import sys
import uuid

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

from peer_lines import BATCH, Lines


class Statement(BatchingSink):
    """The table of lines."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def write(self, batch: SinkBatch) -> None:
        """All of a checkpoint."""
        self._lines.write([item.value for item in batch])


def main(bootstrap: str, topic: str, events: int, interval_s: float, lines: Lines) -> None:
    """Until all events are done."""
    application = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-{uuid.uuid4().hex[:8]}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_interval=interval_s,
        commit_every=BATCH,
        loglevel="ERROR",
    )
    changes = application.dataframe(application.topic(topic, value_deserializer="json"))
    changes.sink(Statement(lines))
    application.run(count=events)
    lines.tell()


if __name__ == "__main__":
    count = int(sys.argv[3])
    main(sys.argv[1], sys.argv[2], count, float(sys.argv[4]), Lines(count, int(sys.argv[5]), sys.argv[6]))
