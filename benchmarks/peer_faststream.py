"""The peer of the listener's benchmark: FastStream with confluent-kafka, the same lines into the same table.

Runs in an environment of its own: `peer_faststream.py BOOTSTRAP TOPIC EVENTS one|batch MYSQL_PORT DATABASE`. It inserts
and commits each message, or each batch, and then its offsets; prints the events a second since the first.
"""

import asyncio
import json
import sys
import time
import uuid
from decimal import Decimal
from typing import Any

import pymysql
from faststream import AckPolicy
from faststream.confluent import KafkaBroker

_BATCH = 5_000
_INSERT = "INSERT IGNORE INTO money_withdrawal (id, debit_card_id, amount, transaction_date_ms) VALUES (%s, %s, %s, %s)"


def line(message: dict[str, Any]) -> tuple[str, str, Decimal, int]:
    """The statement's line of a change that raised the used limit."""
    before, after, source = message["before"], message["after"], message["source"]
    identity = f"{source['file']}:{source['pos']:012d}:{source['row']:03d}"
    amount = Decimal(after["used_limit"]) - Decimal(before["used_limit"])
    return identity, after["id"], amount, after["occurred_at_ms"]


async def main(bootstrap: str, topic: str, events: int, mode: str, port: int, database: str) -> None:
    """Until so many events are done."""
    broker = KafkaBroker(bootstrap, logger=None)
    connection = pymysql.connect(
        host="127.0.0.1",
        port=port,
        user="mainstem",
        password="mainstem",
        database=database,
    )
    done, began, finished = 0, 0.0, asyncio.Event()
    subscribing: dict[str, Any] = {
        "group_id": f"faststream-{uuid.uuid4().hex[:8]}",
        "auto_offset_reset": "earliest",
        "ack_policy": AckPolicy.ACK,
    }
    if mode == "batch":
        subscribing |= {"batch": True, "max_records": _BATCH}

    @broker.subscriber(topic, **subscribing)
    async def handle(body: Any) -> None:
        nonlocal done, began
        began = began or time.monotonic()
        messages = body if mode == "batch" else [body]
        with connection.cursor() as cursor:
            cursor.executemany(_INSERT, [line(each) for each in messages])
        connection.commit()
        done += len(messages)
        if done >= events:
            finished.set()

    await broker.start()
    await finished.wait()
    sys.stdout.write(json.dumps(done / (time.monotonic() - began)) + "\n")
    sys.stdout.flush()
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), sys.argv[6]))
