"""A peer of the listener's benchmarks: FastStream with confluent-kafka, the same lines into the same table.

Runs in an environment of its own: `peer_faststream.py BOOTSTRAP TOPIC EVENTS one|batch MYSQL_PORT DATABASE`. It inserts
and commits each message, or each batch, and then its offsets.
"""

import asyncio
import sys
import uuid
from typing import Any

from faststream import AckPolicy
from faststream.confluent import KafkaBroker

from peer_lines import BATCH, Lines


async def main(bootstrap: str, topic: str, mode: str, lines: Lines) -> None:
    """Until all events are done."""
    broker, finished = KafkaBroker(bootstrap, logger=None), asyncio.Event()
    subscribing: dict[str, Any] = {
        "group_id": f"faststream-{uuid.uuid4().hex[:8]}",
        "auto_offset_reset": "earliest",
        "ack_policy": AckPolicy.ACK,
    }
    if mode == "batch":
        subscribing |= {"batch": True, "max_records": BATCH}

    @broker.subscriber(topic, **subscribing)
    async def handle(body: Any) -> None:
        if lines.write(body if mode == "batch" else [body]):
            finished.set()

    await broker.start()
    await finished.wait()
    lines.tell()
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[4], Lines(int(sys.argv[3]), int(sys.argv[5]), sys.argv[6])))
