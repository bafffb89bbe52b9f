"""mainstem's listener of the statement in a process of its own, as the peers run.

`listen.py BOOTSTRAP PREFIX EVENTS MYSQL_PORT DATABASE`. Says "ready" after its first commit, and tells all at the end.
"""

import json
import sys
import time
from dataclasses import replace

from deploy.configuration import APPLICATION_USER, DEVELOPMENT_PASSWORD
from mainstem.listener.runner import Runner
from mainstem.log.kafka import KafkaLog
from mainstem.log.kafka_client import KafkaServers
from mainstem.mysql import MysqlServer
from mainstem.view.mysql import MysqlViews
from stack_listener import LISTENER


def main(bootstrap: str, prefix: str, events: int, port: int, database: str) -> None:
    """Until all events are done."""
    log = KafkaLog(KafkaServers(bootstrap), prefix=prefix)
    views = MysqlViews(MysqlServer("127.0.0.1", port, APPLICATION_USER, DEVELOPMENT_PASSWORD, database))
    runner = Runner(replace(LISTENER, group=f"bench-{time.time_ns()}"), log, views)
    commits, done, began = list[tuple[int, float]](), 0, 0.0
    while done < events:
        if count := runner.step(0.1):
            done += count
            began = began or time.monotonic()
            commits.append((done, time.monotonic()))
            if len(commits) == 1:
                print("ready", flush=True)
    print(json.dumps({"rate": done / (time.monotonic() - began), "commits": commits}), flush=True)
    runner.leave()
    views.close()
    log.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
